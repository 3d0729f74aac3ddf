"""The JSON API: what each of its routes has in common.

The model. A route is a line of the table (`api_routes`): what it is asked, what it answers, and the function that asks
the client. The query or the body is read whole before anything is asked of the database; questions run on the
threads of the pages, orders on those of acts. Whatever goes wrong is told as RFC 9457 has it.

What may be trusted: an answer holds nothing that the viewer may not see; items are those that the command line prints.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.responses import Response

from poller.client.answers import as_json
from poller.client.refusals import NothingSelectedError
from poller.errors import ConfigurationError
from poller.web.acts import THREADS
from poller.web.answers import NOT_FOUND
from poller.web.api_asked import INVALID, JSON, Asked, json_of, path_alone, query_of
from poller.web.api_questions import told
from poller.web.faults import Refused, is_about_data
from poller.web.forms import WRONG
from poller.web.route import API, Route
from poller.web.state import desk_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from poller.web.rights import Right

BASE = f"{API}v1"


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A route of the API.

    Attributes:
        method: GET for a question, POST for an order.
        path: below `/api/v1`.
        right: what the viewer needs.
        does: asks the client; its docstring says what, in the description, too.
        asked: the fields of the query of a question, or of the body of an order.
        answer: the class of the answer; a list, if it is a page of items.
        is_repeatable: it may be given an `Idempotency-Key`.
    """

    method: str
    path: str
    right: Right
    does: Callable[[Request, Any], Any]
    asked: type[Asked]
    answer: Any
    is_repeatable: bool = False

    @property
    def has_body(self) -> bool:
        """It is an order that has more to say than its path."""
        return self.method == "POST" and self.asked is not Asked

    async def read(self, request: Request) -> Asked:
        """Read what is asked for.

        Raises:
            HTTPException: it is not what this takes.
        """
        if self.method == "GET":
            return query_of(request, self.asked)
        return await (json_of if self.has_body else path_alone)(request, self.asked)

    @property
    def route(self) -> Route:
        """As the table of routes has it."""
        return Route(self.method, BASE + self.path, self.right, partial(_answer, self))


async def _answer(call: ApiCall, request: Request) -> Response:
    asked = await call.read(request)
    limiter = None if call.method == "GET" else THREADS.limiter
    found = await to_thread.run_sync(_found, call, request, asked, limiter=limiter)
    return Response(as_json(told(found)), media_type=JSON)


def _found(call: ApiCall, request: Request, asked: Asked) -> Any:
    """Ask the client.

    Raises:
        HTTPException: what was asked for is not there, or cannot be asked for.
    """
    wrong = INVALID if call.has_body else WRONG
    try:
        return call.does(request, asked)
    except NothingSelectedError as error:
        raise HTTPException(NOT_FOUND, str(error)) from None
    except ConfigurationError as error:
        raise HTTPException(wrong, str(error)) from None
    except Refused as error:
        if not is_about_data(error):
            raise
        raise HTTPException(wrong, "the database cannot read a value of the request") from None
    finally:
        if call.method != "GET":
            desk_of(request).snapshot.refresh()
            desk_of(request).shared.forget()
