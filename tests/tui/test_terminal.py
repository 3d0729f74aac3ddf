"""`poller top` in a terminal of its own, and where there is none."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_line import make_tenants, the_line
from tests.harness import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.command_line import InProcess
    from tests.harness import Project

HANDLERS = """
@handler("tenants", status="pending", to="normal")
def initialise(tenant):
    pass
"""
ENTERED, LEFT, CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|4[0-7]|9[0-7]|10[0-7]|38|48)(?:;\d+)*m")


class Terminal:
    """A terminal, and the program in it."""

    def __init__(self, project: Project, *arguments: str, **extra: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._theirs = theirs
        self.modes = termios.tcgetattr(theirs)
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "poller", "top", *arguments],
            cwd=project.folder,
            env=project.environment(TERM="xterm-256color", **extra),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        self.output = ""

    def read(self) -> None:
        """Read what has come."""
        while select.select([self._ours], [], [], 0.02)[0]:
            self.output += os.read(self._ours, 65536).decode(errors="replace")

    def wait_for(self, text: str) -> None:
        """Wait until the program has written a text."""
        end = time.monotonic() + PATIENCE
        while text not in self.output:
            assert time.monotonic() < end, f"waited in vain for {text!r} in {self.output!r}"
            assert self.popen.poll() is None, self.output
            self.read()

    def wait(self) -> int:
        """Return the exit status once it has ended."""
        end = time.monotonic() + PATIENCE
        while self.popen.poll() is None:
            assert time.monotonic() < end, "it does not end"
            self.read()
        self.read()
        return self.popen.returncode

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._ours, keys)

    @property
    def modes_now(self) -> list[Any]:
        """The terminal's modes."""
        return termios.tcgetattr(self._theirs)

    def close(self) -> None:
        """End the program, whatever it does, and the terminal."""
        with contextlib.suppress(ProcessLookupError):
            self.popen.kill()
        self.popen.wait()
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def terminal(project: Project, db: psycopg.Connection[Any]) -> Iterator[Any]:
    """Opens terminals with `poller top` in them."""
    make_tenants(db, "pending")
    project.handlers(HANDLERS)
    with contextlib.ExitStack() as stack:

        def opened(*arguments: str, **extra: str) -> Terminal:
            made = Terminal(project, *arguments, **extra)
            stack.callback(made.close)
            return made

        yield opened


@pytest.mark.parametrize("ends_by", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, b"\x03"], ids=str)
def test_the_terminal_is_as_it_was_however_the_screen_ends(terminal: Any, ends_by: Any) -> None:
    """The exit status is 0, at once, and nothing is left on the screen."""
    it = terminal()
    it.wait_for("done/min")
    assert ENTERED in it.output
    assert it.modes_now != it.modes
    asked = time.monotonic()
    it.type(ends_by) if isinstance(ends_by, bytes) else it.popen.send_signal(ends_by)
    assert it.wait() == 0, it.output
    assert time.monotonic() - asked < 5
    assert it.modes_now == it.modes
    assert it.output.rindex(LEFT) > it.output.rindex(ENTERED)
    assert CURSOR in it.output[it.output.rindex(LEFT) :]
    assert "Traceback" not in it.output


def test_without_colours_there_are_none(terminal: Any) -> None:
    """`NO_COLOR` is obeyed; without it there are some."""
    plain, coloured = terminal(NO_COLOR="1"), terminal()
    for it in (plain, coloured):
        it.wait_for("done/min")
        it.type(b"q")
        assert it.wait() == 0
    assert COLOUR.search(coloured.output)
    assert not COLOUR.search(plain.output)


def test_what_is_wrong_is_said_before_the_screen_is_taken(terminal: Any, db: psycopg.Connection[Any]) -> None:
    """A database without poller's schema, say: one line, exit status 2."""
    db.execute("drop schema poller cascade")
    it = terminal()
    assert it.wait() == 2
    assert it.output.strip() == "this database has no schema poller yet; run: poller migrate"


def test_an_error_of_its_own_shows_no_password(terminal: Any, project: Project) -> None:
    """The traceback comes after the screen, without the values of variables."""
    (project.folder / "sitecustomize.py").write_text(
        "import poller.tui.head\npoller.tui.head.second = lambda *_: 1 / 0\n"
    )
    url = f"{project.url}&application_name=hunter2"
    it = terminal(POLLER_DATABASE_URL=url, PYTHONPATH=str(project.folder))
    assert it.wait() == 70
    assert "ZeroDivisionError" in it.output[it.output.rindex(LEFT) :]
    assert "hunter2" not in it.output
    assert it.modes_now == it.modes


# --- without a terminal --------------------------------------------------------------------------------


def test_one_frame_is_printed_as_text(project: Project, db: psycopg.Connection[Any]) -> None:
    """For scripts: no terminal is needed, nor textual."""
    make_tenants(db, "pending", "pending")
    project.handlers(HANDLERS)
    (project.folder / "textual.py").write_text("raise ImportError('it is not needed')\n")
    ended = project.run("top", "--once")
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("poller  poller_test_")
    assert lines[1].startswith("0 done/min")
    assert any(line.split()[:2] == ["pending", "████████████████████"] and "2" in line for line in lines)
    assert [each for each in lines if each and not each.startswith((" ", "poller", "0"))] == [
        "Status",
        "Trouble",
        "Next runs",
        "Actions",
    ]


def test_a_frame_needs_no_handlers_package(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """Handlers are those that workers have registered."""
    make_tenants(db, "pending")
    db.execute(
        "insert into poller.handler (table_name, status, definition)"
        """ values ('public.tenants', 'pending', '{"to": ["normal"]}')"""
    )
    ended = here.run("top", "--once")
    assert ended.returncode == 0, ended.stderr
    assert "normal" in ended.stdout


def test_a_package_that_cannot_be_imported_is_told(project: Project) -> None:
    """Rather than left out."""
    project.handlers("import nowhere_at_all\n")
    assert "handlers cannot be imported: ModuleNotFoundError" in the_line(project.run("top", "--once"))


def test_without_a_terminal_it_says_what_to_do(here: InProcess) -> None:
    """In one line, with the exit status of usage."""
    line = the_line(here.run("top"))
    assert "needs a terminal" in line
    assert "poller top --once" in line


def test_without_the_extra_it_says_what_to_do(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, with the exit status of usage."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    line = the_line(here.run("top"))
    assert "pip install 'poller[top]'" in line
