"""The pages of workers, of what they hold, of orders, and the search."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.responses import RedirectResponse

from poller.client.refusals import NothingSelectedError
from poller.errors import ConfigurationError, PollerError
from poller.web.faults import Refused
from poller.web.pages import asked, page
from poller.web.refused import no_such
from poller.web.rendering import address
from poller.web.state import desk_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from poller.client.client import Client

PAGE = 50
HELD = 100  # rows in flight that are shown
TABLES = 20  # that are searched for a key
LONGEST = 500  # characters of what is searched for
SEE_OTHER = 303


def workers(request: Request) -> Response:
    """Show the workers, and what is in flight."""
    desk = desk_of(request)
    found = desk.shared.ask("workers", desk.client.workers)
    held = desk.shared.ask("held", lambda: desk.client.inflight(limit=HELD))
    known: list[Any] = [replace(each, heartbeat_at=None, heartbeat_age=None) for each in found.items]  # type: ignore[arg-type]
    living = [each for each in found.items if each.state != "dead"]
    dead = [each for each in found.items if each.state == "dead"]
    return page(
        request,
        "workers.html",
        known=(known, held.items),
        living=living,
        dead=dead,
        held=held,
        as_of=found.as_of,
    )


def actions(request: Request) -> Response:
    """Show who has ordered what, the newest first."""
    try:
        found = desk_of(request).client.actions(after=asked(request, "after"), limit=PAGE)
    except ConfigurationError as error:
        return no_such(request, str(error))
    return page(request, "actions.html", found=found, under_way=desk_of(request).under_way.now())


def find(request: Request) -> Response:
    """Find a row by its key, a run by its number, a job or a table by its name."""
    given = (asked(request, "q") or "")[:LONGEST].strip()
    found = list(_found(request, given)) if given else []
    if len(found) == 1:
        return RedirectResponse(address(str(request.scope.get("root_path", "")), found[0][1]), SEE_OTHER)
    return page(request, "find.html", q=given, results=found)


def _found(request: Request, given: str) -> Iterator[tuple[str, str]]:
    """Yield what has a name or key, and the page that shows it."""
    client = desk_of(request).client
    overview = desk_of(request).snapshot.seen().overview
    tables = list(dict.fromkeys(each.machine.table for each in overview.machines)) if overview else []
    for table in tables:
        if given in {table, table.rpartition(".")[2]}:
            yield f"table {table}", address("", "/machine", table=table)
    for text, path in (("job", "/job"),):
        if _is_there(client.job, given):
            yield f"{text} {given}", address("", path, name=given)
    if given.isascii() and given.isdigit() and len(given) < 19 and _is_there(client.run, int(given)):  # noqa: PLR2004 - digits
        yield f"run {given}", f"/runs/{given}"
    for table in tables[:TABLES]:
        if _has_row(client, table, given):
            yield f"row {given} of {table}", address("", "/row", table=table, key=given)


def _is_there(ask: Any, name: Any) -> bool:
    try:
        ask(name)
    except NothingSelectedError:
        return False
    return True


def _has_row(client: Client, table: str, key: str) -> bool:
    try:
        return bool(client.row(table, key).statuses)
    except (PollerError, Refused):  # it cannot be a key there, or the table is locked or gone
        return False
