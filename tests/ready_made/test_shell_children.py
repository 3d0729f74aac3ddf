"""Shell jobs, with real processes: nothing of a command is left, whatever ends it or its worker."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from poller.model.answers import Interrupted, TimedOut
from poller.ready_made.shell import command
from poller.ready_made.shell.job import CommandFailed, shell
from tests.commands import Background, is_alive
from tests.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has PR_SET_CHILD_SUBREAPER")


@dataclass
class Processes:
    """The processes that a test's commands have written down, by their names."""

    folder: Path

    def noting(self, name: str) -> str:
        """Return a shell command that writes its process id down, and goes on as `sleep`, for ever."""
        return " ".join(self.argv(name))

    def argv(self, name: str) -> list[str]:
        """Return the same for a command without a shell: the process is the command's first."""
        script = self.folder / "note.sh"
        script.write_text('echo $$ > "$0.$1.new"; mv "$0.$1.new" "$0.$1"; exec sleep 1000')
        return ["sh", str(script), name]

    def pid(self, name: str) -> int:
        path = self.folder / f"note.sh.{name}"
        return int(wait_until(f"{name} runs", lambda: path.exists() and path.read_text()))

    def are_gone(self, *names: str) -> bool:
        return not any(is_alive(self.pid(name)) for name in names)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Write-downs of processes; those that a failing test leaves are killed."""
    noted = Processes(tmp_path)
    yield noted
    for path in tmp_path.glob("note.sh.*"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(path.read_text()), signal.SIGKILL)


def test_a_timeout_ends_the_whole_group(processes: Processes) -> None:
    """`sh -c 'sleep & sleep'`: the shell, its child, and the one in its background."""
    line = f"{processes.noting('behind')} & {processes.noting('front')}; echo never"
    began = time.monotonic()
    with pytest.raises(TimedOut, match=r"^timed out after 0\.5s$"):
        shell("a", line, timeout="500ms")()
    assert time.monotonic() - began < 5
    assert processes.are_gone("behind", "front")


def test_a_cancel_ends_the_whole_group_quickly(processes: Processes) -> None:
    """Cancelled, the lease lost, the worker stopping: all of them set `run.cancelled`."""
    called = Background(shell("a", f"{processes.noting('behind')} & {processes.noting('front')}; echo never"))
    processes.pid("behind"), processes.pid("front")
    assert called.cancel() < 1.5
    assert isinstance(called.error, Interrupted)
    assert processes.are_gone("behind", "front")


@on_linux
def test_a_cut_short_run_ends_what_has_left_the_group_too(processes: Processes) -> None:
    """Double-forked, in a session of its own, below another such one."""
    nested = f"setsid sh -c '{processes.noting('inner')} & wait'"
    line = f"(setsid {processes.noting('daemon')} &) ; {nested} & setsid -w {processes.noting('waited')}"
    called = Background(shell("a", line))
    for name in ("daemon", "inner", "waited"):
        processes.pid(name)
    called.cancel()
    assert processes.are_gone("daemon", "inner", "waited")


def test_a_command_may_clean_up_and_say_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """SIGTERM comes first, once, and what the command prints then is kept."""
    line = f"trap 'echo bye; left=5' TERM; left=1000; touch {tmp_path}/ready"
    line += "; while [ $left -gt 0 ]; do sleep 0.05; left=$((left-1)); done"
    called = Background(shell("a", line))
    wait_until("the trap is set", (tmp_path / "ready").exists)
    called.cancel()
    assert isinstance(called.error, Interrupted)
    assert capsys.readouterr().out == "bye\n"


def test_what_ignores_sigterm_is_killed(processes: Processes) -> None:
    """After three seconds, so that a worker need not be replaced (it has five)."""
    called = Background(shell("a", f"trap '' TERM; {processes.noting('deaf')} & {processes.noting('front')}"))
    processes.pid("deaf"), processes.pid("front")
    assert command.GRACE_SECONDS <= called.cancel() < 4.5
    assert processes.are_gone("deaf", "front")


def test_what_is_stopped_is_ended_too(processes: Processes) -> None:
    """A stopped process receives SIGTERM only once it goes on."""
    called = Background(shell("a", processes.argv("stopped")))
    os.kill(processes.pid("stopped"), signal.SIGSTOP)
    assert called.cancel() < 2
    assert processes.are_gone("stopped")


def test_what_a_command_leaves_in_the_background_is_ended_with_it(
    processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a moment, and the output says so; the run itself has succeeded."""
    shell("a", f"{processes.noting('left')} & sleep 0.1")()
    assert processes.are_gone("left")
    assert "left processes in the background" in capsys.readouterr().err


def test_what_a_command_leaves_in_the_background_may_finish(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reader behind bash's `tee >(…)` ends a moment after the line: it must not be cut off."""
    shell("a", f"(sleep 0.3; touch {tmp_path}/finished) & exit 0")()
    assert (tmp_path / "finished").exists()
    assert capsys.readouterr().err == ""


WORKER = """
import sys
from poller.ready_made.shell.job import shell
shell("a", sys.argv[1])()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_a_command_does_not_outlive_a_worker_that_is_killed(processes: Processes, number: int) -> None:
    """kill -9 leaves the worker no last word; the warden sees its socket close."""
    noting = processes.noting
    line = f"{noting('behind')} & (setsid {noting('daemon')} &) ; {noting('front')}; :"
    names = ("behind", "daemon", "front") if sys.platform == "linux" else ("behind", "front")
    with subprocess.Popen([sys.executable, "-c", WORKER, line]) as worker:
        for name in names:
            processes.pid(name)
        worker.send_signal(number)
    wait_until("all of them are gone", lambda: processes.are_gone(*names), timeout=5)


def test_a_command_does_not_outlive_a_worker_whose_group_is_killed(processes: Processes) -> None:
    """The warden is in no group of the worker's."""
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, f"{processes.noting('front')}; :"], start_new_session=True
    ) as worker:
        processes.pid("front")
        os.killpg(worker.pid, signal.SIGKILL)
    wait_until("it is gone", lambda: processes.are_gone("front"), timeout=5)


FORKING = """
import os, sys, time
from poller.ready_made.shell.job import shell
from poller.ready_made.shell import command
begin = command._start_warden
def begin_and_fork(link):
    started = begin(link)
    if os.fork() == 0:  # holds copies of all that the worker holds
        open(sys.argv[2] + ".new", "w").write(str(os.getpid()))
        os.rename(sys.argv[2] + ".new", sys.argv[2])
        time.sleep(1000)
    return started
command._start_warden = begin_and_fork
shell("a", sys.argv[1])()
"""


def test_a_fork_that_keeps_the_socket_open_does_not_keep_the_command(processes: Processes) -> None:
    """The warden also looks whether the worker is still its parent."""
    arguments = [f"{processes.noting('front')}; :", str(processes.folder / "note.sh.fork")]
    with subprocess.Popen([sys.executable, "-c", FORKING, *arguments]) as worker:
        processes.pid("front"), processes.pid("fork")
        worker.kill()
    wait_until("it is gone", lambda: processes.are_gone("front"), timeout=5)


def warden_of(pid: int) -> int:
    """Return the parent of a command's first process."""
    shown = subprocess.run(["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, text=True, check=True)
    warden = int(shown.stdout)
    shown = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(warden)], capture_output=True, text=True, check=True
    )
    assert shown.stdout.rstrip().endswith("warden.py")
    return warden


def test_a_killed_warden_takes_its_command_along(processes: Processes) -> None:
    """The worker sees it, ends the group, and says what is known: nothing."""
    called = Background(shell("a", f"{processes.noting('behind')} & exec {processes.noting('first')}"))
    processes.pid("behind")
    began = time.monotonic()
    os.kill(warden_of(processes.pid("first")), signal.SIGKILL)
    assert called.ended(began) < 5
    assert str(called.error) == "how the command ended is unknown: its warden was killed"
    wait_until("they are gone", lambda: processes.are_gone("behind", "first"), timeout=5)


@on_linux
def test_a_command_without_worker_and_warden_is_ended_by_the_kernel(processes: Processes) -> None:
    """Its first process; `pkill -9 -f poller` can meet both at once."""
    with subprocess.Popen([sys.executable, "-c", WORKER, f"exec {processes.noting('first')}"]) as worker:
        warden = warden_of(processes.pid("first"))
        worker.send_signal(signal.SIGSTOP)  # so that it does not see the warden go
        os.kill(warden, signal.SIGKILL)
        worker.kill()
    wait_until("it is gone", lambda: processes.are_gone("first"), timeout=5)


def test_a_warden_is_not_ended_by_signals_that_end_everything(processes: Processes) -> None:
    """systemd sends SIGTERM to a whole service; a terminal SIGINT and SIGHUP."""
    called = Background(shell("a", processes.argv("first")))
    warden = warden_of(processes.pid("first"))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(warden, number)
        time.sleep(0.05)  # else they could be one
    assert is_alive(processes.pid("first"))
    assert called.cancel() < 2
    assert isinstance(called.error, Interrupted)
    assert not is_alive(warden)


def _children() -> set[str]:
    """Return the processes that this one has started and not yet waited for."""
    return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


@on_linux
def test_nothing_is_left_of_many_commands_at_once() -> None:
    """No file, no process, no thread."""
    files = len(os.listdir("/dev/fd"))  # noqa: PTH208 - one number
    children = _children()
    threads = [threading.Thread(target=shell("a", "true; exit 0", timeout="30s")) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(os.listdir("/dev/fd")) == files  # noqa: PTH208
    assert _children() <= children


def test_a_worker_that_can_start_no_process_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of processes, or of files."""

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(CommandFailed, match="cannot start a process: Resource temporarily unavailable"):
        shell("a", "true")()


def test_a_daemon_that_holds_the_output_open_does_not_keep_the_run(processes: Processes) -> None:
    """What was detached on purpose lives on once the command has ended by itself; the run is over."""
    began = time.monotonic()
    shell("a", f"setsid {processes.noting('daemon')} & sleep 0.1")()
    assert time.monotonic() - began < 5
    assert is_alive(processes.pid("daemon"))
