"""The page of one table's machine in full: its picture, how its handlers do, and how the table is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poller.client.refusals import NothingSelectedError
from poller.client.selector import is_spelled
from poller.errors import PollerError
from poller.web.faults import Refused, said
from poller.web.home import drawn, known_of
from poller.web.pages import asked, page
from poller.web.refused import no_such
from poller.web.state import desk_of
from poller.web.throughput import chart

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

LASTS = {
    "1h": 10.0,
    "24h": 30.0,
    "7d": 300.0,
}  # seconds that what was done is shown before it is asked for again
UPKEEP_LASTS = 30.0
MUCH = 0.2  # of all row versions: so many dead ones slow claims down
FEW = 10_000  # dead row versions that do not matter


def machine(request: Request) -> Response:
    """Show one table's machine in full."""
    desk = desk_of(request)
    seen = desk.snapshot.seen()
    table, column, back = asked(request, "table"), asked(request, "column"), asked(request, "back") or "1h"
    found = [
        each
        for each in (seen.overview.machines if seen.overview else ())
        if table is not None
        and is_spelled(each.machine.table, table)
        and column in {None, each.machine.column}
    ]
    if table is None:
        return no_such(request, "name a table")
    if back not in LASTS or (not found and seen.overview is not None):
        return no_such(
            request, f"no handler is known for table {table}" if back in LASTS else "there is no such time"
        )
    name = found[0].machine.table if found else table
    done, why = _panel(
        request, ("done", name, back), lambda: desk.client.performance(name, back=back), LASTS[back]
    )
    kept, fault = _panel(request, ("upkeep", name), lambda: desk.client.upkeep(name), UPKEEP_LASTS)
    return page(
        request,
        "machine.html",
        known=(known_of(seen), done, why, kept, fault),
        seen=seen,
        machines=[drawn(each) for each in found],
        table=name,
        column=column,
        back=back,
        spans=[*LASTS],
        done=done and chart(done),
        why=why,
        paces={(each.column, each.status): each for each in done.paces} if done else {},
        kept=kept,
        fault=fault,
        is_bloated=kept is not None and kept.dead > FEW and kept.dead > MUCH * (kept.rows + kept.dead),
    )


def _panel(request: Request, key: Any, ask: Callable[[], Any], lasts: float) -> tuple[Any, str | None]:
    """Return what a part of the page shows, or None and why there is nothing: the other parts are shown without it."""
    try:
        return desk_of(request).shared.ask(key, ask, lasts), None
    except NothingSelectedError:
        return None, "nothing is known of it"
    except (PollerError, Refused) as error:
        return None, said(error)
