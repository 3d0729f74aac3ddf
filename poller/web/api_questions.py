"""The questions of the API: each asks the client, and leaves out what the viewer may not see."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - the schema reads it
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.exceptions import HTTPException

from poller.client import explain as explaining
from poller.client.answers import Page, as_object
from poller.client.checks import Finding  # noqa: TC001 - as above
from poller.client.listed import State  # noqa: TC001 - as above
from poller.client.refusals import NothingSelectedError
from poller.web import api_hidden as hidden
from poller.web.answers import FORBIDDEN, UNAVAILABLE
from poller.web.counting import ELSEWHERE, counted
from poller.web.job_pages import ahead
from poller.web.rights import Right
from poller.web.shared import MOMENT
from poller.web.state import desk_of, viewer_of
from poller.web.tables import show_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request

    from poller.client.actions import Action
    from poller.client.alerts import Episode, Silence
    from poller.client.client import Client
    from poller.client.counting import ExactCount
    from poller.client.find import Found
    from poller.client.graph import Graph
    from poller.client.holdups import FullKey, Holdups
    from poller.client.inflight import Held
    from poller.client.job_queries import RunLine
    from poller.client.jobs import JobLine, Logs
    from poller.client.limits import LimitLine
    from poller.client.listed import RowShown
    from poller.client.performance import Performance, Upkeep
    from poller.client.row_queries import HistoryEvent, WorkerLine
    from poller.client.status import HandlerLine, StatusLine
    from poller.client.trouble import Failure, Group
    from poller.web.api_asked import (
        Ahead,
        Asked,
        DoneOn,
        Drawn,
        Explained,
        Grouped,
        OfJob,
        OfRow,
        OfStatus,
        OneRow,
        OneTable,
        PageOf,
        PageOfStatus,
        Selected,
        Word,
    )

T = TypeVar("T")
CHECK_SECONDS = 5.0
SLOWLY = 10.0  # seconds that answers last which take long, and change little
LARGEST = 2**63 - 1  # number of a run


@dataclass(frozen=True, slots=True)
class ListedRow:
    """A row of a table: its key, the values of the columns that are shown, and what poller knows of it."""

    key: str
    values: dict[str, str | None]
    state: State | None


@dataclass(frozen=True, slots=True)
class Slot:
    """When a job is to run."""

    job: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ReasonTold:
    """Why a row is not being worked on; the facts that prove it stand beside, by their names."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class RowToldOf:
    """Why a row is not being worked on; empty if nothing keeps a worker from it."""

    claimable: bool
    reasons: tuple[ReasonTold, ...]


@dataclass(frozen=True, slots=True)
class ClaimToldOf:
    """How a handler's rows are claimed: the statement, its plan, and what it lacks."""

    statement: str
    plan: tuple[str, ...]
    lacks: tuple[Finding, ...]


def status(request: Request, asked: Asked) -> Page[StatusLine]:
    """How many rows show each status; beyond 10,000 by an estimate."""
    return _shared(request, asked, lambda: _informed(request).status())


def graph(request: Request, asked: Drawn) -> Graph:
    """The state machines that the handlers make."""
    return _shared(request, asked, lambda: desk_of(request).client.graph(asked.table, counts=asked.counts))


def handlers(request: Request, asked: Asked) -> Page[HandlerLine]:
    """The handlers and how they perform."""
    return _shared(request, asked, lambda: _informed(request).handlers())


def rows(request: Request, asked: PageOfStatus) -> dict[str, Any]:
    """The rows of a table that show a status, in the order of their keys; values of columns that the desk shows."""
    listed, found = desk_of(request).client.listed(
        asked.table,
        asked.status,
        column=asked.column,
        show=show_of(request, asked.table),
        where=None if asked.by is None else (asked.by, asked.value),
        after=asked.after,
        before=asked.before,
        limit=asked.limit,
    )
    lines = hidden.page(request, found, hidden.row_line).items
    items = [
        ListedRow(each.key, dict(zip(listed.columns, each.values, strict=True)), each.state) for each in lines
    ]
    page = Page(tuple(items), found.next, found.as_of, exact=found.exact)
    return told(page) | {"previous": listed.previous}


def count(request: Request, asked: OfStatus) -> ExactCount:
    """All rows of one status, counted however many they are: one count at a time, given up after half a minute."""
    if request.headers.get("sec-fetch-site") in ELSEWHERE:
        raise HTTPException(FORBIDDEN, "a page of another site cannot have the desk count")
    ahead = desk_of(request).client.count_ahead(asked.table, asked.status, column=asked.column)
    found, why = counted(request, ahead)
    if found is None:
        raise HTTPException(UNAVAILABLE, why)
    return found


def row(request: Request, asked: OneRow) -> RowShown:
    """A row: its statuses, its columns, and what poller knows of it."""
    found = desk_of(request).client.row(asked.table, asked.key, show=show_of(request, asked.table))
    if not found.statuses:
        msg = f"{found.table} has no row with this key"
        raise NothingSelectedError(msg)
    return hidden.kept(request, found, hidden.row)


def inflight(request: Request, asked: Selected) -> Page[Held]:
    """The rows in flight with their workers, the longest in flight first."""
    return desk_of(request).client.inflight(asked.selector, after=asked.after, limit=asked.limit)


def trouble(request: Request, asked: Selected) -> Page[Failure]:
    """The rows in trouble, the newest first."""
    found = desk_of(request).client.failures(asked.selector, after=asked.after, limit=asked.limit)
    return hidden.page(request, found, hidden.failure)


def groups(request: Request, asked: Grouped) -> Page[Group]:
    """The causes of the trouble: of rows, and of runs that have failed."""
    ask = desk_of(request).client.failure_groups
    found = _shared(request, asked, lambda: ask(asked.selector), SLOWLY)
    return hidden.page(request, found, hidden.group)


def history(request: Request, asked: OfRow) -> Page[HistoryEvent]:
    """What happened to a row, the latest event last; the next page has the events before."""
    found = desk_of(request).client.history(
        asked.table, asked.key, back=asked.back, after=asked.after, limit=asked.limit
    )
    return hidden.page(request, found, hidden.event)


def jobs(request: Request, asked: PageOf) -> Page[JobLine]:
    """The jobs in the order of their names, with their next and last runs."""
    ask = desk_of(request).client.jobs
    found = _shared(request, asked, lambda: ask(after=asked.after, limit=asked.limit))
    return hidden.page(request, found, hidden.job)


def slots(request: Request, asked: Ahead) -> Page[Slot]:
    """When jobs run next, the soonest first; paused jobs do not."""
    client = desk_of(request).client
    every = _shared(request, asked, lambda: client.next_jobs(limit=asked.limit))
    lines = every.items if asked.job is None else [client.job(asked.job)]
    ways = [_slots(each, asked.limit) for each in lines if each.state != "paused"]
    found = islice(heapq.merge(*ways, key=lambda each: each.at), asked.limit)
    return Page(tuple(found), None, every.as_of)


def runs(request: Request, asked: OfJob) -> Page[RunLine]:
    """The runs of one job or of all, the newest first."""
    found = desk_of(request).client.runs(asked.job, after=asked.after, limit=asked.limit)
    return hidden.page(request, found, hidden.run)


def run(request: Request, asked: Asked) -> RunLine:  # noqa: ARG001 - as all are called
    """A run."""
    return hidden.kept(request, desk_of(request).client.run(number(request)), hidden.run)


def output(request: Request, asked: Asked) -> Logs:  # noqa: ARG001 - as above
    """What a run has printed and logged so far."""
    return desk_of(request).client.logs(number(request))


def performance(request: Request, asked: DoneOn) -> Performance:
    """What a table's handlers have done in spans of time, and how long their attempts take."""
    ask = desk_of(request).client.performance
    return _shared(request, asked, lambda: ask(asked.table, back=asked.back), SLOWLY)


def upkeep(request: Request, asked: OneTable) -> Upkeep:
    """How the server keeps a table: dead row versions, indexes, when it was last vacuumed and analyzed."""
    ask = desk_of(request).client.upkeep
    return _shared(request, asked, lambda: ask(asked.table), SLOWLY)


def find(request: Request, asked: Word) -> Page[Found]:
    """All that a word may mean: a handler, a job, a run, or a row by its key."""
    return desk_of(request).client.find(asked.word)


def silences(request: Request, asked: Asked) -> Page[Silence]:
    """What alerts are kept quiet about, the one that ends last first."""
    return _shared(request, asked, desk_of(request).client.silences)


def alerts(request: Request, asked: Asked) -> Page[Episode]:
    """What goes wrong, the newest first, then what was over within a day; each with the notices of it."""
    return hidden.page(request, _shared(request, asked, desk_of(request).client.alerts), hidden.episode)


def workers(request: Request, asked: Asked) -> Page[WorkerLine]:
    """The worker processes of the whole fleet; those that died are listed for a day."""
    return _shared(request, asked, desk_of(request).client.workers)


def limits(request: Request, asked: Asked) -> Page[LimitLine]:
    """The handlers that have a limit, a rate or turns by key, with what the fleet has used of each."""
    return _shared(request, asked, desk_of(request).client.limits)


def full_keys(request: Request, asked: Asked) -> Page[FullKey]:
    """The values of `per_key` of which no further row may begin, with the row in front of each."""
    desk, may_see = desk_of(request), viewer_of(request).may(Right.VALUES)
    show = desk.show.of if may_see else lambda _: ()
    return _shared(request, (asked, may_see), lambda: desk.client.full_keys(show=show))


def holdups(request: Request, asked: Asked) -> Holdups:
    """Sessions of poller that wait for a lock, for whom; and the oldest transaction and snapshot."""
    found = _shared(request, asked, desk_of(request).client.holdups)
    return hidden.kept(request, found, hidden.holdups)


def check(request: Request, asked: Asked) -> dict[str, Any]:
    """What is wrong with the handlers and the database, as far as is seen without code; and what was not checked."""
    ask = desk_of(request).client.check_registered
    found = _shared(request, asked, lambda: ask(seconds=CHECK_SECONDS), SLOWLY)
    lines = hidden.page(request, Page(found.findings, None, found.as_of), hidden.finding)
    return told(lines) | {"unchecked": list(found.unchecked)}


def actions(request: Request, asked: PageOf) -> Page[Action]:
    """The orders that people have given, by any face, the newest first."""
    found = desk_of(request).client.actions(after=asked.after, limit=asked.limit)
    return hidden.page(request, found, hidden.action)


def explain(request: Request, asked: Explained) -> dict[str, Any]:
    """Why a row is not being worked on, or how a handler's rows are claimed."""
    found = desk_of(request).client.explain(asked.selector)
    return explaining.as_object(hidden.kept(request, found, hidden.explained))


def number(request: Request) -> int:
    """Return the number of the run that is asked for.

    Raises:
        NothingSelectedError: no run can have it.
    """
    given: int = request.path_params["id"]
    if given > LARGEST:
        msg = "there is no run with this number"
        raise NothingSelectedError(msg)
    return given


def told(found: Any) -> dict[str, Any]:
    """Return an answer as an object; of a listing the items are as the command line prints them."""
    if isinstance(found, dict):
        return found
    if not isinstance(found, Page):  # nor is it anywhere an item
        return as_object(found, whole=True)
    items = [as_object(each) for each in found.items]
    page = {"items": items, "next": found.next, "as_of": found.as_of, "exact": found.exact}
    return page | {"faults": found.faults} if found.faults else page


def _slots(line: JobLine, most: int) -> Iterator[Slot]:
    return (Slot(line.name, at) for at in ahead(line, most))


def _informed(request: Request) -> Client:
    """Return a client that knows the handlers as workers have registered them."""
    desk = desk_of(request)
    return desk.client.informed(desk.shared.ask("registered", desk.client.registered, SLOWLY))


def _shared(request: Request, asked: object, question: Callable[[], T], lasts: float = MOMENT) -> T:
    """Return an answer that all who ask the same share for a moment."""
    return desk_of(request).shared.ask((request.scope["path"], asked), question, lasts)
