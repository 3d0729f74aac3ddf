"""Reads values from a user's table for a handler's row, and writes those of its `Transition` back.

A handler gets each value as psycopg loads it, with the adapters that the program has registered. Where a loader
raises, whatever it raises, the claim must not: one row with `infinity`, a date before the year 1, a JSON value nested
beyond Python's stack, or a value that a loader of the program's cannot read would keep its handler from all the
others. Such values are read again, each by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import psycopg
from psycopg import postgres
from psycopg.adapt import AdaptersMap, Loader, PyFormat, Transformer
from psycopg.pq import Format
from psycopg.types.json import Json, Jsonb

from poller.db.connection import Adapters, OwnConnection, users_adapters
from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from psycopg import sql
    from psycopg.abc import AdaptContext, Buffer
    from psycopg.pq.abc import PGresult

    from poller.db.tables import Table

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
_TEXT = postgres.types["text"].oid
_JSON = ("json", "jsonb")
_WITHOUT_ZONE = ("timestamp without time zone", "date")

Fetched = tuple[Any, ...]  # a row as it is fetched: the key as text, then the columns


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The rows that a query returned, and its further columns.

    Attributes:
        rows: the key as text, then the columns as the user's program reads them.
    """

    rows: list[Fetched]
    _connection: psycopg.Connection[Any]
    _result: PGresult

    def own(self, column: int) -> Any:
        """Return a column of poller's own, from the first row; the user's adapters do not apply to it.

        Args:
            column: its place, from the end: -1 is the last.
        """
        place = self._result.nfields + column
        data = self._result.get_value(0, place)
        if data is None:
            return None
        reader: Any = Transformer(Adapters(self._connection.adapters, self._connection))
        return reader.get_loader(self._result.ftype(place), Format.TEXT).load(data)


def fetch(
    connection: psycopg.Connection[Any],
    question: sql.Composed,
    asked: Mapping[str, Any],
    *,
    users: bool = True,
) -> QueryResult:
    """Return the rows of a query whose first column is a key.

    Args:
        connection: where to ask.
        question: what to ask.
        asked: its parameters.
        users: it is a table of the user's, which is read as the user's program reads; else poller's own.

    Of a value that cannot be read an infinite time is the greatest or the least that Python has; any other such
    value is its text, or its bytes if it is not a text.
    """
    result = connection.execute(question, asked, prepare=True).pgresult
    assert result is not None  # noqa: S101 - it has been executed
    adapters = users_adapters(connection) if users else Adapters(OwnConnection.plain.adapters, connection)
    try:
        rows = _reader(adapters, result).load_rows(0, result.ntuples, tuple)
    except BaseException as error:
        # The question is not asked again: it may have claimed what it returned.
        if isinstance(error, KeyboardInterrupt):
            raise
        rows = _read_one_by_one(adapters, result)
    if not _reads_text_plainly(adapters):
        rows = [(_text(result.get_value(at, 0)), *row[1:]) for at, row in enumerate(rows)]
    return QueryResult(rows, connection, result)


def _reader(adapters: Adapters, result: PGresult) -> Any:
    reader: Any = Transformer(adapters)
    reader.set_pgresult(result)
    return reader


def _reads_text_plainly(adapters: Adapters) -> bool:
    """Tell whether the user's program reads text as text: keys must be exactly what Postgres sends."""
    plain = OwnConnection.plain.adapters.get_loader(_TEXT, Format.TEXT)
    return adapters.adapters.get_loader(_TEXT, Format.TEXT) is plain


def _read_one_by_one(adapters: Adapters, result: PGresult) -> list[Fetched]:
    """Return rows, each value read by itself."""
    forgiving = Adapters(AdaptersMap(adapters.adapters), adapters.connection)
    for name, infinite in _UNSURE.items():
        forgiving.adapters.register_loader(name, _forgiving(name, infinite, adapters))
    reader = _reader(forgiving, result)
    loads = [reader.get_loader(result.ftype(at), result.fformat(at)).load for at in range(result.nfields)]
    return [
        tuple(_value(load, result.get_value(row, at)) for at, load in enumerate(loads))
        for row in range(result.ntuples)
    ]


def _value(
    load: Callable[[Any], Any], data: Buffer | None, infinite: Mapping[str, Any] = MappingProxyType({})
) -> Any:
    """Return what a loader makes of a value, or the substitute if it raises."""
    if data is None:
        return None
    try:
        return load(data)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        text = _text(data)
        return infinite.get(text, text)


def _text(data: Buffer | None) -> Any:
    """Return what Postgres sent as text, or as bytes where it is not text: a database may have no encoding."""
    if data is None:
        return None
    try:
        return bytes(data).decode()
    except UnicodeDecodeError:
        return bytes(data)


def _forgiving(name: str, infinite: Mapping[str, Any], context: AdaptContext | Adapters) -> type[Loader]:
    found = context.adapters.get_loader(postgres.types[name].oid, Format.TEXT)
    assert found is not None  # noqa: S101 - psycopg has one for each of these
    strict: Callable[..., Any] = found

    class Forgiving(Loader):
        def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
            super().__init__(oid, context)
            self._strict = strict(oid, context)

        def load(self, data: Buffer) -> Any:
            return _value(self._strict.load, data, infinite)

    return Forgiving


def text_of(value: Any, kind: str, zone: str = "UTC") -> str | None:
    """Return a value as psycopg would send it, as text for a column of type `kind` to read.

    Args:
        value: the user's.
        kind: the type of the column.
        zone: the database's, in which an instant is written to a column without time zone.

    Raises:
        BaseException: psycopg does not know the type; or the user's value raises it when accessed.
        ConfigurationError: this host does not know the zone.
    """
    value = _plain(value, kind.removesuffix("[]"), zone)
    if value is None:
        return None
    if isinstance(value, dict) or kind in _JSON:
        value = _json(value)
    elif kind.removesuffix("[]") in _JSON and isinstance(value, list):
        value = [_json(each) for each in value]
    dumped = Transformer().get_dumper(value, PyFormat.TEXT).dump(value)
    return None if dumped is None else bytes(dumped).decode()


def text_for(table: Table) -> Callable[[str, Any], str | None]:
    """Return functions that turn values into texts for a table's columns, by their names; see `text_of`."""

    def text(name: str, value: Any) -> str | None:
        column = table.columns.get(name)
        return text_of(value, "" if column is None else column.time or column.type, table.zone)

    return text


def _plain(value: Any, kind: str, zone: str) -> Any:
    """Return what psycopg is given in place of a value.

    - The value of an enum's member, as for statuses; psycopg would send its name.
    - Bytes as hexadecimal digits: without a connection libpq doubles quotes and backslashes in them.
    - An instant for a column without time zone as the database's clock shows it: Postgres reads no offset there.
    """
    if isinstance(value, list):
        return [_plain(each, kind, zone) for each in value]
    if type(value) is tuple:
        return tuple(_plain(each, "", zone) for each in value)
    if isinstance(value, Enum):
        return _plain(value.value, kind, zone)
    if isinstance(value, bytes | bytearray | memoryview) and kind not in _JSON:
        return f"\\x{bytes(value).hex()}"
    if kind in _WITHOUT_ZONE and isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(_zone(zone)).replace(tzinfo=None)
    return value


def _json(value: Any) -> Any:
    return value if value is None or isinstance(value, Json | Jsonb) else Json(value)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        msg = f"this host does not know {name!r}, the time zone of the database; set a time without a zone"
        raise ConfigurationError(msg) from error
