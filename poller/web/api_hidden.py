"""What the API tells to viewers without the right `values`: no text that may quote a value of a user's table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from poller.client.explain import Reason, RowExplained
from poller.web.causes import told
from poller.web.rights import Right
from poller.web.state import viewer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from poller.client.actions import Action
    from poller.client.alerts import Episode
    from poller.client.answers import Page
    from poller.client.checks import Finding
    from poller.client.holdups import Holdups, Session
    from poller.client.job_queries import RunLine
    from poller.client.jobs import JobLine
    from poller.client.listed import RowLine, RowShown, State
    from poller.client.moves import Moved
    from poller.client.retrying import Retried
    from poller.client.row_queries import HistoryEvent
    from poller.client.trouble import Failure, Group

T = TypeVar("T")
WITH = " with "  # what an error follows in the target of an order


def kept(request: Request, found: T, hide: Callable[[T], T]) -> T:
    """Return an answer as the viewer may see it."""
    return found if viewer_of(request).may(Right.VALUES) else hide(found)


def page(request: Request, found: Page[T], hide: Callable[[T], T]) -> Page[T]:
    """Return a page of a listing as the viewer may see it."""
    if viewer_of(request).may(Right.VALUES):
        return found
    return replace(found, items=tuple(hide(each) for each in found.items))


def failure(line: Failure) -> Failure:
    """Keep the class of the error and its place."""
    return replace(line, error=" ".join(filter(None, (line.kind, line.place))) or None, traceback=None)


def group(line: Group) -> Group:
    """Keep the class; the example is a text."""
    return replace(told([line], may_see=False)[0], example="")


def event(line: HistoryEvent) -> HistoryEvent:
    """Hide the error."""
    return replace(line, error=None, traceback=None)


def run(line: RunLine) -> RunLine:
    """Hide the error."""
    return replace(line, error=None)


def job(line: JobLine) -> JobLine:
    """Hide the arguments."""
    return replace(line, args=None)


def action(line: Action) -> Action:
    """Hide the error that rows were chosen by."""
    return replace(line, target=line.target.partition(WITH)[0])


def retried(done: Retried) -> Retried:
    """Hide what the table said of rows whose way back it refused."""
    return replace(done, why=())


def moved(done: Moved) -> Moved:
    """Hide what the table said of rows that it refused."""
    return replace(done, left=tuple(replace(each, detail="") for each in done.left))


def finding(line: Finding) -> Finding:
    """Hide what the server says of what could not be checked."""
    return replace(line, what="this could not be checked") if line.reason == "unchecked" else line


def nothing_moved(said: str) -> str:  # noqa: ARG001 - it is not told
    """Hide why no row could be moved."""
    return "no row could be moved"


def episode(line: Episode) -> Episode:
    """Hide what servers have answered to notices."""
    return replace(line, notices=[replace(each, error=None) for each in line.notices])


def holdups(found: Holdups) -> Holdups:
    """Hide the sessions' statements."""
    waiting = tuple(replace(each, blockers=tuple(map(_session, each.blockers))) for each in found.waiting)
    return replace(
        found,
        waiting=waiting,
        oldest=found.oldest and _session(found.oldest),
        snapshot=found.snapshot and _session(found.snapshot),
    )


def _session(found: Session) -> Session:
    return replace(found, query=None)


def state(known: State) -> State:
    """Hide the error."""
    return replace(known, error=None)


def row_line(line: RowLine) -> RowLine:
    """Hide the error; values are not asked for."""
    return replace(line, state=line.state and state(line.state))


def row(found: RowShown) -> RowShown:
    """Hide the errors; values are not asked for."""
    return replace(found, states={name: state(each) for name, each in found.states.items()})


def explained(found: Any) -> Any:
    """Keep the reasons, without their facts."""
    if not isinstance(found, RowExplained):
        return found
    return replace(found, reasons=tuple(Reason(each.reason, "", {}) for each in found.reasons))
