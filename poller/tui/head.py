"""The two lines at the top: which database, how old the picture is, and what the whole fleet does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from poller.duration import words
from poller.telemetry.printable import one_line
from poller.tui.columns import BAD, DIM, GOOD, PLAIN, WARN, rate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from poller.client.totals import Totals

_SPARKS = "▁▂▃▄▅▆▇█"


class LinePiece(NamedTuple):
    """A piece of a line, and how it is to be seen."""

    text: str
    tone: str = PLAIN


def first(
    database: str, totals: Totals | None, zone: tzinfo | None, late: float | None, why: str
) -> list[LinePiece]:
    """Return the first line: the database, and the time of the picture.

    Args:
        database: its name.
        totals: of the picture; None before the first.
        zone: in which the time is told; None is the local one.
        late: the picture's age in seconds, if it is too old.
        why: the database cannot be asked.
    """
    pieces = [LinePiece("poller  ", DIM), LinePiece(one_line(database) + "  ")]
    if totals is None:
        return [*pieces, LinePiece(why or "looking …", BAD if why else DIM)]
    at = totals.as_of.astimezone(zone)
    told = f"{at:%H:%M:%S} {at.tzname() or ''}".rstrip()
    if late is None:
        return [*pieces, LinePiece("● ", GOOD), LinePiece(told)]
    return [
        *pieces,
        LinePiece("○ ", BAD),
        LinePiece(f"as of {told}, {words(late)} ago"),
        LinePiece(f"  {why}", BAD),
    ]


def second(totals: Totals | None, rates: Sequence[float] = ()) -> list[LinePiece]:
    """Return the second line: the fleet's numbers, with its rates of the last minutes as bars."""
    if totals is None:
        return []
    return [
        *_number(totals.done_per_minute, "done/min", PLAIN),
        *([LinePiece(f"{spark(rates)}  ", DIM)] if rates else []),
        *_number(totals.failed_per_minute, "failed/min", BAD),
        *_number(totals.in_flight, "in flight", GOOD),
        *_number(totals.waiting, "waiting", WARN),
        *_number(totals.parked, "parked", BAD),
        *_number(
            totals.workers, "worker" if totals.workers == 1 else "workers", PLAIN if totals.workers else WARN
        ),
    ]


def spark(rates: Sequence[float]) -> str:
    """Return numbers as bars, the highest of them as high as a line."""
    most = max(rates, default=0.0)
    if not most:
        return _SPARKS[0] * len(rates)
    return "".join(_SPARKS[round((len(_SPARKS) - 1) * each / most)] for each in rates)


def _number(value: float, name: str, tone: str) -> list[LinePiece]:
    return [LinePiece(rate(value), tone if value else DIM), LinePiece(f" {name}  ", PLAIN if value else DIM)]
