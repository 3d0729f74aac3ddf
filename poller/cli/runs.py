"""`poller runs`, `logs` and `cancel`."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli import render
from poller.cli.command_client import client
from poller.cli.options import Actor, After, AsJson, Database, Limit, most, say_if_cut
from poller.duration import words
from poller.telemetry.printable import lines

if TYPE_CHECKING:
    from poller.client.job_queries import RunLine


def _number(text: str) -> int:
    """Return a run's number.

    Raises:
        ValueError: no run has such a number.
    """
    if not _is_number(text):
        msg = f"{text!r} is not a run's number"
        raise ValueError(msg)
    return int(text)


def _is_number(text: str) -> bool:
    return bool(re.fullmatch("[0-9]{1,19}", text)) and 0 < int(text) < 2**63


Number = Annotated[
    int, typer.Argument(parser=_number, metavar="RUN", help="The run's number, as poller runs shows it.")
]


def runs(
    job: Annotated[
        str | None, typer.Argument(metavar="JOB", show_default=False, help="Of this job only.")
    ] = None,
    *,
    limit: Limit = None,
    after: After = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Show runs of jobs, the newest first."""
    page = client(database).runs(job, after=after, limit=most(limit, as_json=as_json))
    render.listing(page.items, _RUNS, as_json=as_json, empty="no runs yet")
    say_if_cut(page, as_json=as_json)


def logs(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's number; or a job, for its last run.")],
    *,
    database: Database = None,
) -> None:
    """Print what a run has printed and logged so far."""
    found = client(database).logs(int(run) if _is_number(run) else run)
    if found.output:
        sys.stdout.write(lines(found.output))
    else:
        render.say(f"run {found.run} of {found.job} has printed nothing ({found.status})", err=True)


def cancel(number: Number, *, actor: Actor = None, database: Database = None) -> None:
    """Stop a run.

    A waiting run is cancelled; a running one is asked to stop, and is stopped soon after. Exits with 1 if it has ended.
    """
    done = client(database, actor=actor).cancel(number)
    if done.is_running:
        render.say(f"asked run {done.run} of {done.job} to stop")
    else:
        render.say(f"cancelled run {done.run} of {done.job}")


def _progress(line: RunLine) -> str | None:
    if line.done is None:
        return None
    if not line.total:
        return f"{line.done:,g}"
    return f"{100 * line.done / line.total:.0f}%"


def _duration(line: RunLine) -> str | None:
    return None if line.seconds is None else words(line.seconds)


_RUNS = (
    render.ListingColumn("id", lambda line: str(line.id), right=True),
    render.ListingColumn("job", lambda line: line.job, roomy=True),
    render.ListingColumn("planned", lambda line: render.clock(line.planned_at)),
    render.ListingColumn("status", lambda line: line.status),
    render.ListingColumn("attempt", lambda line: line.attempt, right=True),
    render.ListingColumn("progress", _progress, right=True),
    render.ListingColumn("took", _duration, right=True),
    render.ListingColumn("error", lambda line: line.error, roomy=True),
)
