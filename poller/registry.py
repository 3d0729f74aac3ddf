"""Collects the handlers of a package: imports it with its submodules and looks at what they define."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from poller.errors import ConfigurationError, PollerError
from poller.handler import Handler, refuse_collisions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


def load(package: str, only: Sequence[str] = ()) -> list[Handler]:
    """Return the handlers of a package, those of its submodules included.

    Args:
        package: its import name; it is looked for in the working directory first.
        only: names of handlers to keep, each a table, `table:status` or the function's name; all if empty.

    Raises:
        ConfigurationError: the package cannot be imported, has no handlers, two handlers are for one
            (table, status), or a name in `only` is no handler's.
    """
    found = dict.fromkeys(
        value for module in _modules(package) for value in vars(module).values() if isinstance(value, Handler)
    )
    handlers = list(found)
    if not handlers:
        msg = f"the package {package!r} has no handlers; write one with @handler(…), or run: poller init"
        raise ConfigurationError(msg)
    refuse_collisions((str(each.table), each) for each in handlers)
    return _chosen(handlers, only)


def _modules(package: str) -> list[ModuleType]:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    top = _import(package)
    below = pkgutil.walk_packages(getattr(top, "__path__", []), f"{package}.", onerror=_import)
    return [top, *(_import(info.name) for info in below if not info.name.endswith(".__main__"))]


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except PollerError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and name.split(".", maxsplit=1)[0] == error.name:
            msg = (
                f"there is no package {name!r} in {Path.cwd()}; name yours with --handlers, "
                "or write a first one with: poller init"
            )
            raise ConfigurationError(msg) from error
        raise _failed(name, error) from error
    except Exception as error:
        raise _failed(name, error) from error


def _failed(name: str, error: Exception) -> ConfigurationError:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace else ""
    text = " ".join(str(error).split())
    return ConfigurationError(f"{name} cannot be imported: {type(error).__name__}: {text}{where}")


def _chosen(handlers: list[Handler], only: Sequence[str]) -> list[Handler]:
    chosen: list[Handler] = []
    for name in only:
        named = [each for each in handlers if name in _names(each)]
        if not named:
            known = ", ".join(str(each) for each in handlers)
            msg = f"--only {name!r} is no handler; there are {known}"
            raise ConfigurationError(msg)
        chosen += [each for each in named if each not in chosen]
    return chosen if only else handlers


def _names(each: Handler) -> tuple[str, str, str]:
    return (str(each.table), str(each), getattr(each.function, "__name__", ""))
