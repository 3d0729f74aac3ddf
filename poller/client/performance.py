"""How a table's handlers have done over hours and days, and how well the server keeps the table.

What may be trusted: counts are by minute, and kept for 30 days. Rows, dead row versions and sizes are the server's
estimates; nothing of the table itself is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from poller.client.row_queries import RowQueries
from poller.client.selector import of_table
from poller.db import tables
from poller.db.statements import array, statement
from poller.db.typed_rows import all_rows, only_row
from poller.errors import ConfigurationError
from poller.model.table_name import table_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import psycopg

    from poller.client.row_queries import Known

PACE_MINUTES = 10
SPANS = {"1h": (60, 60), "24h": (1800, 48), "7d": (10_800, 56)}  # seconds of each, how many


@dataclass(frozen=True, slots=True)
class Span:
    """What was done in a span of time: rows moved, attempts that failed, and rows parked."""

    at: datetime
    moved: int
    failed: int
    parked: int


@dataclass(frozen=True, slots=True)
class HandlerPace:
    """Within how many seconds half of the attempts of the last ten minutes ended, and 95 in 100; by a sample."""

    column: str
    status: str
    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class Performance:
    """How a table's handlers have done.

    Attributes:
        seconds: how long each span is.
        spans: the current one last.
        paces: of handlers with attempts.
    """

    table: str
    seconds: int
    spans: tuple[Span, ...]
    paces: tuple[HandlerPace, ...]


@dataclass(frozen=True, slots=True)
class IndexUpkeep:
    """An index: what is in it, its size, how often it was used, and whether it can be."""

    name: str
    definition: str
    bytes: int
    scans: int
    is_valid: bool


@dataclass(frozen=True, slots=True)
class Upkeep:
    """How a table is kept.

    Attributes:
        dead: row versions that vacuum has not yet taken away.
        vacuumed_at: when it was last; of partitions the one for which that is longest ago; None if never.
        analyzed_at: the same for its statistics.
        without_autovacuum: the table, or its partitions, for which autovacuum is off.
    """

    table: str
    rows: int
    dead: int
    bytes: int
    parts: int
    vacuumed_at: datetime | None
    analyzed_at: datetime | None
    without_autovacuum: tuple[str, ...]
    indexes: tuple[IndexUpkeep, ...]


def performance(connection: psycopg.Connection[Any], table: str, back: str) -> Performance:
    """Return how a table's handlers have done.

    Raises:
        NothingSelectedError: no handler is known for the table.
        ConfigurationError: it is not told so far back.
    """
    if back not in SPANS:
        msg = f"back must be one of {', '.join(SPANS)}, got {back!r}"
        raise ConfigurationError(msg)
    known = _known(connection, table)
    step, spans = SPANS[back]
    asked = {"step": step, "spans": spans, "handlers": array(each.id for each in known)}
    found = all_rows(connection, statement("throughput"), asked, Span)
    paces = RowQueries(connection).paces(PACE_MINUTES)
    shown = (HandlerPace(each.column, each.status, *paces[each.id]) for each in known if each.id in paces)
    return Performance(known[0].table, step, tuple(found), tuple(shown))


def upkeep(connection: psycopg.Connection[Any], table: str) -> Upkeep:
    """Return how a table is kept.

    Raises:
        NothingSelectedError: no handler is known for the table.
        ConfigurationError: it is not there.
    """
    described = tables.describe(connection, table_name(_known(connection, table)[0].table))
    asked = {"table": described.oid}
    beside: dict[str, Any] = {
        "table": str(described),
        "without_autovacuum": tuple(RowQueries(connection).health(described).without_autovacuum or ()),
        "indexes": tuple(all_rows(connection, statement("index_upkeep"), asked, IndexUpkeep)),
    }
    return only_row(connection, statement("upkeep"), asked, partial(Upkeep, **beside))


def _known(connection: psycopg.Connection[Any], table: str) -> Sequence[Known]:
    return of_table(table, RowQueries(connection).known_handlers())
