"""What the API is asked: the fields of queries and of bodies, with their limits; and how they are read.

A field that is not known is refused: who misspells a filter is not to get an answer to another question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException

from poller.web.forms import LONGEST, WRONG, WRONG_KIND, body_of

if TYPE_CHECKING:
    from starlette.requests import Request

T = TypeVar("T", bound="Asked")
INVALID = 422
FIELDS = 20  # of a query
LONGEST_QUERY = 2**16  # bytes: what servers take of an address
MOST = 1000  # items of a page, keys of an order
PER_PAGE = 100
JSON = "application/json"

_PLAIN = "^[^\\u0000]*$"  # Postgres has no text with a NUL
Text = Annotated[str, Meta(min_length=1, pattern=_PLAIN)]
Key = Annotated[str, Meta(pattern=_PLAIN)]  # it may be empty
Status = Key
Cursor = Annotated[str, Meta(min_length=1, pattern="^[A-Za-z0-9_-]+$")]
Limit = Annotated[int, Meta(ge=1, le=MOST)]
Time = Annotated[str, Meta(min_length=1, max_length=40, pattern=_PLAIN)]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question without fields."""


class PageOf(Asked, frozen=True):
    """A page of a listing.

    Attributes:
        after: the `next` of the page before.
        limit: how many items it has at the most.
    """

    after: Cursor | None = None
    limit: Limit = PER_PAGE


class Selected(PageOf, frozen=True):
    """Rows: `TABLE[:STATUS][:KEY]`, or `all`."""

    selector: Text = "all"


class Grouped(Asked, frozen=True):
    """Rows, as above; or `poller.run:JOB`, for the runs of a job."""

    selector: Text = "all"


class OfStatus(Asked, frozen=True):
    """The rows of a table that show a status; `column` names the status column, where there are several."""

    table: Text
    status: Status
    column: Text | None = None


class PageOfStatus(OfStatus, frozen=True):
    """A page of them; those whose column `by`, which is shown and which an index begins with, `is` as given."""

    by: Text | None = None
    value: Key = msgspec.field(default="", name="is")
    after: Cursor | None = None
    before: Cursor | None = None
    limit: Limit = PER_PAGE


class OneTable(Asked, frozen=True):
    """A table, with or without its schema."""

    table: Text


class DoneOn(OneTable, frozen=True):
    """What was done on a table, and how far back."""

    back: Literal["1h", "24h", "7d"] = "1h"


class Word(Asked, frozen=True):
    """A key, a run's number, a job's name, a table, `TABLE:STATUS` or `TABLE:KEY`."""

    word: Text


class OneRow(Asked, frozen=True):
    """A row, by its primary key as text; a JSON array if that is composite."""

    table: Text
    key: Key


class OfRow(PageOf, frozen=True, kw_only=True):
    """What happened to a row; `back` says how far to look: `12h`, `30d`."""

    table: Text
    key: Key
    back: Time = "1d"


class Explained(Asked, frozen=True):
    """`TABLE:STATUS:KEY`, or `TABLE:STATUS`."""

    selector: Text


class Drawn(Asked, frozen=True):
    """The machines of one table, or of all; with how many rows show each status."""

    table: Text | None = None
    counts: bool = False


class OfJob(PageOf, frozen=True):
    """Of one job, or of all."""

    job: Text | None = None


class Ahead(Asked, frozen=True):
    """The slots ahead, of one job or of all."""

    job: Text | None = None
    limit: Limit = PER_PAGE


class RowsOrder(Asked, frozen=True):
    """Rows to be retried or released.

    Attributes:
        selector: `TABLE[:STATUS][:KEY]`, or `all`.
        keys: of further rows.
        error: only those with this error: its class, its class and place, or a part of its text.
    """

    selector: Text
    keys: Annotated[tuple[Key, ...], Meta(max_length=MOST)] = ()
    error: Text | None = None


class MoveOrder(Asked, frozen=True):
    """Rows to be moved: `TABLE:STATUS[:KEY]` or `TABLE:KEY`, further keys, and the status that they are to have.

    Attributes:
        selector: which rows.
        to: the status that they are to have.
        shown: the status that they show, named apart: what follows the table is a key, then.
        column: the status column, where the table has several.
    """

    selector: Text
    to: Status
    shown: Status | None = msgspec.field(default=None, name="from")
    column: Text | None = None
    keys: Annotated[tuple[Key, ...], Meta(max_length=MOST)] = ()


class TriggerOrder(Asked, frozen=True):
    """A job, and what its function is called with; without `args`, the job's own."""

    job: Text
    args: dict[str, Any] | None = None


class JobPause(Asked, frozen=True):
    """A job, and for how long: `1h`; without `for`, until it is resumed."""

    job: Text
    lasts: Time | None = msgspec.field(default=None, name="for")


class JobResume(Asked, frozen=True):
    """A job."""

    job: Text


class SilenceOrder(Asked, frozen=True):
    """A job, a host, `TABLE` or `TABLE:STATUS`, with `*` and `?` for several; for how long (`0s` ends it), and why."""

    name: Text
    lasts: Time = msgspec.field(name="for")
    reason: Annotated[str, Meta(max_length=500, pattern=_PLAIN)] | None = None


class HandlerPause(Asked, frozen=True):
    """Handlers, as `TABLE` or `TABLE:STATUS`, and for how long."""

    handler: Text
    lasts: Time | None = msgspec.field(default=None, name="for")


class HandlerResume(Asked, frozen=True):
    """Handlers, as `TABLE` or `TABLE:STATUS`."""

    handler: Text


def query_of(request: Request, kind: type[T]) -> T:
    """Read the query of a request.

    Raises:
        HTTPException: it is not one of this kind.
    """
    try:
        text = _bounded(request.scope["query_string"]).decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FIELDS)
        _refuse_twice([name for name, _ in pairs])
        return msgspec.convert(dict(pairs), kind, strict=False)
    except (ValueError, msgspec.ValidationError) as error:
        raise HTTPException(WRONG, f"the query is not valid: {_said(error)}") from None


async def json_of(request: Request, kind: type[T]) -> T:
    """Read the body of a request.

    Raises:
        HTTPException: it is too long, not JSON, or not of this kind.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise HTTPException(WRONG_KIND, f"the body is sent as {JSON}")
    return _decoded(await body_of(request, LONGEST), kind)


async def path_alone(request: Request, kind: type[T]) -> T:
    """Read an order that has no more to say than its path: without a body, or with an object that has no fields.

    Raises:
        HTTPException: it says more.
    """
    body = await body_of(request, LONGEST)
    return _decoded(body, kind) if body else query_of(request, kind)


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise HTTPException(INVALID, f"the body is not valid: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(WRONG, f"the body is not JSON: {_said(error)}") from None


def _bounded(query: bytes) -> bytes:
    if len(query) > LONGEST_QUERY:
        msg = f"it has more than {LONGEST_QUERY:,} bytes"
        raise ValueError(msg)
    return query


def _refuse_twice(names: list[str]) -> None:
    twice = next((each for each in names if names.count(each) > 1), None)
    if twice is not None:
        msg = f"{twice!r} is given twice"
        raise ValueError(msg)


def _said(error: Exception) -> str:
    """Return why something was refused; of texts that are no UTF-8, not which bytes."""
    return "it is not UTF-8" if isinstance(error, UnicodeError) else str(error)
