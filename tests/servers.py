"""Real servers and databases for the tests; nothing here knows pytest."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from poller import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS_TO_END = 10.0


class Cluster:
    """A Postgres server of its own in a temporary folder, as the embedded one is made, with its durability.

    It may be stopped, killed and started again, and keeps its data and its URL until it is destroyed.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="poller-test-"))
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
        file = self.folder / ".poller" / "data" / "postmaster.pid"
        return int(file.read_text().partition("\n")[0])

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
        self.stop("immediate")
        shutil.rmtree(self.folder)


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Make a cluster, started, that is destroyed at the end."""
    made = Cluster()
    try:
        made.start()
        yield made
    finally:
        made.destroy()


@contextlib.contextmanager
def shared_server() -> Iterator[str]:
    """Give the URL of a server for a whole session: POLLER_TEST_DATABASE_URL's, else a cluster's."""
    given = os.environ.get("POLLER_TEST_DATABASE_URL")
    if given:
        yield given
        return
    with cluster() as made:
        yield made.url


@contextlib.contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """Make a database on the server, give its URL, and drop it at the end, whoever is still connected."""
    name = f"poller_test_{uuid.uuid4().hex[:12]}"
    _execute(server_url, sql.SQL("create database {}").format(sql.Identifier(name)))
    try:
        yield _of_database(server_url, name)
    finally:
        _execute(server_url, sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def _execute(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def _of_database(server_url: str, name: str) -> str:
    parts = urlsplit(server_url)
    return f"{parts.scheme}://{parts.netloc}/{name}" + (f"?{parts.query}" if parts.query else "")
