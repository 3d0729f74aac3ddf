"""Shell jobs: a command with a schedule.

The command runs as written; nothing is ever put into its line. What a run is given goes into its environment.
`warden` describes how it is ended with all its children, whatever happens to the worker.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from json import dumps
from time import monotonic
from typing import TYPE_CHECKING, Any

from poller.duration import words
from poller.errors import ConfigurationError
from poller.jobs.job import ready_made
from poller.model.answers import Fail, Interrupted, TimedOut, Unexpected
from poller.ready_made.shell import command as commands

if TYPE_CHECKING:
    from typing import Unpack

    from poller.jobs.job import Job, When
    from poller.jobs.options import CommonOptions
    from poller.jobs.run import Run
    from poller.ready_made.shell.command import Ended

SHELL = "/bin/sh"
HIGHEST_EXIT_CODE = 255
SIGNALLED = 128  # a shell adds it to the number of the signal that ended its command
REASON_CHARACTERS = 500

_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class CommandFailed(Unexpected):
    """A command could not be started, was killed, or ended with a status that is not expected."""


def shell(  # noqa: PLR0913 - the contract's options
    name: str,
    command: str | Sequence[str | os.PathLike[str]],
    *,
    schedule: When | None = None,
    env: Mapping[str, str | None] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    expect: int | Collection[int] = 0,
    **options: Unpack[CommonOptions],
) -> Job[..., None]:
    """Make a job that runs a command, and ends it with all its children when its time is up.

    Args:
        name: the job's name.
        command: a shell line, run by `/bin/sh -c`; or a program and its arguments, run without a shell.
        schedule: when it runs: `cron(…)`, `fixed_delay(…)` or `fixed_rate(…)`; None if by hand or `after=`.
        env: variables of its environment beside the worker's own; None takes one out.
        cwd: its working directory, by default the worker's.
        expect: the exit status, or statuses, of success.
        **options: see `CommonOptions`; `timeout` is five minutes unless given.

    Raises:
        ConfigurationError: an option that cannot work; the text names the place of this call.

    >>> greet = shell("greet", "echo hello", schedule=cron("0 2 * * *"))
    >>> greet()
    hello
    """

    def work(run: Run | None = None, **arguments: Any) -> None:
        made.run(run, arguments, job.options.timeout)

    # The run is over when the command is: until then nothing may follow it, and its last words are heard.
    job = replace(ready_made(work, name, schedule, options), patience=commands.LONGEST_END_SECONDS)
    try:
        made = _Command(_argv(command), _env(env), _cwd(cwd), _expected(expect))
    except ConfigurationError as error:
        msg = f"{job.place}: {error}"
        raise ConfigurationError(msg) from None
    return job


@dataclass(frozen=True, slots=True)
class _Command:
    """A command as it was given, checked."""

    argv: tuple[str, ...]
    env: Mapping[str, str | None]
    cwd: str | None
    expected: frozenset[int]

    def run(self, run: Run | None, arguments: Mapping[str, Any], timeout: float) -> None:
        """Run it to its end.

        Raises:
            CommandFailed: it did not end as expected.
            TimedOut, Interrupted: it was ended.
            Fail: the arguments cannot be handed on.
        """
        until = monotonic() + timeout
        env = self._environment(run, arguments)
        try:
            ended = commands.run(self.argv, env, self.cwd, lambda: _must_end(run, until))
        except OSError as error:
            msg = f"this worker cannot start a process: {error.strerror}"
            raise CommandFailed(msg) from None
        if ended.stopped:
            raise _stopped(timeout if monotonic() >= until else None)
        if ended.left:
            sys.stderr.write("poller: the command left processes in the background; they were ended\n")
        if ended.status not in self.expected:
            raise CommandFailed(self._complaint(ended))

    def _environment(self, run: Run | None, arguments: Mapping[str, Any]) -> dict[str, str]:
        """Return the whole environment: the worker's, the job's, the run's and its arguments."""
        given = {**self.env, **_of_run(run), **_of_arguments(arguments)}
        every = {**os.environ, **given}
        return {name: value for name, value in every.items() if value is not None}

    def _complaint(self, ended: Ended) -> str:
        if ended.error is not None:
            return f"cannot start: {ended.error}"
        if ended.status is None:
            return "how the command ended is unknown: its warden was killed"
        text = (
            f"killed by {_signal_name(-ended.status)}" if ended.status < 0 else f"exit status {ended.status}"
        )
        if ended.status > SIGNALLED and self.argv[0] == SHELL:
            text += f" (killed by {_signal_name(ended.status - SIGNALLED)}?)"
        return f"{text}: {ended.last[-REASON_CHARACTERS:]}" if ended.last else text


def _must_end(run: Run | None, until: float) -> bool:
    return monotonic() >= until or (run is not None and bool(run.cancelled))


def _stopped(timeout: float | None) -> Exception:
    if timeout is not None:
        return TimedOut(f"timed out after {words(timeout)}")
    return Interrupted("interrupted: the command was ended, with its children")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# --- what a run is given -------------------------------------------------------------------------------


def _of_run(run: Run | None) -> dict[str, str]:
    if run is None:
        return {}
    return {
        "POLLER_JOB": run.job,
        "POLLER_RUN_ID": str(run.id),
        "POLLER_PLANNED_AT": run.planned_at.isoformat(),
        "POLLER_ATTEMPT": str(run.attempt),
    }


def _of_arguments(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return a run's arguments as variables: texts as they are, everything else as JSON."""
    variables: dict[str, str] = {}
    for name, value in arguments.items():
        variable = f"POLLER_ARG_{name.upper()}"
        text = value if isinstance(value, str) else dumps(value, ensure_ascii=False)
        if not _ARGUMENT.fullmatch(name) or variable in variables:
            msg = f"the argument {name!r} cannot name an environment variable; use letters, digits and _"
            raise Fail(msg)
        if "\0" in text:
            msg = f"the argument {name!r} contains a NUL, which an environment variable cannot"
            raise Fail(msg)
        variables[variable] = text
    return variables


# --- what can be checked when the job is made ------------------------------------------------------------


def _argv(command: Any) -> tuple[str, ...]:
    if isinstance(command, str):
        argv: tuple[Any, ...] = (SHELL, "-c", command)
    elif isinstance(command, Sequence) and not isinstance(command, bytes | bytearray):
        argv = tuple(os.fspath(part) if isinstance(part, os.PathLike) else part for part in command)
    else:
        argv = ()
    if not argv or not all(isinstance(part, str) for part in argv):
        msg = f"command must be a shell line or a list of strings, got {command!r}"
        raise ConfigurationError(msg)
    if any("\0" in part for part in argv):
        msg = "command contains a NUL, which a command cannot"
        raise ConfigurationError(msg)
    if not (command if isinstance(command, str) else argv[0]).strip():
        msg = "command is empty"
        raise ConfigurationError(msg)
    return argv


def _env(env: Any) -> dict[str, str | None]:
    if not isinstance(env, Mapping | None):
        msg = f"env must be a mapping of names to strings, got {type(env).__name__}"
        raise ConfigurationError(msg)
    for name, value in (env or {}).items():
        if not isinstance(name, str) or not name or {*name} & {"=", "\0"}:
            msg = f"env: {name!r} is not a variable name"
            raise ConfigurationError(msg)
        if value is not None and (not isinstance(value, str) or "\0" in value):
            msg = f"env: {name} must be a string without NUL, or None to remove it"
            raise ConfigurationError(msg)
    return dict(env or {})


def _cwd(cwd: Any) -> str | None:
    if cwd is None:
        return None
    path = os.fspath(cwd) if isinstance(cwd, os.PathLike) else cwd
    if not isinstance(path, str) or not path or "\0" in path:
        msg = f"cwd must be a folder, got {cwd!r}"
        raise ConfigurationError(msg)
    return path


def _expected(expect: Any) -> frozenset[int]:
    many = list(expect) if isinstance(expect, Collection) and not isinstance(expect, str) else [expect]
    codes = [code for code in many if type(code) is int and 0 <= code <= HIGHEST_EXIT_CODE]
    if not codes or len(codes) < len(many):
        msg = f"expect must be an exit status from 0 to {HIGHEST_EXIT_CODE}, or a set of them, got {expect!r}"
        raise ConfigurationError(msg)
    return frozenset(codes)
