"""A stage for the live screen: it runs in this process, on a real database, and a test presses its keys and reads it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from textual import events
from textual.keys import _character_to_key
from textual.widgets import Input, Static

from poller.client.database import LookingConnection, locate
from poller.registry import Registered
from poller.tui.app import Top
from poller.tui.asking import Setting
from poller.tui.looks import Looker
from tests.harness import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from textual.pilot import Pilot

    from poller import Handler, Job
    from poller.tui.lines import Lines

NARROW, WIDE = (80, 24), (200, 60)
SIZES = [NARROW, WIDE]
PERSON = "ada@desk"


class Stage:
    """The screen, and who sits before it."""

    def __init__(self, top: Top, pilot: Pilot[None]) -> None:
        self.top = top
        self.pilot = pilot

    @property
    def text(self) -> str:
        """What is on the screen."""
        return "\n".join(strip.text for strip in self.top.screen._compositor.render_strips())

    @property
    def said(self) -> str:
        """What is on the screen, and the sentences of dialogs and notices, which are broken into lines there."""
        texts = [str(each.content) for each in self.top.screen.query(Static)]
        return "\n".join([self.text, *texts, *(each.message for each in self.top._notifications)])

    @property
    def lines(self) -> Lines:
        """The list."""
        return self.top._main.lines

    async def press(self, *keys: str) -> None:
        """Press keys, quicker than a pilot does: it waits after each until all is quiet."""
        assert self.top._driver is not None
        for key in keys:
            named = key if len(key) > 1 or key.isalnum() else _character_to_key(key)
            event = events.Key(named, key if len(key) == 1 else None)
            event.set_sender(self.top)
            self.top._driver.send_message(event)
            await asyncio.sleep(0.01)
        await self.pilot.pause()

    async def until(self, what: str, holds: Callable[[], Any]) -> None:
        """Wait until something holds; fail, with what the screen shows, if it never does."""
        end = time.monotonic() + PATIENCE / 3
        while not holds():
            assert time.monotonic() < end, f"waited in vain until {what}; there is\n{self.text}"
            await asyncio.sleep(0.02)

    async def see(self, *texts: str) -> None:
        """Wait until the screen shows all of the texts."""
        for text in texts:
            await self.until(f"it shows {text!r}", lambda text=text: text in self.said)

    async def see_no(self, text: str) -> None:
        """Wait until the screen does not show the text any more."""
        await self.until(f"it shows {text!r} no more", lambda: text not in self.said)

    async def find(self, word: str) -> None:
        """Look for a word."""
        await self.press("slash")
        await self.until("it asks for a word", lambda: self.top.screen.query(Input))
        await self.press(*word, "enter")

    async def go(self, tab: str, text: str) -> None:
        """Choose a tab, and wait for a text there."""
        await self.press("g", tab)
        await self.see(text)


def looks_at(url: str, *registered: Handler | Job, package: bool = True) -> Looker:
    """Return what looks at a database."""
    return Looker(LookingConnection(locate(url), "top"), _package(registered) if package else None)


def _package(registered: tuple[Handler | Job, ...]) -> Registered:
    handlers: list[Any] = [each for each in registered if hasattr(each, "table")]
    return Registered(handlers, [each for each in registered if each not in handlers])  # type: ignore[misc]


@contextlib.asynccontextmanager
async def stage(
    url: str, *registered: Handler | Job, size: tuple[int, int] = NARROW, package: bool = True
) -> AsyncIterator[Stage]:
    """Show the screen for as long as the context lasts."""
    looks = looks_at(url, *registered, package=package)
    setting = Setting(locate(url), "shop", _package(registered) if package else None, PERSON)
    top = Top(setting, looks)
    async with top.run_test(size=size) as pilot:
        found = Stage(top, pilot)
        await found.until("it has looked", lambda: top.picture is not None)
        yield found
    top.looking.join()


def play(scene: Coroutine[Any, Any, None]) -> None:
    """Play a scene to its end."""
    asyncio.run(scene)
