"""Celery with Redis: workers of the solo pool, without results, rate limits, gossip, mingling and heartbeats.

Its guide to optimizing says to prefetch 64 or 128 where tasks are short; settings and switches of the worker leave
out results, rate limits, and what workers tell each other, of which nothing is used here. A process of the solo pool
does the tasks itself, at no cost of handing them over: on one process that was quicker than the pools of processes
(`prefork`, which has one process more for each worker) and of threads, and on two as quick. Tasks are acknowledged
just before they are done, as by default: the end is when the queue and the hash of the unacknowledged are empty.

Redis is started here with all its defaults (no append-only file: it may lose the last minutes in a crash, which no
other in the table does), in a folder of its own, on a UNIX socket. Celery has no way to put in more than one task at a
time: they go to a queue of another name, which then becomes the workers' by one `RENAME`. That is the gate.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers import installing
from benchmarks.processes import Command, Crew, at_work, put

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.peers.peer import Peer


def prepare() -> Peer:
    """Install it.

    Raises:
        UnavailableError: it cannot be had.
    """
    server = installing.found("redis-server")
    interpreter = installing.python("celery", "celery[redis]")
    return _Celery(
        name=f"Celery {installing.python_version(interpreter, 'celery')} + Redis",
        server=server,
        program=Command([str(interpreter), str(installing.PROGRAMS / "on_celery.py")]),
    )


@dataclass(frozen=True)
class _Celery:
    name: str
    server: str
    program: Command

    def race(self, server_url: str, workers: int, rows: int) -> float:  # noqa: ARG002 - it needs no Postgres
        """Return how many rows a second it drains.

        Raises:
            RuntimeError: it did not get there, or some jobs were not done.
        """
        with _redis(self.server) as redis:
            commands = [self.program.telling("work", redis.url, str(number)) for number in range(workers)]
            with at_work(commands) as crew:
                crew.wait("ready", lambda: redis.ask("CLIENT LIST").count(" cmd=brpop ") == workers)
                with put(self.program.telling("put", redis.url, str(rows))) as began:
                    crew.wait("done", lambda: redis.ask("LLEN celery") == redis.ask("HLEN unacked") == "0")
                    seconds = time.perf_counter() - began
                self.program.run("count", redis.url, str(rows))
        return rows / seconds


@dataclass(frozen=True)
class _Redis:
    """A Redis on a UNIX socket, asked in the plain form of its protocol."""

    path: Path
    connection: socket.socket

    @property
    def url(self) -> str:
        return f"redis+socket://{self.path}"

    def ask(self, command: str) -> str:
        """Return the answer: a number, or text."""
        self.connection.sendall(f"{command}\r\n".encode())
        with self.connection.makefile("rb") as answer:
            head = answer.readline().decode().strip()
            return answer.read(int(head[1:]) + 2).decode() if head.startswith("$") else head[1:]


@contextlib.contextmanager
def _redis(program: str) -> Iterator[_Redis]:
    with (
        tempfile.TemporaryDirectory(prefix="poller-redis-") as folder,
        socket.socket(socket.AF_UNIX) as connection,
    ):
        path = Path(folder) / "redis.sock"
        command = Command([program, "--port", "0", "--unixsocket", str(path), "--dir", folder])
        with at_work([command]) as crew:
            _connect(connection, path, crew)
            yield _Redis(path, connection)


def _connect(connection: socket.socket, path: Path, crew: Crew) -> None:
    crew.wait("listening", lambda: connection.connect_ex(str(path)) == 0)
