"""Makes the table of docs/events.md from the events' docstrings and fields: `python -m tests.telemetry.events_page`."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from poller.telemetry import events
from poller.telemetry.events import Event, HandlerEvent, RowEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "events.md"
START = "| Event | When | Fields |"

_GROUPS = (HandlerEvent, RowEvent)


def every() -> list[type[Event]]:
    """Return the classes of all events, in the order of their module."""
    found = [each for each in vars(events).values() if isinstance(each, type) and issubclass(each, Event)]
    return [each for each in found if each is not Event and each not in _GROUPS]


def markdown() -> str:
    """Return the table of all events, as docs/events.md has it."""
    return "\n".join(["| Event | When | Fields |", "| --- | --- | --- |", *map(_line, every())])


def _line(event: type[Event]) -> str:
    when = " ".join(inspect.cleandoc(event.__doc__ or "").split())
    return f"| `{event.__name__}` | {when} | {', '.join(_fields(event))} |"


def _fields(event: type[Event]) -> Iterator[str]:
    common = {each.name for each in dataclasses.fields(HandlerEvent)}
    if issubclass(event, HandlerEvent):
        yield "the handler's"
    for each in dataclasses.fields(event):
        if each.name not in common or not issubclass(event, HandlerEvent):
            yield f"`{each.name}: {each.type}`".replace("|", "\\|")


def main() -> None:
    """Renew the table at the end of the page."""
    text = PAGE.read_text(encoding="utf-8").partition(START)[0]
    PAGE.write_text(f"{text}{markdown()}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
