"""A folder's own Postgres, in `<folder>/.poller/`: a real server, started on demand and left running.

Model. `initdb` and `pg_ctl` of the `embedded` extra are driven directly; its own start and stop, which count
users and make parent folders accessible to all accounts, are not used. Two locks (flock) tell the state:

- `.poller/lock` is held by a command while it starts or stops the server: commands take turns.
- `data/PG_VERSION` is locked by the server: its processes inherit the open file, and keep the lock for as
  long as one of them lives. That tells whether `postmaster.pid` may be trusted, not the process id in it: ids
  are used again after a reboot, copied along with a folder, and mean nothing in another container.

Failures. What is killed while it starts is finished, or begun again, by the next start: `initdb` works beside
`data` and its result is moved there. A stale `postmaster.pid` is removed, and processes that a killed
postmaster left behind are ended. The server lives in the container or service that started it, and ends with
that.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pwd
import shlex
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from poller.db.embedded_programs import (
    NOT_INSTALLED,
    Programs,
    accepts,
    command_line,
    end_processes,
    give,
    has_name,
    is_installed,
    newest,
    opened,
    programs_for,
    short_sockets,
    sockets,
)
from poller.errors import ConfigurationError, DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PORT = 5432  # only a part of the socket's name: no TCP port is opened
_SOCKET = f".s.PGSQL.{_PORT}"
_START_SECONDS = 120  # a start may have to recover from a crash
_PATIENCE_SECONDS = 30.0
_READY = 7  # the line of postmaster.pid that tells the server's state
_DIRECTORY = 4  # the one that tells where its socket is
# Written into postgresql.conf, where the folder's owner may change them.
_SETTINGS = {"max_connections": "200", "timezone": "UTC", "log_timezone": "UTC"}
_INITDB = (
    *("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-instructions"),
    *("--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    *(f"--set={name}={value}" for name, value in _SETTINGS.items()),
)


def missing() -> str | None:
    """Return what must be installed before a folder can have a server; None if nothing."""
    return None if is_installed() else NOT_INSTALLED


def start(folder: Path) -> str:
    """Start the folder's server if it is not running, and leave it running.

    Args:
        folder: holds the server in its `.poller`; the first start creates that, in about a second.

    Returns:
        The server's libpq URL; nothing in it needs escaping.

    Raises:
        ConfigurationError: the extra is missing, the folder cannot be written, or the data are of a
            Postgres that the extra does not ship.
        DatabaseError: the data cannot be made, or the server does not start.
    """
    return running(folder) or _start(_home(folder))


def running(folder: Path) -> str | None:
    """Return the URL of the folder's server if it takes connections, without starting it.

    Raises:
        ConfigurationError: the folder cannot be read.
    """
    home = _home(folder)
    with _plainly(home):
        return _answer(home) if _lives(home) else None


def alive(folder: Path) -> bool:
    """Tell whether any process of the folder's server lives, even one that does not answer.

    Raises:
        ConfigurationError: the folder cannot be read.
    """
    home = _home(folder)
    with _plainly(home):
        return _lives(home)


def stop(folder: Path, *, mode: Literal["fast", "immediate"] = "fast") -> bool:
    """Stop the folder's server and wait until its last process is gone; False if it did not run.

    Args:
        folder: what keeps the server.
        mode: as in `pg_ctl`: "fast" ends its sessions, "immediate" leaves a recovery to the next start.

    Raises:
        ConfigurationError: the extra is missing, or the folder cannot be written.
        DatabaseError: the server does not stop.
    """
    home = _home(folder)
    if not alive(folder):
        return False
    with _plainly(home), _turn(home):
        programs = programs_for(home.data, home.log)
        reason = programs.run("pg_ctl", home.data, "-s", "-m", mode, "stop")
        lock = _lock_data(home)
        if lock is None:
            msg = f"the embedded Postgres did not stop: {reason or 'it is still running'}; see {home.log}"
            raise DatabaseError(msg)
        os.close(lock)
        with contextlib.suppress(OSError):
            short_sockets(home.name(), programs).rmdir()
    return True


def psql_path() -> Path:
    """Return the `psql` of the newest Postgres that the extra ships.

    Raises:
        ConfigurationError: the extra is missing.
    """
    return newest() / "psql"


@dataclass(frozen=True)
class _Home:
    """`<folder>/.poller`, and what lies in it."""

    path: Path

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def version(self) -> Path:
        return self.data / "PG_VERSION"

    @property
    def pid_file(self) -> Path:
        return self.data / "postmaster.pid"

    @property
    def log(self) -> Path:
        return self.path / "postgres.log"

    def name(self) -> str:
        """Return the name that `ps` shows for the server's processes; it goes with the data, copied or moved."""
        place = self.data.stat()
        identifier = (self.data / "global" / "pg_control").read_bytes()[:8]  # drawn by initdb
        whole = identifier + f"{place.st_dev}:{place.st_ino}".encode()
        return f"poller-{hashlib.blake2s(whole, digest_size=6).hexdigest()}"

    def postmaster(self) -> list[str]:
        """Return the lines of postmaster.pid, none if there is no such file."""
        try:
            return [line.strip() for line in self.pid_file.read_text().splitlines()]
        except FileNotFoundError:
            return []


def _home(folder: Path) -> _Home:
    return _Home(folder.resolve() / ".poller")


@contextlib.contextmanager
def _plainly(home: _Home) -> Iterator[None]:
    """Turn an error of the operating system into one line."""
    try:
        yield
    except OSError as error:
        why = f"{error.strerror or error} ({error.filename or 'poller itself'})"
        msg = f"cannot keep a Postgres in {home.path}: {why}; use another folder"
        raise ConfigurationError(msg, "no_embedded") from error


# Is it there?


def _lives(home: _Home) -> bool:
    try:
        file = os.open(home.version, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _answer(home: _Home) -> str | None:
    lines = home.postmaster()
    if lines[_READY : _READY + 1] != ["ready"]:
        return None
    host = home.data if lines[_DIRECTORY] == "." else Path(lines[_DIRECTORY])
    if not accepts(host / _SOCKET):
        return None
    return f"postgresql://postgres@/postgres?host={host}&port={_PORT}"


# Start


def _start(home: _Home) -> str:
    with _plainly(home):
        _ensure_home(home)
        with _turn(home) as turn:
            programs = programs_for(home.data, home.log)
            if not home.version.exists():
                _create(home, programs, turn)
            _ensure_server(home, programs)
            url = _answer(home)
    if url is None:
        msg = f"the embedded Postgres does not answer; see {home.log}, then stop it and try again"
        raise DatabaseError(msg)
    return url


def _ensure_home(home: _Home) -> None:
    owner = home.path.parent.stat().st_uid
    if os.geteuid() == 0 != owner and has_name(owner):
        # Its owner could replace .poller by a link at any moment, and make root give away what it points to.
        name = pwd.getpwuid(owner).pw_name
        msg = f"{home.path.parent} belongs to {name}; run this as {name} (sudo -u {name} …)"
        raise ConfigurationError(msg, "no_embedded")
    with contextlib.suppress(FileExistsError):
        home.path.mkdir(mode=0o700)
    if not (home.path / ".gitignore").exists():
        with opened(home.path / ".gitignore") as file:
            os.write(file, b"*\n")


@contextlib.contextmanager
def _turn(home: _Home) -> Iterator[int]:
    """Wait for other commands that are starting or stopping this server."""
    with opened(home.path / "lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield file
        finally:
            # Closing would not do: a process forked meanwhile has the file open too.
            fcntl.flock(file, fcntl.LOCK_UN)


def _create(home: _Home, programs: Programs, turn: int) -> None:
    """Create the data beside their final place: data in that place are always complete."""
    for left_over in home.path.glob(".initdb-*"):
        shutil.rmtree(left_over)
    fresh = Path(tempfile.mkdtemp(prefix=".initdb-", dir=home.path))
    try:
        if programs.account is not None:
            give(fresh, programs.account)
        # It inherits our lock: should we be killed, no other command may begin before it has ended.
        reason = programs.run("initdb", fresh, *_INITDB, keep=turn)
        if reason is not None:
            msg = f"Postgres cannot create its data in {home.path}: {reason}; fix that"
            raise DatabaseError(msg, "no_embedded")
        fresh.rename(home.data)
        _sync(home.path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _ensure_server(home: _Home, programs: Programs) -> None:
    if programs.account is not None:
        give(home.data, programs.account, inside=True)  # what root has copied is root's
    lock = _lock_data(home)
    if lock is None:
        return
    try:
        where = sockets(home.data / _SOCKET, home.name(), programs)
        # No server process lives, so these are stale; if their process id is in use again, Postgres would not start.
        for stale in (home.pid_file, home.data / where / f"{_SOCKET}.lock"):
            stale.unlink(missing_ok=True)
        how = ("-s", "-w", "-t", str(_START_SECONDS), "-o", _options(home, where))
        reason = programs.run("pg_ctl", home.data, *how, "start", keep=lock)
    finally:
        os.close(lock)  # the server keeps it
    if reason is not None:
        msg = f"the embedded Postgres did not start: {reason}; see {home.log}"
        raise DatabaseError(msg, "no_embedded")


def _lock_data(home: _Home) -> int | None:
    """Lock the data as a server does, once no process of an earlier one lives; None if one goes on living."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (lock := _try_lock(home)) is None:
        if _answer(home) is not None or time.monotonic() > deadline:
            return None
        _end_orphans(home)
        time.sleep(0.02)
    return lock


def _try_lock(home: _Home) -> int | None:
    lock = os.open(home.version, os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _options(home: _Home, where: str) -> str:
    settings = {
        "cluster_name": home.name(),
        "listen_addresses": "",
        "port": str(_PORT),
        "unix_socket_permissions": "0600",
        "unix_socket_directories": where,
    }
    return shlex.join(f"--{name}={value}" for name, value in settings.items())


def _end_orphans(home: _Home) -> None:
    """End the processes that a killed postmaster left: a busy backend notices only after its query."""
    lines = home.postmaster()
    if lines and not command_line(lines[0]):
        end_processes(f"postgres: {home.name()}: ", home.data.stat().st_uid)
