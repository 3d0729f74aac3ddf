"""`poller next`."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from poller.errors import ConfigurationError, PollerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

    from poller.schedules.slots import Schedule

Expression = Annotated[
    str,
    typer.Argument(metavar="EXPR", help="'0 3 * * *', with seconds first if it has six fields; '@every 5m'."),
]
Zone = Annotated[str, typer.Option("--tz", metavar="ZONE", help="The IANA time zone, such as Europe/Berlin.")]
Count = Annotated[int, typer.Option("--count", min=1, metavar="N", help="How many.")]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        show_default=False,
        help="Those after this time: 2030-01-01T03:00+01:00, or in --tz without offset.  [default: now]",
    ),
]


class NoSlotError(PollerError):
    """A schedule that is over: the command's own negative answer."""

    exit_status = 1


def next_(expression: Expression, *, tz: Zone = "UTC", count: Count = 5, from_: From = None) -> None:
    """Print the next slots of an expression, in its time zone. No database is asked.

    A fixed rate is counted from --from. Exits with 1 if there are none.
    """
    from poller.schedules import slots, wall_clock  # noqa: PLC0415 - `--help` is not to wait for it

    schedule = slots.parse(expression, tz)
    if isinstance(schedule, slots.FixedDelay):
        msg = (
            f"{expression!r} counts from the finish of each run, so that its slots cannot be told in advance"
        )
        raise ConfigurationError(msg)
    zone = wall_clock.zone(schedule.tz if isinstance(schedule, slots.Cron) else tz)
    start = datetime.now(UTC).replace(microsecond=0) if from_ is None else instant(from_, zone, "--from")
    _print(schedule, start, zone, count)


def _print(schedule: Schedule, start: datetime, zone: tzinfo, count: int) -> None:
    printed = 0
    for slot in islice(_slots(schedule, start, zone), count):
        typer.echo(slot.isoformat())
        printed += 1
    if not printed:
        msg = f"{schedule} has no slot after {start.isoformat()}"
        raise NoSlotError(msg)


def _slots(schedule: Schedule, start: datetime, zone: tzinfo) -> Iterator[datetime]:
    """Go through the slots after a time, from which those of a fixed rate are counted."""
    with contextlib.suppress(OverflowError):  # the calendar ends
        slot = schedule.next_after(start, start)
        while slot is not None:
            yield slot.astimezone(zone)
            slot = schedule.next_after(slot, start)


def instant(text: str, zone: tzinfo, option: str) -> datetime:
    """Return the time that was given as an option.

    Args:
        text: ISO 8601.
        zone: where it is meant, if it has no offset.
        option: the option's name.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo is not None else found.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        msg = f"{option}: {text!r} is not a time; write it like 2030-01-01T03:00 or 2030-01-01T03:00+01:00"
        raise ConfigurationError(msg) from None
