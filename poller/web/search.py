"""The search: what has a name or a key; else names that contain it, and the keys next to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from poller.client.selector import is_spelled
from poller.web.pages import asked, page
from poller.web.rendering import address
from poller.web.state import desk_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from poller.client.find import Found
    from poller.web.snapshot import Seen
    from poller.web.state import DeskState

LONGEST = 8000  # characters of what is searched for
MOST = 30  # names that are shown
SEE_OTHER = 303


def find(request: Request) -> Response:
    """Find a row by its key, a run by its number, a handler, a job or a table by its name."""
    typed = (asked(request, "q") or "")[:LONGEST]
    given = typed.strip()
    if not given:
        return page(request, "find.html", q="", results=(), alike=(), near=(), faults=())
    desk = desk_of(request)
    seen = desk.snapshot.seen()
    # A key may begin or end with a space.
    results, faults = _results(desk, seen, typed)
    if not results and typed != given:
        results, faults = _results(desk, seen, given)
    if len(results) == 1 and not faults:  # a table that could not be looked at may have another
        return RedirectResponse(address(str(request.scope.get("root_path", "")), results[0][1]), SEE_OTHER)
    alike = (
        [] if results else [each for each in dict.fromkeys(_names(seen)) if given.lower() in each[0].lower()]
    )
    near = [] if results or alike else [_page(each, given) for each in desk.client.nearest(given).items]
    return page(request, "find.html", q=given, results=results, alike=alike[:MOST], near=near, faults=faults)


def _results(desk: DeskState, seen: Seen, given: str) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """Return what has this name or key, in words and with its page; and why tables were left out."""
    answer = desk.client.find(given)
    found = [_page(each, given) for each in answer.items]
    return list(dict.fromkeys([*found, *_functions(seen, given)])), answer.faults


def _page(found: Found, given: str) -> tuple[str, str]:
    """Return what was found in words, and the page that shows it."""
    match found.kind:
        case "job":
            return f"job {found.job}", address("", "/job", name=found.job)
        case "run":
            return f"run {found.run} of {found.job}", f"/runs/{found.run}"
        case "row":
            return f"row {found.key} of {found.table}", address("", "/row", table=found.table, key=found.key)
    if is_spelled(str(found.table), given):
        return f"table {found.table}", address("", "/machine", table=found.table)
    return f"handler {found.table}:{found.status}", address(
        "", "/rows", table=found.table, status=found.status
    )


def _functions(seen: Seen, given: str) -> Iterator[tuple[str, str]]:
    """Yield the handlers whose function has this name."""
    for machine in seen.overview.machines if seen.overview else ():
        for each in machine.handlers:
            if given in {each.function, each.function.rpartition(".")[2]}:
                path = address("", "/rows", table=each.table, status=each.status)
                yield f"handler {each.function} of {each.table}:{each.status}", path


def _names(seen: Seen) -> Iterator[tuple[str, str]]:
    """Yield all that has a name, as the snapshot knows it, and its page."""
    for machine in seen.overview.machines if seen.overview else ():
        table = machine.machine.table
        yield f"table {table}", address("", "/machine", table=table)
        for each in machine.handlers:
            path = address("", "/rows", table=table, status=each.status)
            yield f"handler {each.function} of {table}:{each.status}", path
        for line in machine.statuses:
            path = address("", "/rows", table=table, status=line.status, column=machine.column)
            if line.status is not None:
                yield f"status {line.status} of {table}", path
    for job in seen.beside.jobs if seen.beside else ():
        yield f"job {job.name}", address("", "/job", name=job.name)
