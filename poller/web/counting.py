"""The page that counts the rows of one status, when it is told to: one count at a time, given up after a while."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg

from poller.client.refusals import NothingSelectedError
from poller.errors import ConfigurationError
from poller.web.pages import asked, page
from poller.web.refused import no_such
from poller.web.state import desk_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from poller.client.counting import CountAhead, ExactCount

SECONDS = 30.0
ELSEWHERE = ("cross-site", "same-site")  # a page of another site may not have the desk count
_one_at_a_time = threading.Lock()


def count(request: Request) -> Response:
    """Tell how long a count may take; with `go` make it."""
    table, column = asked(request, "table"), asked(request, "column")
    status = request.query_params.get("status")  # which may be empty
    if table is None or status is None:
        return no_such(request, "name a table and a status")
    try:
        ahead = desk_of(request).client.count_ahead(table, status, column=column)
    except (NothingSelectedError, ConfigurationError) as error:
        return no_such(request, str(error))
    except psycopg.DataError:
        return no_such(request, f"{table} has no status {status}")
    is_asked = asked(request, "go") and request.headers.get("sec-fetch-site") not in ELSEWHERE
    found, why = counted(request, ahead) if is_asked else (None, None)
    return page(request, "count.html", ahead=ahead, found=found, why=why, seconds=SECONDS)


def counted(request: Request, ahead: CountAhead) -> tuple[ExactCount | None, str | None]:
    """Return the count, or None and why there is none."""
    if not _one_at_a_time.acquire(blocking=False):
        return None, "Another count is under way. Try again when it has ended."
    try:
        client = desk_of(request).client
        return client.count(ahead.table, ahead.status, column=ahead.column, seconds=SECONDS), None
    except psycopg.errors.QueryCanceled:
        return None, f"It took longer than {SECONDS:g} seconds, and was given up."
    finally:
        _one_at_a_time.release()
