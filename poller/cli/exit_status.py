"""Turns the end of a command into an exit status, and an error that the user can fix into one line that says how.

0 done; 1 the command's own negative answer; 2 usage or configuration. Anything else is a bug: it shows its
traceback, and exits with 70. psycopg is not imported here, since `--help` is not to wait for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from poller.cli import hints
from poller.errors import PollerError
from poller.errors_in_words import reason
from poller.telemetry.printable import lines, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
# The disk or the quota is full, or the terminal is gone.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
BUG = 70  # EX_SOFTWARE of sysexits.h


@dataclass
class CommandLineState:
    """The state of the whole command line; Typer's contexts carry it as their `obj`.

    Attributes:
        debug: show the traceback of an error as well.
        file: the settings file that was read, if any.
        sections: its tables that are no options, by name.
    """

    debug: bool = False
    file: str | None = None
    sections: dict[str, Any] = field(default_factory=dict)


class ExitMessage(NamedTuple):
    """The message for the user, and the exit status."""

    line: str
    status: int


def status_of(run: Callable[[CommandLineState], int]) -> int:
    """Run a command line, print its error on standard error, and return its exit status."""
    session = CommandLineState()
    try:
        status = run(session)
        sys.stdout.flush()
    except BrokenPipeError:
        return _leave_output()
    except OSError as error:
        return _tell(error, session) if error.errno not in _UNWRITABLE else _tell_unwritable(error)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last place where it can be told
        return _tell(error, session)
    return status


def _tell(error: Exception, session: CommandLineState) -> int:
    known = answer(error, session)
    if known is None or session.debug:
        typer.echo(lines("".join(traceback.format_exception(error))), err=True, nl=False)
    if known is None:
        return BUG
    typer.echo(known.line, err=True)
    return known.status


def answer(error: Exception, session: CommandLineState) -> ExitMessage | None:
    """Return the message for an error that the user can fix, or None for a bug."""
    if isinstance(error, PollerError):
        return ExitMessage(_one_line(hints.with_hint(error)), error.exit_status)
    if isinstance(error, typer.TyperException):
        return ExitMessage(_usage(error, session), USAGE)
    psycopg = sys.modules.get("psycopg")
    if psycopg is not None and isinstance(error, psycopg.Error):
        return ExitMessage(_database(error), USAGE)
    return None


def _usage(error: Any, session: CommandLineState) -> str:
    """Return what is wrong with an option or argument, and where it came from."""
    context: Any = getattr(error, "ctx", None)
    parameter: Any = getattr(error, "param", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return str(error.format_message())
    text = _one_line(error.format_message()).replace(error.message, _reason(error)).rstrip(".")
    if context is None:
        return text
    source = context.get_parameter_source(parameter.name) if parameter is not None else None
    match getattr(source, "name", None):
        case "DEFAULT_MAP":
            return f"{session.file}: {parameter.opts[0].removeprefix('--')}: {_reason(error)}"
        case "ENVIRONMENT":
            return f"{_variable(parameter)}: {_reason(error)}"
        case _:
            return f"{text}{_behind_dashes(error, context)}; see: {context.command_path} --help"


def _behind_dashes(error: Any, context: Any) -> str:
    """Return how a value is written that was taken for an option: a key such as -5 or -infinity."""
    option = getattr(error, "option_name", "")
    takes_values = any(each.param_type_name == "argument" for each in context.command.params)
    if type(error).__name__ != "NoSuchOption" or option.startswith("--") or not takes_values:
        return ""
    return "; write a value that begins with - behind the options and --"


def _reason(error: Any) -> str:
    """Return why a value was refused, without the prefix of the library that checks it."""
    return _one_line(error.message).removeprefix("Value error, ").rstrip(".")


def _variable(parameter: Any) -> str:
    """Return the environment variable that gave an option its value."""
    names = [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar
    return next((name for name in names if os.environ.get(name)), names[0])


def _database(error: Any) -> str:
    """Return Postgres' refusal, in its own words but for the values of rows."""
    text = _one_line(reason(error))
    if error.sqlstate == "42501":
        return f"{text}; grant the role what the README lists under 'Least privilege'"
    if error.sqlstate == "55P03":
        who = next(iter(getattr(error, "__notes__", ())), "another transaction has what this needs locked")
        return f"{_one_line(who)}; try again when that has ended"
    psycopg = sys.modules["psycopg"]
    if error.sqlstate is None and not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return f"the database holds a value that cannot be read: {text}; --debug shows where"
    if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
        return f"the database went away: {text}; try again"
    return f"the database refused: {text} ({error.sqlstate}); --debug shows the statement's place"


def _one_line(text: object) -> str:
    return one_line(" ".join(str(text).split()))


def _tell_unwritable(error: OSError) -> int:
    _leave_output()
    with contextlib.suppress(OSError):  # standard error may be the same file
        typer.echo(f"the output cannot be written: {error.strerror}", err=True)
    return 1


def _leave_output() -> int:
    """End when our output cannot be written, its reader is gone, say: let nothing be flushed into it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
