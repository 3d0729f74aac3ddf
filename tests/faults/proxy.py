"""A wire between poller and Postgres that can be cut, in the ways in which networks are."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

_COMMIT = b"COMMIT"


class Proxy:
    """Takes TCP connections on 127.0.0.1 and hands what comes to a server, and back.

    Attributes:
        forwards: what comes is handed on; else it is swallowed, and nobody is told (a black hole).
        delay: seconds that what comes is on its way, each way.
        swallows_commits: how many of the next replies to a COMMIT are dropped, with their connections.
        swallows_replies: how many of the next replies to anything are: a statement alone is its own commit.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        hosts = query.get("host") or [parts.hostname or ""]
        self._host = unquote(hosts[0])
        self._server_port = int((query.get("port") or [parts.port or 5432])[0])
        self._name = f"{parts.username or 'postgres'}@127.0.0.1"
        self._database = parts.path
        self.forwards = True
        self.delay = 0.0
        self.swallows_commits = 0
        self.swallows_replies = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    @property
    def url(self) -> str:
        """The database's URL by this way."""
        return f"postgresql://{self._name}:{self._port}{self._database}"

    def cut(self) -> None:
        """Break all connections, so that both ends are told."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._host.startswith("/"):
            return await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._server_port}")
        return await asyncio.open_connection(self._host, self._server_port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        commits = _Commits(self)
        both = {writer, far_writer}
        self._writers |= both
        ways = [
            self._hand_on(reader, far_writer, commits.asked),
            self._hand_on(far_reader, writer, commits.answered),
        ]
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*ways)
        for each in both:
            each.transport.abort()
        self._writers -= both

    async def _hand_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, let: object) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                if not self.forwards:
                    continue
                if not let(data):  # type: ignore[operator]
                    break
                if self.delay:
                    await asyncio.sleep(self.delay)
                target.write(data)
                await target.drain()
        target.transport.abort()


class _Commits:
    """Watches one connection for COMMITs whose replies are to be dropped."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._doomed = False

    def asked(self, data: bytes) -> bool:
        if self._proxy.swallows_commits > 0 and _COMMIT in data:
            self._proxy.swallows_commits -= 1
            self._doomed = True
        elif self._proxy.swallows_replies > 0:
            self._proxy.swallows_replies -= 1
            self._doomed = True
        return True

    def answered(self, _: bytes) -> bool:
        return not self._doomed
