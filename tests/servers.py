"""Real servers and databases for the tests; nothing here knows pytest."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from poller.db import embedded, embedded_programs
from poller.db.connection import is_cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROOT = Path(__file__).parents[1]
_SECONDS_TO_END = 10.0
_MEMORY = Path("/dev/shm")  # a file system that Linux keeps in memory
_ROOM = 2 << 30  # bytes that must be free there: a container may have been given next to nothing
# Nobody pulls its plug, and each test makes a database: so it waits for no disk, and writes no page twice.
_QUICK = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "128MB"}
_makers: dict[str, psycopg.Connection[Any]] = {}  # by the URL of their server
_GUARD = """
import pathlib, shutil, sys
from poller.db import embedded

folder = pathlib.Path(sys.argv[1])
sys.stdin.buffer.read(1)  # returns when it is told to clean up, and when nobody is left to tell
for home in [folder, *(found.parent for found in folder.rglob(".poller"))]:
    embedded.stop(home, mode="immediate")
shutil.rmtree(folder)
"""


def memory() -> Path | None:
    """Return a folder in memory, if there is room: there databases are copied three times as quickly as on a disk."""
    return _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM else None


class TemporaryFolder:
    """A folder with a short path; servers started in it end with it, and it ends with this process.

    A process of its own sees to that: a test run that is killed, by a timeout say, cleans up nothing, and its
    servers would go on for ever.

    Args:
        parent: the folder that it is made in.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="poller-test-", dir=parent)).resolve()
        # A session of its own: what is sent to end the tests is not to end it.
        self._guard = subprocess.Popen(
            [sys.executable, "-c", _GUARD, str(self.path)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def remove(self) -> None:
        """Stop the servers in the folder and remove it.

        Raises:
            RuntimeError: that failed; the reason is on standard error.
        """
        self._guard.communicate(b"now")
        if self._guard.returncode:
            msg = f"{self.path} is not cleaned up"
            raise RuntimeError(msg)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder with a short path, and remove it in the end; servers in it are stopped."""
    folder = TemporaryFolder()
    try:
        yield folder.path
    finally:
        folder.remove()


class Cluster:
    """A Postgres server of its own in a temporary folder, as the embedded one is made, with its durability.

    It may be stopped, killed and started again, and keeps its data and its URL until it is destroyed.

    Args:
        parent: where its folder is made.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self._temporary = TemporaryFolder(parent)
        self.folder = self._temporary.path
        self._url: str | None = None

    @property
    def url(self) -> str:
        """Its libpq URL; it starts for that if it has never been started."""
        return self._url or self.start()

    @property
    def pid(self) -> int:
        """The id of its postmaster.

        Raises:
            FileNotFoundError: it is stopped.
        """
        return postmaster(self.folder)

    def start(self) -> str:
        """Start it if it does not run, and return its URL once it takes connections."""
        self._url = embedded.start(self.folder)
        return self._url

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop it and wait for its end; "immediate" has it recover from a crash when it starts again."""
        embedded.stop(self.folder, mode=mode)

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop it and start it again."""
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """Kill its postmaster with SIGKILL, and wait until the processes that it leaves have ended.

        Raises:
            TimeoutError: one of them is too busy to notice that it is alone.
        """
        os.kill(self.pid, signal.SIGKILL)
        deadline = time.monotonic() + _SECONDS_TO_END
        while embedded.alive(self.folder):
            if time.monotonic() > deadline:
                msg = f"processes of {self.folder} live on"
                raise TimeoutError(msg)
            time.sleep(0.005)

    def destroy(self) -> None:
        """End it, if it runs, and remove its data."""
        self._temporary.remove()


@contextlib.contextmanager
def cluster(parent: Path | None = None) -> Iterator[Cluster]:
    """Make a cluster, started, that is destroyed at the end."""
    made = Cluster(parent)
    try:
        made.start()
        yield made
    finally:
        made.destroy()


@contextlib.contextmanager
def shared_server() -> Iterator[str]:
    """Give the URL of a server for a whole session: POLLER_TEST_DATABASE_URL's, else a cluster's."""
    given = os.environ.get("POLLER_TEST_DATABASE_URL")
    with contextlib.ExitStack() as stack:
        url = given or stack.enter_context(cluster(memory())).url
        if not given:
            _hurry(url)
        stack.callback(_close_makers)
        yield url


def _hurry(url: str) -> None:
    for name, value in _QUICK.items():
        setting = sql.SQL("alter system set {} = {}")
        _maker(url).execute(setting.format(sql.Identifier(name), sql.Literal(value)))
    _maker(url).execute("select pg_reload_conf()")


def _close_makers() -> None:
    for each in _makers.values():
        each.close()
    _makers.clear()


@contextlib.contextmanager
def fresh_database(server_url: str, template: str | None = None) -> Iterator[str]:
    """Make a database on the server, give its URL, and drop it at the end, whoever is still connected.

    Args:
        server_url: any database of the server.
        template: the URL of a database to copy, to which nobody is connected; an empty one without.
    """
    name = f"poller_test_{uuid.uuid4().hex[:12]}"
    original = "template0" if template is None else urlsplit(template).path.removeprefix("/")
    copies = _maker(server_url).info.server_version >= 150000
    _maker(server_url).execute(
        sql.SQL("create database {} template {}{}").format(
            sql.Identifier(name), sql.Identifier(original), sql.SQL(" strategy file_copy" if copies else "")
        )
    )
    try:
        yield _of_database(server_url, name)
    finally:
        _maker(server_url).execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def _maker(server_url: str) -> psycopg.Connection[Any]:
    """Return the connection on which databases are made and dropped: one, since each costs what a small test does."""
    if server_url in _makers and is_cut(_makers[server_url]):  # its server was started anew
        _makers.pop(server_url).close()
    if server_url not in _makers:
        _makers[server_url] = psycopg.connect(server_url, autocommit=True)
    return _makers[server_url]


def create_encoded(connection: psycopg.Connection[Any], name: str, encoding: str) -> None:
    """Make a database of an encoding; before Postgres 15 its locale can have no other provider."""
    provider = " locale_provider libc" if connection.info.server_version >= 150000 else ""
    connection.execute(
        sql.SQL("create database {} template template0 encoding {} locale 'C'{}").format(
            sql.Identifier(name), sql.Literal(encoding), sql.SQL(provider)
        )
    )


def _of_database(server_url: str, name: str) -> str:
    parts = urlsplit(server_url)
    return f"{parts.scheme}://{parts.netloc}/{name}" + (f"?{parts.query}" if parts.query else "")


def query(url: str, statement: str) -> object:
    """Return the first value that a statement gives, None if it gives no rows."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return row and row[0]


def postmaster(folder: Path) -> int:
    """Return the process id of a folder's embedded server.

    Raises:
        FileNotFoundError: it is stopped.
    """
    file = folder / ".poller" / "data" / "postmaster.pid"
    return int(file.read_text().partition("\n")[0])


def can_run_servers(account: str) -> bool:
    """Tell whether the account can reach the programs of this environment, when root asks."""
    found = pwd.getpwnam(account)
    program = embedded_programs.newest() / "postgres"
    try:
        subprocess.run(
            [program, "--version"],
            user=found.pw_uid,
            group=found.pw_gid,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def as_account(name: str, work: Callable[[], object]) -> str:
    """Return what the work returns or raises, as text, when root's child does it as another account."""
    embedded_programs.shipped()  # what the child imports it may not be able to read
    entry = pwd.getpwnam(name)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        try:
            answer = str(work())
        except BaseException as error:  # noqa: BLE001 - the parent asserts what it is
            answer = f"{type(error).__name__}: {error}"
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer
