"""Values on their way from a user's table to a handler's row, and from its `Transition` back.

What psycopg makes of a type is what a handler gets. Where it raises, since Python's types cannot hold the
value, a claim must not: one row with `infinity` or a date before the year 1 would keep its handler from all
the others. Such values are read again, with loaders that forgive.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import postgres
from psycopg.adapt import Loader, PyFormat, Transformer
from psycopg.pq import Format
from psycopg.types.json import Json, Jsonb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from psycopg import sql
    from psycopg.abc import AdaptContext, Buffer

# The types with values that Python's cannot hold, and what stands for their infinite ones.
_UNSURE: dict[str, dict[str, Any]] = {
    "timestamptz": {
        "infinity": datetime.max.replace(tzinfo=UTC),
        "-infinity": datetime.min.replace(tzinfo=UTC),
    },
    "timestamp": {"infinity": datetime.max, "-infinity": datetime.min},  # noqa: DTZ901 - it has no zone
    "date": {"infinity": date.max, "-infinity": date.min},
    "time": {},
    "timetz": {},
    "interval": {},
    "json": {},
    "jsonb": {},
}
_UNREADABLE = (psycopg.DataError, ValueError, OverflowError)


def fetch(
    connection: psycopg.Connection[Any], question: sql.Composed, asked: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Return the rows of a question, which are read again if one of their values cannot be.

    An infinite time is then the greatest or the least that Python has; another such value is its text.
    """
    cursor = connection.execute(question, asked)
    try:
        return cursor.fetchall()
    except _UNREADABLE:
        return _read_again(cursor)


def _read_again(cursor: psycopg.Cursor[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the rows of a question, which is not asked again: it may have claimed what it returned."""
    for name, infinite in _UNSURE.items():
        cursor.adapters.register_loader(name, _forgiving(name, infinite, cursor))
    result = cursor.pgresult
    assert result is not None  # noqa: S101 - it had rows
    reader = Transformer(cursor)
    reader.set_pgresult(result)
    return reader.load_rows(0, result.ntuples, tuple)


def _forgiving(name: str, infinite: Mapping[str, Any], context: AdaptContext) -> type[Loader]:
    found = context.adapters.get_loader(postgres.types[name].oid, Format.TEXT)
    assert found is not None  # noqa: S101 - psycopg has one for each of these
    strict: Callable[..., Any] = found

    class Forgiving(Loader):
        def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
            super().__init__(oid, context)
            self._strict = strict(oid, context)

        def load(self, data: Buffer) -> Any:
            try:
                return self._strict.load(data)
            except _UNREADABLE:
                text = bytes(data).decode()
                return infinite.get(text, text)

    return Forgiving


def text_of(value: Any, kind: str, connection: psycopg.Connection[Any]) -> str | None:
    """Return a value as psycopg would send it, as text for a column of type `kind` to read."""
    value = _plain(value)
    if value is None:
        return None
    if not isinstance(value, Json | Jsonb) and (isinstance(value, dict) or kind in ("json", "jsonb")):
        value = Json(value)
    dumped = Transformer(connection).get_dumper(value, PyFormat.TEXT).dump(value)
    return None if dumped is None else bytes(dumped).decode()


def _plain(value: Any) -> Any:
    """Return the value of an enum's member, as for statuses; psycopg would send its name."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.value if isinstance(value, Enum) else value
