"""Shell jobs, with real processes: what a command is given, and what comes of it."""

from __future__ import annotations

import re
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from poller.errors import ConfigurationError
from poller.jobs.job import cron
from poller.jobs.output import Sink
from poller.model.answers import Fail, Interrupted
from poller.ready_made.shell.job import CommandFailed, shell
from tests.commands import Background, CommandRun
from tests.harness import wait_until

if TYPE_CHECKING:
    from pathlib import Path


# --- how it ends ---------------------------------------------------------------------------------------


def test_a_command_that_ends_as_expected_succeeds(capfd: pytest.CaptureFixture[str]) -> None:
    """Status 0, or any of those that the job expects."""
    shell("a", "exit 0")()
    shell("a", ["true"])()
    shell("a", "exit 3", expect=3)()
    shell("a", ["sh", "-c", "exit 24"], expect={0, 24})()
    shell("a", "exit 9", expect=range(1, 10))()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("exit 3", "exit status 3"),
        ("echo first >&2; echo 'no such bucket' >&2; echo >&2; exit 1", "exit status 1: no such bucket"),
        ("printf 'no newline' >&2; false", "exit status 1: no newline"),
        ("kill -KILL $$", "killed by SIGKILL"),
        ("kill -TERM $$", "killed by SIGTERM"),
        ("echo dying >&2; kill -SEGV $$", "killed by SIGSEGV: dying"),
        ("sh -c 'kill -KILL $$' 2>/dev/null; exit $?", "exit status 137 (killed by SIGKILL?)"),
        ("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1", f"exit status 1: {'x' * 500}"),
    ],
)
def test_a_command_that_ends_otherwise_fails_with_the_reason(line: str, reason: str) -> None:
    """The status or the signal, and the last line of standard error that says something."""
    with pytest.raises(CommandFailed) as caught:
        shell("a", line)()
    assert str(caught.value) == reason


def test_an_unexpected_zero_is_a_failure() -> None:
    """Who expects 1 (no differences, say) is told of a 0."""
    with pytest.raises(CommandFailed, match=r"^exit status 0$"):
        shell("a", "true", expect=1)()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"command": ["no-such-program", "x"]}, "cannot start: No such file or directory: no-such-program"),
        ({"command": "no-such-program"}, r"exit status 127: .*no-such-program: not found"),
        ({"command": ["/etc/passwd"]}, "cannot start: Permission denied: /etc/passwd"),
        ({"command": "true", "cwd": "/no/such"}, "cannot start: No such file or directory: /no/such"),
        ({"command": "true", "cwd": "/etc/passwd"}, "cannot start: Not a directory: /etc/passwd"),
        ({"command": ["x"], "env": {"PATH": "/no/such"}}, "cannot start: No such file or directory: x"),
    ],
    ids=str,
)
def test_a_command_that_cannot_start_says_why_in_one_line(given: dict[str, Any], reason: str) -> None:
    """No program, no folder, no right."""
    with pytest.raises(CommandFailed) as caught:
        shell("a", **given)()
    assert re.fullmatch(reason, str(caught.value))
    assert "\n" not in str(caught.value)


def test_a_command_that_is_too_long_says_so() -> None:
    """The system's limit is the command's, not the warden's: orders do not travel as arguments."""
    with pytest.raises(CommandFailed, match=r"^cannot start: Argument list too long: true$"):
        shell("a", ["true", "x" * 4_000_000])()


# --- its output ----------------------------------------------------------------------------------------


def test_output_comes_in_order_and_while_the_command_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Line by line, each to where it belongs."""
    line = f"echo one; echo two; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; echo oh >&2; printf three"
    called = Background(shell("a", line))

    seen = ""

    def has_come() -> bool:
        nonlocal seen
        seen += capsys.readouterr().out
        return seen == "one\ntwo\n"

    wait_until("the first lines have come", has_come)
    (tmp_path / "go").touch()
    called.ended(0)
    assert capsys.readouterr() == ("three\n", "oh\n")


def test_outputs_do_not_break_into_each_others_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Half a line waits for its other half; text that is not UTF-8 comes as far as it can be read."""
    line = (
        r"printf 'ha'; sleep 0.2; echo err >&2; sleep 0.2; printf 'lf\n\344\303'; sleep 0.2; printf '\244\n'"
    )
    shell("a", line)()
    assert capsys.readouterr() == ("half\n\ufffdä\n", "err\n")


class Counter(Sink):
    """Keeps what a run keeps, and the length of the longest piece that came."""

    longest = 0

    def write(self, text: str) -> None:
        self.longest = max(self.longest, len(text))
        super().write(text)


def test_a_flood_of_output_is_taken_without_a_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both outputs at once, 100 MB each, one of them a single line: what is held is bounded."""
    out, err = Counter(), Counter()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    shell("a", "yes | head -c 100000000 & head -c 100000000 /dev/zero | tr '\\0' x >&2; wait; echo end")()

    assert out.text().endswith("y\ny\nend\n")
    assert len(out.text()) + len(err.text()) < 140_000
    assert max(out.longest, err.longest) < 80_000


def test_a_flood_does_not_keep_a_cancel_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run looks between two reads."""
    monkeypatch.setattr(sys, "stdout", Sink())
    called = Background(shell("a", "exec yes"))
    assert called.cancel() < 2
    assert isinstance(called.error, Interrupted)


def test_a_command_that_reads_finds_nothing() -> None:
    """Its standard input is empty, not the worker's, which holds the worker's orders."""
    shell("a", '[ -z "$(cat)" ]')()


# --- what it is given ----------------------------------------------------------------------------------


def test_the_environment_is_the_workers_and_the_jobs_and_the_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the worker has, plus `env`, minus what `env` takes out, plus what says which run it is."""
    monkeypatch.setenv("PGPASSWORD", "kept")
    monkeypatch.setenv("UNWANTED", "x")
    job = shell("a", "env", env={"EXTRA": "1 2", "UNWANTED": None})
    job(run=CommandRun())

    got = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines() if "=" in line)
    assert got["PGPASSWORD"] == "kept"
    assert got["EXTRA"] == "1 2"
    assert "UNWANTED" not in got
    assert (got["POLLER_JOB"], got["POLLER_RUN_ID"], got["POLLER_ATTEMPT"]) == ("backup", "7", "2")
    assert got["POLLER_PLANNED_AT"] == "2030-01-02T03:04:05+00:00"


def test_arguments_are_variables_and_never_part_of_the_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A text as it is, anything else as JSON; what would be code stays text."""
    evil = f"x'; touch {tmp_path}/pwned; $(touch {tmp_path}/pwned) `touch {tmp_path}/pwned` \n\\"
    job = shell("a", 'printf "%s|" "$POLLER_ARG_WHO" "$POLLER_ARG_N" "$POLLER_ARG_MANY"')
    job(run=CommandRun(), who=evil, n=3, many={"ä": [True, None]})

    assert capsys.readouterr().out.rstrip("\n") == f'{evil}|3|{{"ä": [true, null]}}|'
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    "arguments",
    [{"a b": 1}, {"a=b": 1}, {"": 1}, {"ä": 1}, {"a": 1, "A": 2}, {"a": "x\0y"}],
    ids=str,
)
def test_arguments_that_no_variable_can_hold_are_refused(arguments: dict[str, Any]) -> None:
    """For good: another attempt would not mend them."""
    with pytest.raises(Fail, match="the argument"):
        shell("a", "true")(**arguments)


def test_any_argument_fits_the_signature() -> None:
    """So `poller jobs add --args` is held against nothing but the rule above."""
    job = shell("a", "true")
    job.check_arguments({"who": "x"})
    assert job.run_parameter == "run"


def test_the_folder_is_the_given_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A program is looked for from there, too."""
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\npwd\n")
    script.chmod(0o755)
    shell("a", ["./script"], cwd=tmp_path)()
    assert capsys.readouterr().out == f"{tmp_path}\n"


# Signals 32 and 33 are the C library's own: no program may set them, so they are as this machine gives them.
OF_LIBC = 0b11 << 31


def test_a_command_begins_with_signals_as_a_login_shell_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    """A worker ignores SIGINT, and Python SIGPIPE: a command must not inherit that."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        shell("a", ["grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"])()
    finally:
        signal.signal(signal.SIGINT, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    masks = [int(line.split()[1], 16) for line in capsys.readouterr().out.splitlines()]
    assert len(masks) == 2
    assert not any(mask & ~OF_LIBC for mask in masks)


def test_the_job_is_a_job_like_any_other() -> None:
    """Its schedule and options are the contract's, and its place is where it was made."""
    job = shell("pg-backup", "true", schedule=cron("0 2 * * *"), timeout="1h", attempts=3)
    assert (job.name, job.options.timeout, job.tz) == ("pg-backup", 3600.0, "UTC")
    assert job.schedule is not None
    assert "test_shell.py" in job.place


# --- what is refused when it is made -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"command": "echo \0"}, "command contains a NUL"),
        ({"command": ["echo", "a\0b"]}, "command contains a NUL"),
        ({"command": ""}, "command is empty"),
        ({"command": "  \n"}, "command is empty"),
        ({"command": [""]}, "command is empty"),
        ({"command": []}, "command must be a shell line or a list of strings"),
        ({"command": None}, "command must be a shell line or a list of strings"),
        ({"command": ["echo", 1]}, "command must be a shell line or a list of strings"),
        ({"command": b"echo"}, "command must be a shell line or a list of strings"),
        ({"command": "true", "expect": 256}, "expect must be an exit status from 0 to 255"),
        ({"command": "true", "expect": -9}, "expect must be an exit status from 0 to 255"),
        ({"command": "true", "expect": True}, "expect must be an exit status"),
        ({"command": "true", "expect": ()}, "expect must be an exit status"),
        ({"command": "true", "expect": "0"}, "expect must be an exit status"),
        ({"command": "true", "env": {"A": 1}}, "env: A must be a string"),
        ({"command": "true", "env": {"A": "x\0"}}, "env: A must be a string without NUL"),
        ({"command": "true", "env": {"A=B": "x"}}, "env: 'A=B' is not a variable name"),
        ({"command": "true", "env": ["A"]}, "env must be a mapping"),
        ({"command": "true", "cwd": ""}, "cwd must be a folder"),
        ({"command": "true", "cwd": 3}, "cwd must be a folder"),
        ({"command": "true", "timeout": "soon"}, "'soon' is not a duration"),
        ({"command": "true", "no_such": 1}, "no_such"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_when_the_job_is_made(given: dict[str, Any], reason: str) -> None:
    """In one line that names the place."""
    with pytest.raises(ConfigurationError, match=re.escape(reason)) as caught:
        shell("a", **given)
    assert "\n" not in str(caught.value)


def test_the_refusal_names_the_place() -> None:
    """Of the call in the user's module."""
    with pytest.raises(ConfigurationError, match=r"test_shell\.py:\d+ \(nightly\): command is empty"):
        shell("nightly", "")
