"""`poller jobs` with `add` and `remove`; `trigger`, `pause` and `resume`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poller.cli import render
from poller.cli.options import AsJson, Database, Handlers, Limit, connected, most, one_more, place, say_if_cut

if TYPE_CHECKING:
    from datetime import datetime

    from poller.client.jobs import JobLine
    from poller.schedules.slots import Schedule

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
Name = Annotated[str, typer.Argument(metavar="NAME", help="A job's name.")]
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
    str | None, typer.Option("--every", metavar="TIME", show_default=False, help="At a fixed rate: 5m.")
]
Delay = Annotated[
    str | None,
    typer.Option(
        "--delay", metavar="TIME", show_default=False, help="So long after each run has finished: 5m."
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
def jobs(
    context: typer.Context,
    *,
    handlers: Handlers = "handlers",
    limit: Limit = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Show the jobs, their next and last runs; add and remove schedules.

    A job that the --handlers package does not define is shown as not registered here; if there is no such
    package, that is left open.
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    from poller.client import jobs as dispatch  # noqa: PLC0415 - `--help` is not to wait for it

    here = dispatch.defined(handlers)
    shown = most(limit, as_json=as_json)
    with connected(place(database)) as connection:
        lines = dispatch.lines(connection, here, one_more(shown))
    hint = "no jobs; they are declared when poller run starts, or made with: poller jobs add"
    render.listing(lines[:shown], _JOBS, as_json=as_json, empty=hint, omit=("when", "now"))
    say_if_cut(lines, shown)


def _refuse_options(context: typer.Context) -> None:
    """Refuse options that stand before the name of the command they are for: they would be lost."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            msg = f"{parameter.opts[0]} stands before {context.invoked_subcommand}; write it after"
            raise typer.BadParameter(msg)


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
    database: Database = None,
) -> None:
    """Make a schedule of a job, or edit the one of that name. Give one of --cron, --every, --delay, --at.

    The arguments are held against the function if the --handlers package can be imported.
    """
    from poller.client import jobs as dispatch  # noqa: PLC0415 - `--help` is not to wait for it
    from poller.jobs import dynamic  # noqa: PLC0415 - `--help` is not to wait for it

    plan = _plan(cron, every, delay, at, tz)
    known = (dispatch.defined(handlers) or {}).get(job, job)
    with connected(place(database)) as connection:
        dynamic.schedule(connection, known, when=str(plan), args=args, name=name)
    render.say(f"{name} runs {job}: {dispatch.words(str(plan))}")


def _plan(cron: str | None, every: str | None, delay: str | None, at: str | None, tz: str) -> Schedule:
    """Return the one schedule that was given.

    Raises:
        TyperException: there is none, or more than one.
        ConfigurationError: it is no schedule.
    """
    from poller.cli.next import instant  # noqa: PLC0415 - as above
    from poller.schedules import slots, wall_clock  # noqa: PLC0415 - `--help` is not to wait for it

    if sum(each is not None for each in (cron, every, delay, at)) != 1:
        msg = "give one of --cron, --every, --delay and --at"
        raise typer.BadParameter(msg)
    if cron is not None:
        return slots.Cron.parse(cron, tz)
    if at is not None:
        return slots.At(instant(at, wall_clock.zone(tz), "--at"))
    return slots.parse(f"@every {every}" if every is not None else f"@after {delay}", tz)


@app.command()
def remove(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The schedule's name, or a job's that is no more.")
    ],
    *,
    handlers: Handlers = "handlers",
    database: Database = None,
) -> None:
    """Remove a schedule that was made at run time, or a job that no program declares any more.

    Its runs that wait are cancelled, those in progress finish. A job that the --handlers package or a running worker
    has cannot be removed so.
    """
    from poller.client import jobs as dispatch  # noqa: PLC0415 - `--help` is not to wait for it

    here = dispatch.defined(handlers)
    with connected(place(database)) as connection:
        done = dispatch.remove(connection, name, here)
    waited = f"; cancelled {_runs(done.cancelled)} that waited" if done.cancelled else ""
    goes_on = f"; {_runs(done.running)} in progress will finish" if done.running else ""
    render.say(f"removed {name}{waited}{goes_on}")


def trigger(
    job: Job, *, args: Arguments = None, handlers: Handlers = "handlers", database: Database = None
) -> None:
    """Run a job now, beside its schedule.

    The run is entered, and a worker takes it at once. If runs of the job may not overlap, it waits for those
    before it; if new ones replace old ones, it does. The arguments are held against the function if the
    --handlers package can be imported; without --args they are the job's own.
    """
    from poller.client import jobs as dispatch  # noqa: PLC0415 - `--help` is not to wait for it

    here = dispatch.defined(handlers)
    with connected(place(database)) as connection:
        done = dispatch.trigger(connection, job, args, here)
    waits = f"; {job} is paused, so it waits until: poller resume" if done.is_paused else ""
    render.say(f"entered run {done.run} of {job}{waits}")


def pause(name: Name, *, database: Database = None) -> None:
    """Hold a job.

    Nothing is planned, and what waits does not start, until it is resumed. What runs goes on.
    """
    from poller.client import jobs as dispatch  # noqa: PLC0415 - `--help` is not to wait for it

    with connected(place(database)) as connection:
        render.say(dispatch.pause(connection, name))


def resume(name: Name, *, database: Database = None) -> None:
    """Let a job go on that was paused.

    It goes on from now: slots that came meanwhile are not made up for. A job with a fixed delay is due.
    """
    from poller.client import jobs as dispatch  # noqa: PLC0415 - `--help` is not to wait for it

    with connected(place(database)) as connection:
        render.say(dispatch.resume(connection, name))


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _due(at: datetime | None, now: datetime) -> str:
    return "now" if at is not None and at <= now else render.since(at, now)


def _name(line: JobLine) -> str:
    return line.name if line.name == line.job else f"{line.name} ({line.job})"


_JOBS = (
    render.Column("job", _name, roomy=True),
    render.Column("schedule", lambda line: line.when, roomy=True),
    render.Column("next", lambda line: _due(line.next_at, line.now)),
    render.Column("last", lambda line: line.last_status),
    render.Column("when", lambda line: render.since(line.last_at, line.now)),
    render.Column("running", lambda line: line.running, right=True),
    render.Column("waiting", lambda line: line.waiting, right=True),
    render.Column("state", lambda line: line.state),
)
