"""`poller next`; and the schedule that the options of `poller jobs add` make."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from poller.errors import ConfigurationError, PollerError
from poller.schedules import slots, wall_clock

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
        help="Show slots after this time: 2030-01-01T03:00+01:00, or in --tz without offset.  [default: now]",
    ),
]


class NoSlotError(PollerError):
    """The schedule is over: the command's negative answer."""

    exit_status = 1


def next_(expression: Expression, *, tz: Zone = "UTC", count: Count = 5, from_: From = None) -> None:
    """Print the next slots of an expression, in its time zone. No database is needed.

    A fixed rate is counted from --from. Exits with 1 if there are none.
    """
    schedule = slots.parse(expression, tz)
    if isinstance(schedule, slots.FixedDelay):
        msg = f"{expression!r} counts from the finish of each run, so its slots cannot be known in advance"
        raise ConfigurationError(msg)
    name = schedule.tz if isinstance(schedule, slots.Cron) else tz
    start = datetime.now(UTC).replace(microsecond=0) if from_ is None else instant(from_, name, "--from")
    _print(schedule, start, wall_clock.zone(name), count)


def _print(schedule: Schedule, start: datetime, zone: tzinfo, count: int) -> None:
    printed = 0
    for slot in islice(_slots(schedule, start, zone), count):
        typer.echo(slot.isoformat())
        printed += 1
    if not printed:
        msg = f"{schedule} has no slot after {start.isoformat()}"
        raise NoSlotError(msg)


def _slots(schedule: Schedule, start: datetime, zone: tzinfo) -> Iterator[datetime]:
    """Yield the slots after a time; those of a fixed rate are counted from it."""
    with contextlib.suppress(OverflowError):  # the calendar ends
        slot = schedule.next_after(start, start)
        while slot is not None:
            yield slot.astimezone(zone)
            slot = schedule.next_after(slot, start)


def instant(text: str, tz: str, option: str) -> datetime:
    """Return the time that was given as an option.

    Args:
        text: ISO 8601.
        tz: the IANA zone in which it is meant, if it has no offset.
        option: the option's name.

    Raises:
        ConfigurationError: it is not a time, or there is no such zone.
    """
    zone = wall_clock.zone(tz)
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo is not None else found.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        msg = f"{option}: {text!r} is not a time; write it like 2030-01-01T03:00 or 2030-01-01T03:00+01:00"
        raise ConfigurationError(msg) from None


def schedule_of(cron: str | None, every: float | None, delay: float | None, at: str | None, tz: str) -> str:
    """Return the one schedule given by options, as text.

    Raises:
        BadParameter: there is none, or more than one.
        ConfigurationError: it is not a schedule, or there is no such zone.
    """
    if sum(each is not None for each in (cron, every, delay, at)) != 1:
        msg = "give one of --cron, --every, --delay and --at"
        raise typer.BadParameter(msg)
    wall_clock.zone(tz)
    if cron is not None:
        return str(slots.Cron.parse(cron, tz))
    if at is not None:
        return str(slots.At(instant(at, tz, "--at")))
    return str(slots.Every(every) if every is not None else slots.FixedDelay(delay or 0.0))
