"""`poller pause` and `poller resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli import render
from poller.cli.command_client import client
from poller.cli.options import Actor, Database, duration
from poller.lazy import lazy

if TYPE_CHECKING:
    from datetime import datetime

    from poller.client import jobs
    from poller.client.pausing import HandlersPaused, HandlersResumed
else:
    jobs = lazy("poller.client.jobs")

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A job's name; or TABLE or TABLE:STATUS, for handlers.")
]
For = Annotated[
    float | None,
    typer.Option(
        "--for",
        parser=duration,
        metavar="TIME",
        show_default=False,
        help="For how long, by the database's clock: 1h. By default, until poller resume.",
    ),
]


def pause(name: Name, *, lasts: For = None, actor: Actor = None, database: Database = None) -> None:
    """Pause a job or handlers across the whole fleet.

    Of a job, no runs are planned, and waiting runs do not start. Of a handler, no worker claims another row. What is
    running finishes.
    """
    done = client(database, actor=actor).pause(name, lasts)
    render.say(_paused(done) if isinstance(done, jobs.Paused) else _handlers_paused(done))


def resume(name: Name, *, actor: Actor = None, database: Database = None) -> None:
    """Resume a paused job or paused handlers.

    A job resumes from now: slots missed during the pause are not made up for; a job with a fixed delay is due.
    """
    done = client(database, actor=actor).resume(name)
    render.say(_resumed(done) if isinstance(done, jobs.Resumed) else _handlers_resumed(done))


def _paused(done: jobs.Paused) -> str:
    if not done.changed:
        return f"{done.name} is already paused; resume it with: poller resume"
    goes_on = f"; {_are(done.running)} in progress and will finish" if done.running else ""
    return f"paused {done.name}: nothing of it starts until {_end(done.until)}{goes_on}"


def _handlers_paused(done: HandlersPaused) -> str:
    names = ", ".join(done.handlers)
    if not done.changed:
        are = "is" if len(done.handlers) == 1 else "are"
        return f"{names} {are} already paused; resume with: poller resume"
    ends = f"; {render.rows(done.in_flight)} in flight will end" if done.in_flight else ""
    return f"paused {names}: no worker claims their rows until {_end(done.until)}{ends}"


def _resumed(done: jobs.Resumed) -> str:
    return f"resumed {done.name}: {_outlook(done)}" if done.changed else f"{done.name} is not paused"


def _handlers_resumed(done: HandlersResumed) -> str:
    names = ", ".join(done.handlers)
    if done.changed:
        return f"resumed {names}"
    return f"{names} {'is' if len(done.handlers) == 1 else 'are'} not paused"


def _end(until: datetime | None) -> str:
    return "poller resume" if until is None else until.isoformat(timespec="seconds")


def _outlook(done: jobs.Resumed) -> str:
    """Say what a job will do next."""
    slot = done.next_at
    if done.waiting:
        return f"{_are(done.waiting)} due"
    if slot is not None:
        return (
            "it is due" if slot <= done.as_of else f"its next run is at {slot.isoformat(timespec='seconds')}"
        )
    if done.after:
        return f"it runs after {', '.join(done.after)}"
    if done.schedule is None:
        return "it runs by hand: poller trigger"
    if done.running:
        return "it follows its run in progress"
    return "it has no more slots; run it now with: poller trigger"


def _are(count: int) -> str:
    return "1 run is" if count == 1 else f"{count} runs are"
