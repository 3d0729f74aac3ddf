"""Collects the handlers and jobs of a package: imports it with its submodules and looks at what they define."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import pkgutil
import re
import sys
import traceback
import types
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from poller.errors import ConfigurationError, PollerError
from poller.executor import remote_call
from poller.executor.around import Around, in_order
from poller.jobs.job import Job, refuse_namesakes
from poller.model.code_place import place_of
from poller.model.handler import Handler, refuse_collisions, refuse_lookalikes
from poller.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_SEPARATOR = re.compile(r"[/\\]")
_OF_PATHS = re.compile(r"[/\\]|\.py$")
_PLAIN = frozenset((str, bytes, int, float, bool, type(None)))  # a package may hold a million of them
_ITEMS: dict[type, Callable[[Any], Iterable[object]]] = {
    dict: dict.values,
    list: list.__iter__,
    tuple: tuple.__iter__,
    set: set.__iter__,
    frozenset: frozenset.__iter__,
    staticmethod: lambda method: (method.__func__,),
    classmethod: lambda method: (method.__func__,),
}
# What a call of these reaches: they stand in its place, so that it is not found in a module.
_WRAPPED: dict[type, Callable[[Any], object]] = {
    types.FunctionType: lambda function: vars(function).get("__wrapped__"),
    type(functools.cache(len)): lambda function: function.__wrapped__,
    functools.partial: lambda partial: partial.func,
    functools.partialmethod: lambda method: method.func,
    functools.cached_property: lambda cached: cached.func,
    property: lambda each: each.fget,
    Handler: lambda handler: handler.function,
    Job: lambda job: job.function,
}
_REGISTERED = (Handler, Job, Around)
_DEEPEST = 100  # wrappers around one function; more are a circle


class Registered(NamedTuple):
    """What a package defines."""

    handlers: list[Handler]
    jobs: list[Job]


def load(package: str, only: Sequence[str] = (), without: Sequence[str] = ()) -> Registered:
    """Return the handlers and jobs of a package, those of its submodules included.

    Args:
        package: its import name; it is looked for in the working directory first.
        only: names to keep: of a handler its table, `table:status` or the function's name; a job's name. All
            if empty.
        without: names to leave out of those.

    Raises:
        ConfigurationError: the package cannot be imported or defines neither, two handlers are for one
            (table, status), one moves rows to another's `during`, two jobs have one name, one is hidden in a
            wrapper, a name in `only` or `without` is unknown, or nothing is left.
    """
    values = [value for module in _modules(package) for value in _values(module)]
    found = dict.fromkeys(each for value in values for each in _registered(value))
    handlers = [each for each in found if isinstance(each, Handler)]
    jobs = [each for each in found if isinstance(each, Job)]
    _refuse_hidden(values)
    if not found:
        msg = f"the package {package!r} has no handlers and no jobs"
        raise ConfigurationError(msg, "nothing_registered", package=package)
    refuse_collisions((str(each.table), each) for each in handlers)
    refuse_lookalikes((str(each.table), each) for each in handlers)
    refuse_namesakes(jobs)
    for registered in found:
        _check_remote(registered)
    return _chosen(Registered(handlers, jobs), only, without)


def middleware(package: str) -> tuple[Around, ...]:
    """Return what a package has marked with `around`, its submodules included; the first is outermost.

    Raises:
        ConfigurationError: the package cannot be imported, or a middleware is hidden in a wrapper.
    """
    values = [value for module in _modules(package) for value in _values(module)]
    _refuse_hidden(values)
    return in_order({cast("Around", value) for value in values if issubclass(type(value), Around)})


def _refuse_hidden(values: Sequence[object]) -> None:
    """Refuse what a wrapper hides: it would never run, and nothing would say so.

    Raises:
        ConfigurationError: naming its place.
    """
    hidden = [each for value in values for each in _wrapped(value) if issubclass(type(each), _REGISTERED)]
    found = {id(each) for value in values for each in (value, *_registered(value))} if hidden else ()
    for each in cast("list[Handler | Job | Around]", hidden):
        if id(each) not in found:
            msg = (
                f"{place_of(each.function)}: {each} is hidden by a wrapper (a decorator above poller's, a partial) "
                "and would never run; put poller's decorator above the others"
            )
            raise ConfigurationError(msg)


def _wrapped(value: object) -> Iterator[object]:
    """Yield what a call of a value reaches, one wrapper beneath the other."""
    for _ in range(_DEEPEST):
        within = _WRAPPED.get(type(value), _said_to_wrap)
        if (value := within(value)) is None:
            return
        yield value


def _said_to_wrap(value: object) -> object:
    """Return what an object says that it wraps (`functools.update_wrapper`); it is not asked itself, as in `_held`."""
    try:
        own: object = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return own.get("__wrapped__") if type(own) is dict else None


def _check_remote(registered: Handler | Job) -> None:
    try:
        remote_call.check(registered)
    except ConfigurationError as error:
        msg = f"{registered.place}: {error}"
        raise ConfigurationError(msg) from None


def _values(module: types.ModuleType) -> Iterator[object]:
    """Yield what a module holds: its values, those in its lists and dicts, and those of its classes, static ones too."""
    seen: set[int] = set()
    waiting: deque[object] = deque([vars(module)])
    while waiting:
        value = waiting.popleft()
        if type(value) in _PLAIN or id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        waiting.extend(_held(value, module.__name__))


def _held(value: object, module: str) -> Iterable[object]:
    """Return what a value holds in which handlers may stand. It is not asked itself: it may be a proxy that raises."""
    for kind, items in _ITEMS.items():
        if issubclass(type(value), kind):
            return items(value)
    if issubclass(type(value), type) and vars(value).get("__module__") == module:
        return vars(value).values()
    return ()


def _registered(value: object) -> Iterator[Handler | Job]:
    """Return what a module's value registers: itself, and what its function was made before."""
    if issubclass(type(value), Job):
        yield cast("Job", value)
    while issubclass(type(value), Handler):
        value = cast("Handler", value)
        yield value
        value = value.also


def _modules(package: str) -> list[types.ModuleType]:
    _refuse_path(package)
    _find_in(str(Path.cwd()))
    _refuse_shadow(package.partition(".")[0], Path.cwd())
    top = _import(package)
    return [top, *_below(package, list(getattr(top, "__path__", [])))]


def _below(package: str, paths: list[str]) -> Iterator[types.ModuleType]:
    """Import what is below a package, folders without an `__init__.py` included.

    Raises:
        ConfigurationError: it cannot be imported, or is hidden by a module of the same name.
    """
    found = {info.name: info.ispkg for info in pkgutil.iter_modules(paths)}
    folders = {each.name: each for path in paths for each in _folders(Path(path)) if _has_modules(each)}
    for name in sorted(found.keys() | folders.keys()):
        if found.get(name) is False and name in folders:
            msg = f"{folders[name]} is hidden by the module {name}.py beside it; rename one of them"
            raise ConfigurationError(msg)
        if name != "__main__":
            module = _import(f"{package}.{name}")
            yield module
            if found.get(name, True):
                yield from _below(f"{package}.{name}", list(getattr(module, "__path__", [])))


def _folders(path: Path) -> Iterator[Path]:
    """Yield the folders in a folder that could be packages by their names."""
    try:
        inside = sorted(path.iterdir())
    except OSError:  # in an archive, say
        return
    yield from (
        each for each in inside if each.name.isidentifier() and each.name != "__pycache__" and each.is_dir()
    )


def _has_modules(folder: Path) -> bool:
    return any(folder.glob("*.py")) or any(map(_has_modules, _folders(folder)))


def _find_in(folder: str) -> None:
    """Have modules found in a folder: before those that are installed or on PYTHONPATH, but behind Python's own.

    A file such as `queue.py` there is the user's affair, and no reason for `import queue` to fail anywhere.
    """
    python = str(Path(os.__file__).parent)
    own = [each for each in sys.path if each in (python, f"{python}/lib-dynload")]
    sys.path[:] = [*own, folder, *(each for each in sys.path if each not in ("", folder, *own))]


def _refuse_path(package: str) -> None:
    """Refuse what is not the name of a package: nothing, or a path, whether of a folder or of a file.

    Raises:
        ConfigurationError: saying what to write.
    """
    if all(package.split(".")) and not _OF_PATHS.search(package):
        return
    parts = [each for each in _SEPARATOR.split(package.removesuffix(".py")) if each.strip(".")]
    if package.startswith("/") or ".." in _SEPARATOR.split(package):
        name = parts[-1] if parts else "handlers"
        msg = f"{package!r} is a path; name the package, {name!r}, in the folder that holds it, not in {Path.cwd()}"
    else:
        msg = f"{package!r} is not the name of a package; write {'.'.join(parts).strip('.') or 'handlers'!r}"
    raise ConfigurationError(msg)


def _refuse_shadow(name: str, folder: Path) -> None:
    """Refuse a package of a folder in whose place Python would import another one, from elsewhere.

    A folder without an `__init__.py` comes after all packages that have one, and Python's own come first.

    Raises:
        ConfigurationError: naming both places.
    """
    meant = folder / name
    if not (meant.is_dir() and _has_modules(meant)):
        return
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return  # the import says what is wrong
    if spec is None or meant.resolve() in (
        Path(each).resolve() for each in spec.submodule_search_locations or ()
    ):
        return
    todo = "rename it" if (meant / "__init__.py").exists() else "give it an __init__.py, or rename it"
    msg = f"{meant} is hidden by {spec.origin or name}, which Python finds in its place; {todo}"
    raise ConfigurationError(msg)


def _import(name: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except PollerError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            msg = f"there is no package {name!r} in {Path.cwd()}"
            raise ConfigurationError(msg, "no_package", package=name) from error
        raise _failed(name, error) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _failed(name, error) from error


def _failed(name: str, error: BaseException) -> ConfigurationError:
    if isinstance(error, SyntaxError):
        text, where = error.msg, f"{error.filename}:{error.lineno}"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        text = " ".join(str(error).split())
        where = next((f"{f.filename}:{f.lineno}" for f in reversed(frames) if f.filename[:1] != "<"), "")
    place = f" ({where})" if where else ""
    return ConfigurationError(f"{name} cannot be imported: {type(error).__name__}: {text}{place}")


def _chosen(all_: Registered, only: Sequence[str], without: Sequence[str]) -> Registered:
    every: list[Handler | Job] = [*all_.handlers, *all_.jobs]
    chosen = _named(every, only) if only else set(every)
    chosen -= _named(every, without)
    if not chosen:
        msg = f"nothing is left to run once these are left out: {', '.join(map(repr, without))}"
        raise ConfigurationError(msg)
    return Registered(
        [each for each in all_.handlers if each in chosen], [each for each in all_.jobs if each in chosen]
    )


def _named(every: Sequence[Handler | Job], names: Sequence[str]) -> set[Handler | Job]:
    found: set[Handler | Job] = set()
    for name in names:
        named = [each for each in every if name in _names(each)]
        if not named:
            known = ", ".join(nearest(name, map(str, every), most=20))
            msg = f"no handler or job is named {name!r}; known: {known}"
            raise ConfigurationError(msg, "none_of_name", name=name)
        found.update(named)
    return found


def _names(each: Handler | Job) -> set[str]:
    own = {str(each), getattr(each.function, "__name__", "")}
    return own | {str(each.table)} if isinstance(each, Handler) else own
