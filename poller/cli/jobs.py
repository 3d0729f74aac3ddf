"""`poller jobs` with `add` and `remove`; `trigger`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poller.cli import render
from poller.cli.command_client import client
from poller.cli.next import schedule_of
from poller.cli.options import (
    Actor,
    After,
    AsJson,
    Database,
    Handlers,
    Limit,
    duration,
    most,
    refuse_options_before,
    say_if_cut,
)

if TYPE_CHECKING:
    from datetime import datetime

    from poller.client.jobs import JobLine

app = typer.Typer(invoke_without_command=True)


def arguments(text: str) -> dict[str, Any]:
    """Return the arguments of a run, given as an option.

    Raises:
        ValueError: they are no JSON object; Typer names the option.
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        msg = f"""{text!r} is not a JSON object; write it like '{{"tenant": 7}}'"""
        raise ValueError(msg) from None  # noqa: TRY004 - Typer takes this one for a wrong value
    return found


Job = Annotated[str, typer.Argument(metavar="JOB", help="The job's name.")]
Arguments = Annotated[
    Any,
    typer.Option(
        "--args",
        parser=arguments,
        metavar="JSON",
        show_default=False,
        help="What the function is called with.",
    ),
]
Cron = Annotated[
    str | None,
    typer.Option("--cron", metavar="EXPR", show_default=False, help="At times of day: '0 3 * * *'."),
]
Every = Annotated[
    float | None,
    typer.Option("--every", parser=duration, metavar="TIME", show_default=False, help="At a fixed rate: 5m."),
]
Delay = Annotated[
    float | None,
    typer.Option(
        "--delay",
        parser=duration,
        metavar="TIME",
        show_default=False,
        help="This long after each run has finished: 5m.",
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="TIME",
        show_default=False,
        help="Once: 2030-01-01T03:00+01:00, or in --tz without offset.",
    ),
]
Zone = Annotated[str, typer.Option("--tz", metavar="ZONE", help="The IANA time zone, such as Europe/Berlin.")]


@app.callback()
def jobs(  # noqa: PLR0913 - as of other listings
    context: typer.Context,
    *,
    handlers: Handlers = "handlers",
    limit: Limit = None,
    after: After = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Show the jobs and their runs; add and remove schedules.

    A job that the --handlers package does not define is shown as not registered here; if there is no such
    package, that is left open.
    """
    if context.invoked_subcommand is not None:
        refuse_options_before(context)
        return
    page = client(database, handlers).jobs(after=after, limit=most(limit, as_json=as_json))
    hint = "no jobs; they are declared when poller run starts, or made with: poller jobs add"
    render.listing(page.items, _jobs(page.as_of), as_json=as_json, empty=hint)
    say_if_cut(page, as_json=as_json)


@app.command()
def add(  # noqa: PLR0913 - the contract's options
    name: Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")],
    job: Annotated[str, typer.Argument(metavar="JOB", help="The job whose function it runs.")],
    *,
    cron: Cron = None,
    every: Every = None,
    delay: Delay = None,
    at: At = None,
    tz: Zone = "UTC",
    args: Arguments = None,
    handlers: Handlers = "handlers",
    actor: Actor = None,
    database: Database = None,
) -> None:
    """Create a schedule of a job, or edit the one of that name. Give one of --cron, --every, --delay, --at.

    The arguments are checked against the function if the --handlers package can be imported.
    """
    when = schedule_of(cron, every, delay, at, tz)
    done = client(database, handlers, actor=actor).add_job(name, job, when=when, args=args)
    render.say(f"{done.name} runs {done.job}: {done.when}")


@app.command()
def remove(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The schedule's name, or that of a job no longer declared.")
    ],
    *,
    handlers: Handlers = "handlers",
    actor: Actor = None,
    database: Database = None,
) -> None:
    """Remove a schedule made at run time, or an undeclared job.

    Its waiting runs are cancelled; runs in progress finish. A job that the --handlers package or a running worker still
    declares cannot be removed.
    """
    done = client(database, handlers, actor=actor).remove_job(name)
    waited = f"; cancelled {_runs(done.cancelled)} that waited" if done.cancelled else ""
    goes_on = f"; {_runs(done.running)} in progress will finish" if done.running else ""
    render.say(f"removed {name}{waited}{goes_on}")


def trigger(
    job: Job,
    *,
    args: Arguments = None,
    handlers: Handlers = "handlers",
    actor: Actor = None,
    database: Database = None,
) -> None:
    """Run a job now, beside its schedule.

    A worker takes the run at once. If runs of the job may not overlap, it waits for earlier ones; if new runs replace
    old ones, it replaces them. The arguments are checked against the function if the --handlers package can be
    imported; without --args, they are the job's own.
    """
    done = client(database, handlers, actor=actor).trigger(job, args)
    waits = f"; {job} is paused: the run waits until poller resume" if done.is_paused else ""
    render.say(f"triggered run {done.run} of {job}{waits}")


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _due(at: datetime | None, now: datetime) -> str:
    return "now" if at is not None and at <= now else render.since(at, now)


def _state(line: JobLine, now: datetime) -> str:
    ends = "" if line.paused_until is None else f", ends {_due(line.paused_until, now)}"
    return f"{line.state}{ends}"


def _name(line: JobLine) -> str:
    return line.name if line.name == line.job else f"{line.name} ({line.job})"


def _jobs(now: datetime) -> tuple[render.ListingColumn, ...]:
    return (
        render.ListingColumn("job", _name, roomy=True),
        render.ListingColumn("schedule", lambda line: line.when, roomy=True),
        render.ListingColumn("next", lambda line: _due(line.next_at, now)),
        render.ListingColumn("last", lambda line: line.last_status),
        render.ListingColumn("when", lambda line: render.since(line.last_at, now)),
        render.ListingColumn("running", lambda line: line.running, right=True),
        render.ListingColumn("waiting", lambda line: line.waiting, right=True),
        render.ListingColumn("state", lambda line: _state(line, now)),
    )
