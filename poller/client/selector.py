"""Selectors, by which an operator names rows: `TABLE[:STATUS][:KEY]`, or `all`.

What follows the table is a status if the database knows a handler of that table for it, and a key if not. Keys of any
form may be given apart from the selector, as arguments of their own. `TABLE` alone means all statuses; `TABLE:` means
the empty one, where a handler of the table takes that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from poller.client.refusals import NothingSelectedError, RefusedError
from poller.errors import ConfigurationError
from poller.jobs.run import TABLE as RUNS
from poller.model.table_name import split_off_table, table_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from poller.client.row_queries import Known
    from poller.model.table_name import TableName

ALL = "all"


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of some handlers: those with one of the keys, or all if `keys` is None.

    Attributes:
        keys: in all forms in which they may be stored.
        given: the same as they were given.
    """

    text: str
    handlers: tuple[int, ...]
    keys: tuple[str, ...] | None
    given: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return self.text


def select(selector: str, keys: Sequence[str], known: Sequence[Known]) -> Selection:
    """Return the rows that a selector names.

    Args:
        selector: `TABLE[:STATUS][:KEY]` or `all`; the table with or without its schema.
        keys: further keys, as text; a composite key is a JSON array.
        known: the handlers that the database knows.

    Raises:
        NothingSelectedError: no handler is known for the table.
        ConfigurationError: the table's name is not valid.
    """
    text = " ".join([selector, *keys])
    if not selector:
        msg = "the selector is empty: give TABLE[:STATUS][:KEY], or all"
        raise RefusedError(msg, "empty")
    if selector == ALL:
        return Selection(text, tuple(each.id for each in known), _keys(keys), tuple(keys) or None)
    name, rest = split_off_table(selector)
    handlers = of_table(name, known)
    status, key = split(rest, [each.status for each in handlers])
    chosen = tuple(each.id for each in handlers if status in (None, each.status))
    given = (key, *keys) if key else tuple(keys)
    return Selection(text, chosen, _keys(given), given or None)


def refuse_unfinished(selector: str, statuses: Iterable[str]) -> None:
    """Refuse an order whose selector ends where a status or a key was to stand: it would be for all rows.

    Args:
        selector: as it was given.
        statuses: those that its table may have: of no other, since one may have the empty status.

    Raises:
        RefusedError: nothing stands behind its last colon.
    """
    _, rest = split_off_table(selector)
    status, key = split(rest, statuses)
    if selector.endswith(":") and not key and rest != status:
        msg = (
            f"nothing stands behind the last colon of {selector!r}: leave that out if all such rows are meant"
        )
        raise RefusedError(msg, "unfinished")


class OfTable(Protocol):
    """Anything that belongs to a table, named as the database names it."""

    @property
    def table(self) -> str:
        """The table."""


T = TypeVar("T", bound=OfTable)


def of_table(name: str, known: Sequence[T]) -> list[T]:
    """Return the handlers of a table.

    Raises:
        NothingSelectedError: there is none, or there is more than one table of that name.
    """
    wanted = table_name(name)
    found = [each for each in known if is_named(each.table, wanted)]
    tables = sorted({each.table for each in found})
    if len(tables) == 1:
        return found
    if tables:
        msg = f"{name} may mean {' or '.join(tables)}; name the schema, too"
        raise NothingSelectedError(msg)
    there = ", ".join(sorted({each.table for each in known} - {str(RUNS)}))
    hint = f"there are handlers for {there}" if there else "no handler has run on this database yet"
    msg = f"no handler is known for table {name}; {hint}"
    raise NothingSelectedError(msg)


def is_named(table: str, wanted: TableName) -> bool:
    """Tell whether a name, with or without a schema, means a table of the database."""
    return table == str(wanted) or (not wanted.schema and table.endswith(f".{wanted}"))


def is_spelled(table: str, name: str) -> bool:
    """Tell whether a text is a name of a table of the database."""
    try:
        return is_named(table, table_name(name))
    except ConfigurationError:
        return False


def same_key(key: str) -> tuple[str, ...]:
    """Return the forms in which a key may be stored: as given, and as Postgres writes it if it is a JSON array."""
    try:
        parts = json.loads(key)
        written = json.dumps(parts, ensure_ascii=False)
        written.encode()  # half a character, written as an escape, is in no database
    except (ValueError, RecursionError):
        return (key,)
    return tuple(dict.fromkeys((key, written))) if isinstance(parts, list) else (key,)


def _keys(keys: Sequence[str]) -> tuple[str, ...] | None:
    return tuple(form for key in keys for form in same_key(key)) or None


def split(rest: str | None, statuses: Iterable[str]) -> tuple[str | None, str]:
    """Return the status and the key in what follows the table; either may be missing.

    Args:
        rest: what follows; None if the table's name stands alone, which names no status, the empty one neither.
        statuses: those that the table may have.
    """
    if rest is None:
        return None, ""
    for status in sorted(statuses, key=len, reverse=True):
        if rest == status or rest.startswith(f"{status}:"):
            return status, rest[len(status) + 1 :]
    return None, rest
