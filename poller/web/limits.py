"""The page of what holds work up: limits, values of `per_key` that are full, locks, and old transactions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from poller.web.pages import page
from poller.web.rights import Right
from poller.web.state import desk_of, viewer_of

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.requests import Request
    from starlette.responses import Response

    from poller.client.holdups import Holdups, Session

KEYS = 10  # of each handler that are shown
OLD = timedelta(minutes=1)  # a transaction that is older keeps vacuum from what workers leave behind


def limits(request: Request) -> Response:
    """Show what holds work up."""
    desk, may_see = desk_of(request), viewer_of(request).may(Right.VALUES)
    show = desk.show.of if may_see else lambda _: ()
    found = desk.shared.ask("limits", desk.client.limits)
    full = desk.shared.ask(("full", may_see), lambda: desk.client.full_keys(show=show, limit=KEYS))
    held = desk.shared.ask("holdups", desk.client.holdups)
    lines = [replace(each, next_in=None) for each in found.items]
    old = [each for each in (held.oldest, held.snapshot) if _is_old(each, found.as_of)]
    return page(
        request,
        "limits.html",
        known=(lines, full.items, _standing(held), [each and each.pid for each in old]),
        found=found,
        full=full.items,
        held=held,
        now=found.as_of,
        old=old,
        seconds=timedelta,
    )


def _is_old(session: Session | None, now: datetime) -> bool:
    return session is not None and session.began_at is not None and now - session.began_at > OLD


def _standing(held: Holdups) -> Holdups:
    """Return it without what grows while nothing happens."""
    return replace(
        held,
        oldest=held.oldest and replace(held.oldest, behind=None, query=None),
        snapshot=held.snapshot and replace(held.snapshot, behind=None, query=None),
    )
