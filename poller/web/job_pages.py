"""The pages of jobs and their runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.responses import PlainTextResponse

from poller.client.refusals import NothingSelectedError
from poller.errors import ConfigurationError
from poller.schedules import slots
from poller.telemetry.printable import as_json
from poller.web.act import LONGEST_ARGS
from poller.web.failed_days import calendar
from poller.web.output import printed
from poller.web.pages import asked, page
from poller.web.refused import no_such
from poller.web.rights import Right
from poller.web.state import desk_of, viewer_of
from poller.web.timeline import ENDED_WELL, hours, lanes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from starlette.requests import Request
    from starlette.responses import Response

    from poller.client.job_queries import RunLine
    from poller.client.jobs import JobLine

JOBS, RUNS = 100, 50  # on a page
RECENT, LISTED = 60, 15  # runs of a job that its page draws, and lists
AHEAD = 5  # slots
WRONG = 400
DAY, FEWEST = 500, 5  # runs that the picture of a day is made of, and of one job at the least
SLOWLY = 10.0  # seconds that they last
DAYS = 91  # thirteen weeks
LONG = 60.0  # seconds that the days with failures last
EVERY = 5  # seconds between two looks
BAR, TALL = 8, 40.0


class Bar(NamedTuple):
    """A run, as a bar of how long it took."""

    x: int
    y: float
    height: float
    kind: str
    said: str
    id: int


def jobs(request: Request) -> Response:
    """Show the jobs: what ran, what runs next."""
    desk, after = desk_of(request), asked(request, "after")
    try:
        found = desk.shared.ask(("jobs", after), lambda: desk.client.jobs(after=after, limit=JOBS))
    except ConfigurationError as error:
        return no_such(request, str(error), WRONG)
    names = [each.name for each in found.items]
    most = max(FEWEST, DAY // max(1, len(names)))
    ran = desk.shared.ask(("a day", after), lambda: desk.client.newest_runs(names, most=most), SLOWLY)
    return page(
        request,
        "jobs.html",
        known=(found.items, found.next, _without_age(ran.items), f"{found.as_of:%H:%M}"),
        every=EVERY,
        found=found,
        lanes=lanes(found.items, ran.items, found.as_of, most),
        hours=list(hours(found.as_of)),
    )


def job(request: Request) -> Response:
    """Show a job, and its last runs."""
    name = asked(request, "name")
    if name is None:
        return no_such(request, "name a job")
    desk = desk_of(request)
    try:
        line = desk.shared.ask(("job", name), lambda: desk.client.job(name))
        failed = desk.shared.ask(("failed", name), lambda: desk.client.failed_days(name, days=DAYS), LONG)
        found = desk.shared.ask(("recent", name), lambda: desk.client.runs(name, limit=RECENT))
    except NothingSelectedError as error:
        return no_such(request, str(error))
    return page(
        request,
        "job.html",
        known=(line, _without_age(found.items), failed),
        every=EVERY,
        line=line,
        calendar=calendar(failed, DAYS),
        runs=found.items[:LISTED],
        bars=list(bars(found.items)),
        ahead=list(ahead(line)),
        as_of=found.as_of,
    )


def trigger(request: Request) -> Response:
    """Show the form by which a job is run with arguments."""
    try:
        line = desk_of(request).client.job(asked(request, "name") or "")
    except NothingSelectedError as error:
        return no_such(request, str(error))
    is_shown = line.args and viewer_of(request).may(Right.VALUES)
    own = as_json(line.args, indent=2) if is_shown else ""
    if len(own) > LONGEST_ARGS:  # nor could they be sent
        own = ""
    return page(request, "trigger.html", line=line, own=own, longest=LONGEST_ARGS)


def runs(request: Request) -> Response:
    """Show runs, of one job or of all, the newest first."""
    name, after, desk = asked(request, "job"), asked(request, "after"), desk_of(request)
    try:
        found = desk.shared.ask(
            ("runs", name, after), lambda: desk.client.runs(name, after=after, limit=RUNS)
        )
    except (NothingSelectedError, ConfigurationError) as error:
        return no_such(request, str(error))
    known = (_without_age(found.items), found.next)
    return page(request, "runs.html", known=known, every=EVERY, found=found, job=name)


def run(request: Request) -> Response:
    """Show a run, with what it has printed."""
    client, number = desk_of(request).client, request.path_params["id"]
    try:
        line = client.run(number)
        beside = client.runs_beside(number)
        output = client.logs(number).output if viewer_of(request).may(Right.VALUES) else None
    except (NothingSelectedError, OverflowError) as error:
        return no_such(request, str(error))
    every = 1 if line.finished_at is None else EVERY
    return page(
        request,
        "run.html",
        known=(_without_age([line]), output, beside),
        every=every,
        line=line,
        beside=beside,
        output=output and printed(output),
    )


def output(request: Request) -> Response:
    """Return what a run has printed, as it is."""
    try:
        found = desk_of(request).client.logs(request.path_params["id"])
    except NothingSelectedError as error:
        return no_such(request, str(error))
    return PlainTextResponse(
        found.output or "", headers={"Content-Disposition": f'attachment; filename="run-{found.run}.txt"'}
    )


def bars(found: Sequence[RunLine]) -> Iterator[Bar]:
    """Yield a bar for each run that has begun, the oldest first."""
    begun = [each for each in reversed(found) if each.seconds is not None]
    most = max((each.seconds or 0.0 for each in begun), default=0.0) or 1.0
    for number, each in enumerate(begun):
        height = max(2.0, TALL * (each.seconds or 0.0) / most)
        kind = "run" if each.status in ENDED_WELL else each.status
        yield Bar(
            number * BAR,
            TALL - height,
            height,
            kind,
            f"run {each.id}: {each.status}, {each.seconds:.2f} s",
            each.id,
        )


def ahead(line: JobLine, most: int = AHEAD) -> Iterator[datetime]:
    """Yield the next slots of a job."""
    slot = line.next_at
    if slot is None or line.schedule is None:
        return
    try:
        schedule = slots.parse(line.schedule, line.tz)
    except ConfigurationError:
        return
    anchor = slot
    for _ in range(most):
        if slot is None:
            return
        yield slot
        slot = None if isinstance(schedule, slots.FixedDelay) else schedule.next_after(slot, anchor)


def _without_age(found: Sequence[RunLine]) -> list[Any]:
    """Return runs without what grows while nothing happens."""
    return [replace(each, seconds=None) if each.finished_at is None else each for each in found]
