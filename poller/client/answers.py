"""The form of answers: frozen dataclasses, listings in pages, and the objects that `--json` and an API give."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from poller.errors import ConfigurationError
from poller.telemetry import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
_ASIDE = "aside"
_RARE = "rare"
# As Python or Postgres' JSON writes it. Postgres refuses days that the calendar lacks.
_TIME = re.compile(
    r"-?infinity|\d{4,6}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?[+-]\d\d(?::\d\d){0,2}(?: BC)?"
)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a listing, or all of it.

    Attributes:
        items: what is listed.
        next: the `after=` of the page that follows; None if nothing follows.
        as_of: when it was read, by the database's clock.
        exact: no number in it is an estimate.
        faults: why the lines of some tables are not in it, a line each.
    """

    items: tuple[T, ...]
    next: str | None
    as_of: datetime
    exact: bool = True
    faults: tuple[str, ...] = ()


def aside(default: Any = MISSING) -> Any:
    """Make a field that people see and programs may read, but that is left out of the answer's object."""
    return field(default=default, metadata={_ASIDE: True})


def rare() -> Any:
    """Make a field that an answer's object has only where it is not None."""
    return field(default=None, metadata={_RARE: True})


def is_rare(one: Field[Any]) -> bool:
    """Tell whether an object has a field only where it is not None."""
    return bool(one.metadata.get(_RARE))


def as_object(answer: Any, *, whole: bool = False) -> dict[str, Any]:
    """Return an answer's fields by name, without those that are marked as an `aside`, unless it is to be whole.

    >>> @dataclass(frozen=True)
    ... class Run:
    ...     id: int
    ...     seconds: float = aside()
    >>> as_object(Run(7, 1.5))
    {'id': 7}
    """
    kept = {
        _named(each.name)
        for each in object_fields(answer, whole=whole)
        if not is_rare(each) or getattr(answer, each.name) is not None
    }
    found = asdict(answer, dict_factory=lambda pairs: {_named(name): _told(value) for name, value in pairs})
    return {name: value for name, value in found.items() if name in kept}


def object_fields(answer: Any, *, whole: bool = False) -> list[Field[Any]]:
    """Return the fields of an answer, or of its class, that its object has."""
    return [each for each in fields(answer) if whole or not each.metadata.get(_ASIDE)]


def as_json(value: Any, indent: int | None = None) -> str:
    """Return objects of answers as JSON, times in ISO 8601 with offset."""
    return printable.as_json(value, default=_plain, indent=indent)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _told(value: Any) -> Any:
    """Return a value that JSON has: it has no infinite numbers."""
    return None if isinstance(value, float) and not isfinite(value) else value


def _named(field: str) -> str:
    """Return a field's name in an object: `from_` becomes `from`, a keyword of Python."""
    return field.removesuffix("_")


def one_more(limit: int | None) -> int | None:
    """Return how many rows to ask for: one more than the page holds, to know whether another page follows.

    Raises:
        ConfigurationError: the limit is not a positive number.
    """
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        msg = f"limit must be a whole number of at least 1, got {limit!r}"
        raise ConfigurationError(msg)
    return min(limit, 2**62) + 1


def cut(
    found: Sequence[T], limit: int | None, as_of: datetime, cursor: Callable[[T], Sequence[Any]]
) -> Page[T]:
    """Return the page with the first `limit` of the items found.

    Args:
        found: up to `limit + 1` items.
        limit: how many the page holds; None for all.
        as_of: when they were read.
        cursor: gives where an item stands in the order of the listing.
    """
    if limit is None or len(found) <= limit:
        return Page(tuple(found), None, as_of)
    return Page(tuple(found[:limit]), encoded(cursor(found[limit - 1])), as_of)


def encoded(position: Sequence[Any]) -> str:
    """Return a position in a listing as a cursor, which is one word."""
    text = json.dumps(position, default=str, ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def decoded(after: str | None, *kinds: type) -> list[Any] | None:
    """Return the position that a cursor stands for; None for None.

    Args:
        after: the cursor.
        kinds: the types in the position; a `datetime` is kept as text, which Postgres reads.

    Raises:
        ConfigurationError: the text is not a cursor of this listing.
    """
    if after is None:
        return None
    try:
        text = base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)).decode("utf-8", "surrogatepass")
        position = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        position = None
    if not isinstance(position, list) or not _is_made_of(position, kinds):
        msg = f"after must be the `next` cursor of a page of this listing, got {after!r}"
        raise ConfigurationError(msg)
    return position


def _is_made_of(position: Sequence[Any], kinds: Sequence[type]) -> bool:
    return len(position) == len(kinds) and all(map(_is_one, position, kinds))


def _is_one(value: Any, kind: type) -> bool:
    if kind is int:
        return type(value) is int and abs(value) < 2**63
    if kind is datetime:
        return type(value) is str and _TIME.fullmatch(value) is not None
    if kind is str:
        return type(value) is str and _is_text(value)
    return type(value) is kind


def _is_text(value: str) -> bool:
    """Tell whether a text can be one of the database's: without a NUL, and without half a character."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False
