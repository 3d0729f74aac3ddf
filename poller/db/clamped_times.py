"""How poller's own statements read times.

Instants come in UTC, whatever the zone of the session, which is the database's. For people, times that Postgres can
hold and Python's calendar cannot (years before 1, after 9999, infinity) are clamped.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import postgres
from psycopg.adapt import Loader
from psycopg.pq import Format

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg.abc import AdaptContext, Buffer

_ENDS = {
    "timestamptz": (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
    "timestamp": (datetime.min, datetime.max),  # noqa: DTZ901 - it has no zone
}


def read_in_utc(context: AdaptContext) -> None:
    """Read instants in UTC: an adapter that knows no session takes that to be its zone.

    Args:
        context: what reads them from now on.
    """
    number = postgres.types["timestamptz"].oid
    found: Callable[..., Any] | None = context.adapters.get_loader(number, Format.TEXT)
    assert found is not None  # noqa: S101 - psycopg has one
    strict = found

    class InUtc(Loader):
        def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
            super().__init__(oid, context)
            self._strict = strict(oid, None)

        def load(self, data: Buffer) -> Any:
            return self._strict.load(data)

    context.adapters.register_loader(number, InUtc)


def clamp_times(context: AdaptContext) -> None:
    """Read times that Python's calendar cannot hold as its first or its last.

    Args:
        context: a connection or a cursor; what it reads from now on.
    """
    for name, ends in _ENDS.items():
        context.adapters.register_loader(name, _clamped(name, ends, context))


def _clamped(name: str, ends: tuple[datetime, datetime], context: AdaptContext) -> type[Loader]:
    found: Callable[..., Any] | None = context.adapters.get_loader(postgres.types[name].oid, Format.TEXT)
    assert found is not None  # noqa: S101 - psycopg has one for each of these
    strict = found

    class Clamped(Loader):
        def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
            super().__init__(oid, context)
            self._strict = strict(oid, context)

        def load(self, data: Buffer) -> Any:
            try:
                return self._strict.load(data)
            except (psycopg.DataError, ValueError, OverflowError):
                text = bytes(data).decode()
                return ends[0] if text.startswith("-") or text.endswith("BC") else ends[1]

    return Clamped
