"""The home page: is all well, where does it pile up, what changes. Made from the snapshot alone."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

from poller.web.across import across
from poller.web.down import down
from poller.web.pages import digest, page
from poller.web.state import desk_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from poller.client.overview import Overview, Watched
    from poller.web.drawn import Drawing
    from poller.web.snapshot import Seen

    Drawn = tuple[Watched, tuple[Drawing, Drawing]]

LAST = (float("inf"), 0.0)
TOP = 5  # causes, slots and acts that are shown


def home(request: Request) -> Response:
    """Show the fleet."""
    seen = desk_of(request).snapshot.seen()
    return page(
        request,
        "home.html",
        known=known_of(seen),
        made=None if seen.fault else seen.made,
        seen=seen,
        **seen.made.ask("home", lambda: _shown(seen), inf),
        top=TOP,
    )


def _shown(seen: Seen) -> dict[str, Any]:
    """Return what of a look is shown, as the page shows it."""
    shown = seen.overview
    return {
        "machines": _in_order([drawn(each) for each in shown.machines]) if shown else [],
        "strip": None if shown is None else strip(seen),
        "slots": seen.beside.next_jobs[:TOP] if seen.beside else (),
    }


def _in_order(machines: list[Drawn]) -> list[Drawn]:
    """Return machines by their names, those first that take the whole width."""
    return sorted(machines, key=lambda each: each[1][0].is_short)


def drawn(watched: Watched) -> Drawn:
    """Return a machine with its pictures, its statuses in the order of the picture; those that no handler knows last."""
    made = across(watched), down(watched)
    places = {each.status: (each.x, each.y) for each in made[0].statuses}
    lines = sorted(
        watched.statuses, key=lambda each: LAST if each.status is None else places.get(each.status, LAST)
    )
    return replace(watched, statuses=tuple(lines)), made


def strip(seen: Seen) -> dict[str, Any]:
    """Return the numbers of the whole fleet."""
    shown = seen.overview
    assert shown is not None  # noqa: S101 - there is one
    statuses = [line for each in shown.machines for line in each.statuses]
    handlers = [line for each in shown.machines for line in each.handlers]
    oldest = [each.oldest for each in statuses if each.oldest and _is_due(each, handlers)]
    groups = seen.beside.groups if seen.beside else ()
    return {
        "done": sum(each.done_per_minute for each in handlers),
        "failed": sum(each.failed_per_minute for each in handlers),
        "in_flight": sum(each.in_flight for each in handlers),
        "waiting": sum(each.waiting for each in handlers),
        "parked": sum(each.parked for each in handlers),
        "groups": len(groups),
        "oldest": min(oldest, default=None),
        "alive": sum(each.state == "alive" for each in shown.workers),
        "slots": sum(each.slots for each in shown.workers if each.state == "alive"),
        "bars": bars(shown),
    }


def bars(shown: Overview) -> list[tuple[int, str, str]]:
    """Return the bars of the last sixty minutes: the place, the height of at most 36, and what it says."""
    most = max(1, *(each.moved for each in shown.minutes))
    return [
        (
            number * 4,
            f"{max(1, 36 * each.moved // most)}" if each.moved else ".5",
            f"{each.minute:%H:%M}: {each.moved:,}",
        )
        for number, each in enumerate(shown.minutes)
    ]


def _is_due(line: Any, handlers: list[Any]) -> bool:
    return any((each.table, each.status) == (line.table, line.status) for each in handlers)


def known_of(seen: Seen) -> str:
    """Return a hash of what was seen, without what changes with each look though nothing happens."""
    return seen.made.ask("known", lambda: digest(_known(seen)), inf)


def _known(seen: Seen) -> object:
    if seen.overview is None:
        return seen.fault, seen.reason
    workers = [replace(each, heartbeat_at=None, heartbeat_age=None) for each in seen.overview.workers]  # type: ignore[arg-type]
    return seen.fault, seen.overview.machines, workers, seen.overview.minutes, seen.beside
