"""Reads options from the environment, and from the settings file of the folder.

Done once for all commands, by walking their options: `--log-format` is also `POLLER_LOG_FORMAT`, and the key
`log-format` (or `log_format`) of ./poller.toml or of [tool.poller] in ./pyproject.toml. The command line
comes first, then the environment, then the file, then the default.
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typer.core import TyperOption

from poller.errors import ConfigurationError
from poller.spelling import suggested

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

OWN_FILE = "poller.toml"
SHARED_FILE = "pyproject.toml"
SECTIONS = frozenset({"alerts", "desk"})  # tables of settings that are no options

# Kubernetes' for a service called poller, those of shell jobs, and of the project's own tests.
_OTHERS = (
    *("POLLER_SERVICE_", "POLLER_PORT", "POLLER_ARG_", "POLLER_TEST_"),
    *("POLLER_JOB", "POLLER_RUN_ID", "POLLER_PLANNED_AT", "POLLER_ATTEMPT"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a file; the keys have underscores. Sections are tables of settings that are no options."""

    file: str
    values: dict[str, Any]
    sections: dict[str, Any]


def name_variables(command: Any) -> None:
    """Give every option of a command and of those below it its environment variable."""
    name_own_variables(command)
    for each in getattr(command, "commands", {}).values():
        name_variables(each)


def name_own_variables(command: Any) -> None:
    """Give every option of a command its environment variable."""
    for option in _own_options(command):
        if option.envvar is None:
            option.envvar = f"POLLER_{_key(option).upper()}"
        option.show_envvar = False  # one line says it for all of them


def strange_variables(command: Any, environment: Iterable[str], invoked: str = "") -> Iterator[str]:
    """Yield a message for each POLLER_… variable that no option reads.

    Args:
        command: the group of commands.
        environment: the names of the variables.
        invoked: the command that runs; the others are loaded only if it does not read all of them.
    """
    names = {each for each in environment if each.startswith("POLLER_") and not each.startswith(_OTHERS)}
    if invoked and names:
        names -= _read_by(command.commands[invoked])
    if names:
        known = _read_by(command)
        for name in sorted(names - known):
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            yield f"no option reads the variable {name}{hint}"


def _read_by(command: Any) -> set[str]:
    """Return the variables that the options of a command, and of those below it, read."""
    return {name for option in _options(command) for name in _variables(option)}


def read(folder: Path) -> Settings | None:
    """Read the settings file of a folder, if it has one.

    Raises:
        ConfigurationError: it cannot be read, or there are two.
    """
    own, shared = _load(folder / OWN_FILE), _load(folder / SHARED_FILE)
    tool = _table("tool", (shared or {}).get("tool", {})).get("poller")
    if own is not None and tool is not None:
        msg = f"both {OWN_FILE} and [tool.poller] in {SHARED_FILE} have settings; keep one of them"
        raise ConfigurationError(msg)
    if own is not None:
        return _settings(OWN_FILE, own)
    if tool is None:
        return None
    return _settings(f"[tool.poller] in {SHARED_FILE}", _table("tool.poller", tool))


def _table(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        msg = f"{SHARED_FILE}: {name} must be a table: [{name}]"
        raise ConfigurationError(msg)
    return value


def _settings(file: str, table: dict[str, Any]) -> Settings:
    options = {key.replace("-", "_"): value for key, value in table.items() if key not in SECTIONS}
    return Settings(file, options, {key: table[key] for key in SECTIONS & table.keys()})


def defaults(command: Any, settings: Settings) -> dict[str, Any]:
    """Return the settings as Typer takes them: by command, and there by parameter.

    Raises:
        ConfigurationError: a key is not an option of any command, or its value has the wrong type.
    """
    known: dict[str, TyperOption] = {}
    for option in _options(command):  # the option that accepts most stands for those of the same name
        if option.multiple or _key(option) not in known:
            known[_key(option)] = option
    for key, value in settings.values.items():
        if key not in known:
            there = sorted({*SECTIONS, *known})
            msg = f"{settings.file}: there is no setting {key!r}; {suggested(key, there)}"
            raise ConfigurationError(msg)
        _check_type(settings.file, key, known[key], value)
    return _by_command(command, settings.values)


def _by_command(command: Any, values: dict[str, Any]) -> dict[str, Any]:
    own = {
        option.name: _listed(option, values[_key(option)])
        for option in _own_options(command)
        if _key(option) in values
    }
    below = getattr(command, "commands", {})
    return own | {name: _by_command(each, values) for name, each in below.items()}


def _check_type(file: str, key: str, option: TyperOption, value: object) -> None:
    """Refuse values that no text on the command line could mean; the option itself checks the rest.

    Raises:
        ConfigurationError: naming the file and the key.
    """
    if option.is_flag:
        wanted = "true or false" if not isinstance(value, bool) else None
    elif option.multiple:
        is_list = isinstance(value, list) and all(isinstance(each, str) for each in value)
        wanted = None if is_list or isinstance(value, str) else "a string or a list of strings"
    else:
        is_scalar = isinstance(value, str | int | float) and not isinstance(value, bool)
        wanted = None if is_scalar else "a string or a number"
    if wanted is not None:
        got = "" if key == "database" else f", got {value!r}"  # it may hold a password
        msg = f"{file}: {key} must be {wanted}{got}"
        raise ConfigurationError(msg)


def _listed(option: TyperOption, value: Any) -> Any:
    """Return a value as an option accepts it: a single-valued one gets the first of several."""
    if option.multiple:
        return [value] if isinstance(value, str) else value
    return value[0] if isinstance(value, list) and value else value


def _load(path: Path) -> dict[str, Any] | None:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path.name} is not valid TOML: {error}"
        raise ConfigurationError(msg) from None
    except OSError as error:
        msg = f"{path.name} cannot be read: {error.strerror}"
        raise ConfigurationError(msg) from None


def _options(command: Any) -> Iterator[TyperOption]:
    """Walk the options of a command and of those below it."""
    yield from _own_options(command)
    for each in getattr(command, "commands", {}).values():
        yield from _options(each)


def _own_options(command: Any) -> Iterator[TyperOption]:
    """Return a command's options; the eager ones (such as `--version`) are not settings."""
    return (each for each in command.params if isinstance(each, TyperOption) and not each.is_eager)


def _variables(option: TyperOption) -> list[str]:
    named = option.envvar
    return [named] if isinstance(named, str) else [*named] if named else []


def _key(option: TyperOption) -> str:
    """Return an option's key: as it is written, or, where it has a variable of its own, as that is called."""
    if isinstance(option.envvar, str):
        return option.envvar.removeprefix("POLLER_").lower()
    return max(option.opts, key=len).removeprefix("--").replace("-", "_")
