"""`poller alerts` with `test`, and `poller silence`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

import poller
from poller.cli import render
from poller.cli.command_client import client
from poller.cli.options import Actor, AsJson, Database, duration, refuse_options_before
from poller.errors import ConfigurationError
from poller.telemetry.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.client.alerts import Episode, Silence

MOST_NOTICES = 20  # that people are shown
SHOWN = 5  # names of what was silenced

app = typer.Typer(invoke_without_command=True)


@app.callback()
def alerts(context: typer.Context, *, as_json: AsJson = False, database: Database = None) -> None:
    """Show what goes wrong, and the last notices of it; try a target.

    What is over is shown for a day. With --json, each episode has its notices.
    """
    if context.invoked_subcommand is not None:
        refuse_options_before(context)
        return
    asked = client(database)
    page = asked.alerts()
    render.listing(page.items, _episodes(page.as_of), as_json=as_json, empty="nothing goes wrong")
    if not as_json:
        _say_more(page.items, asked.silences().items, page.as_of)


@app.command()
def test(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="TARGET", help="Its name in the settings.")],
) -> None:
    """Send a message to a target, now. Exits with 1 if it does not arrive."""
    section = context.obj.sections.get("alerts")
    if section is None:
        msg = f"the settings have no target {name!r}: they have no section alerts; see docs/alerts.md"
        raise ConfigurationError(msg)
    poller.Client.try_target(name, section)
    render.say(f"{name} was reached")


def _lasting(text: str | float) -> float:
    return 0.0 if text == "0" else duration(text)


def silence(  # noqa: PLR0913 - its options
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A job, a host, TABLE or TABLE:STATUS; * and ? stand for others."
        ),
    ],
    lasts: Annotated[
        float | None,
        typer.Argument(
            parser=_lasting, metavar="TIME", show_default=False, help="For how long: 2h. 0 ends it."
        ),
    ] = None,
    *,
    reason: Annotated[
        str | None,
        typer.Option("--reason", metavar="TEXT", show_default=False, help="Why; shown with the silence."),
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="End the silence of this name.")] = False,
    actor: Actor = None,
    database: Database = None,
) -> None:
    """Silence alerts about jobs, handlers or hosts for a while.

    Trouble is still shown by poller alerts, and is reported at the end of the silence if it lasts until then. Exits with
    1 if nothing is known by the name.
    """
    if (lasts is None) != end:
        msg = "say for how long, as in 2h, or --end"
        raise typer.BadParameter(msg)
    done = client(database, actor=actor).silence(name, 0.0 if lasts is None else lasts, reason)
    if done.until is None:
        render.say(f"{name} is not silenced any more")
    else:
        until = done.until.isoformat(timespec="seconds")
        named = ", ".join(map(one_line, done.subjects[:SHOWN]))
        render.say(f"silenced until {until}: {named}{_more(len(done.subjects) - SHOWN)}")


def _more(count: int) -> str:
    return f" and {count:,} more" if count > 0 else ""


def _episodes(now: datetime) -> tuple[render.ListingColumn, ...]:
    return (
        render.ListingColumn("what", lambda line: line.kind),
        render.ListingColumn("of", lambda line: line.type),
        render.ListingColumn("name", lambda line: line.subject, roomy=True),
        render.ListingColumn("state", _state),
        render.ListingColumn("since", lambda line: render.since(line.opened_at, now)),
        render.ListingColumn("last", lambda line: render.since(line.last_at, now)),
        render.ListingColumn("times", lambda line: line.times or None, right=True),
        render.ListingColumn("error", _error, roomy=True),
        render.ListingColumn("told", lambda line: ", ".join(line.targets), roomy=True),
    )


def _state(line: Episode) -> str:
    if line.closed_at is not None:
        return "over"
    return "silent" if line.silent else "open"


def _error(line: Episode) -> str:
    error = " at ".join(filter(None, (line.error, line.place)))
    return ", ".join(filter(None, (error, line.detail)))


def _say_more(episodes: Sequence[Episode], silences: Sequence[Silence], now: datetime) -> None:
    """Print the last notices, and the silences that hold."""
    told: list[tuple[Episode, Any]] = [(each, notice) for each in episodes for notice in each.notices]
    told.sort(key=lambda pair: pair[1].at, reverse=True)
    if told:
        render.say("\nlast notices")
        columns = (
            render.ListingColumn("at", lambda pair: render.since(pair[1].at, now)),
            render.ListingColumn("target", lambda pair: pair[1].target),
            render.ListingColumn("notice", lambda pair: pair[1].reason),
            render.ListingColumn("of", lambda pair: f"{pair[0].subject} {pair[0].kind}", roomy=True),
            render.ListingColumn("state", lambda pair: pair[1].state),
            render.ListingColumn("attempts", lambda pair: pair[1].attempts, right=True),
            render.ListingColumn("error", lambda pair: pair[1].error, roomy=True),
        )
        render.listing(told[:MOST_NOTICES], columns, as_json=False, empty="")
    for each in silences:
        why = f": {each.reason}" if each.reason else ""
        render.say(
            f"\nsilenced until {each.until.isoformat(timespec='seconds')} by {each.actor}: {each.name}{why}"
        )
