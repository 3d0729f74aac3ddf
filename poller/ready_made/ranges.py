"""Finds the old rows of a table without relying on a plan that can be bad.

The table is walked in stretches, each of a bounded size and looked through once:

- ranges of the column, where an index gives the rows in its order. Postgres' own planner is asked whether one
  does, so that one on the status and the column serves as well, or a partial one. A range ends with all the
  rows that share its last value: a million rows of one instant are one range, not a thousand looks at the
  same million;
- ranges of blocks otherwise: one pass over the table, in the order in which it is stored.

A stretch's old rows are listed by a cursor that holds no snapshot; `purge_run` takes their keys in batches.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from psycopg import sql

from poller.db.statements import statement
from poller.ready_made.old_rows import every, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from poller.ready_made.old_rows import Stale

STRETCH_ROWS = 100_000  # rows of a range of the column
STRETCH_BLOCKS = 1_000  # of a range of blocks: 8 MB
CURSOR = "poller_stale"
_TRUE = sql.SQL("true")
# Nodes that a plan must not have if an index alone gives the rows in order, one after the other.
_NO_INDEX = {"Seq Scan", "Sort", "Incremental Sort", "Bitmap Heap Scan"}


def count(connection: psycopg.Connection[Any], made: Stale) -> tuple[int, dict[str, int]]:
    """Return how many rows are old, and how many of them will be kept, by the foreign key that needs them."""
    row = connection.execute(made.count, {}).fetchone()
    return (int(row[0]), row[1]) if row else (0, {})


def estimate(connection: psycopg.Connection[Any], made: Stale) -> int:
    """Return an estimate of the old rows, without reading them."""
    return int(_plan(connection, made.estimate)["Plan Rows"])


def advice(connection: psycopg.Connection[Any], made: Stale) -> str | None:
    """Return the statement that creates the index which a rule lacks; None if it lacks none."""
    if _driving(connection, made) is not None:
        return None
    names = [made.rule.column] if made.rule.move is None else [made.rule.move.column, made.rule.column]
    [health] = rows(connection, "table_health", {"table": made.table.oid})
    wanted = statement(
        "advised_age_index",
        table=made.table.identifier,
        columns=sql.SQL(", ").join(map(sql.Identifier, names)),
        concurrently=sql.SQL("" if health.is_partitioned else "CONCURRENTLY "),
    )
    return wanted.as_string(connection).strip().replace("%%", "%")


def stretches(connection: psycopg.Connection[Any], made: Stale) -> Iterator[sql.Composable]:
    """Yield conditions on a row `t`, one a stretch; each old row of the table is in one of them."""
    driving = _driving(connection, made)
    return _ranges(connection, made, driving) if driving is not None else _blocks(connection, made)


@contextlib.contextmanager
def listed(
    connection: psycopg.Connection[Any], made: Stale, stretch: sql.Composable
) -> Iterator[psycopg.ServerCursor[Any]]:
    """List the keys of the old rows in a stretch; the server keeps them, without a snapshot."""
    with connection.cursor(CURSOR, withhold=True) as cursor:
        with connection.transaction():
            connection.execute("set local enable_seqscan = off")
            cursor.execute(made.listing(stretch), {})
        yield cursor


def _ranges(
    connection: psycopg.Connection[Any], made: Stale, driving: sql.Composable
) -> Iterator[sql.Composable]:
    after: sql.Composable = _TRUE
    while True:
        question = made.stretch_end(driving, after)
        with _by_index(connection):
            end = connection.execute(question, {"rows": STRETCH_ROWS - 1}).fetchone()
        if end is None:
            yield every(driving, after)
            return
        upper = made.instant(end[0])
        yield every(driving, after, sql.SQL("{} <= {}").format(made.column, upper))
        after = sql.SQL("{} > {}").format(made.column, upper)


def _blocks(connection: psycopg.Connection[Any], made: Stale) -> Iterator[sql.Composable]:
    found = connection.execute(statement("table_blocks"), {"table": made.table.oid}).fetchone()
    for first in range(0, int(found[0]) if found else 0, STRETCH_BLOCKS):
        bounds = (sql.Literal(f"({block},0)") for block in (first, first + STRETCH_BLOCKS))
        block = sql.SQL("t.ctid >= {}::tid and t.ctid < {}::tid").format(*bounds)
        yield every(block, made.old)  # by its age, partitions are left out


def _driving(connection: psycopg.Connection[Any], made: Stale) -> sql.Composable | None:
    """Return the condition under which an index gives the rows in the column's order, if there is one."""
    for driving in made.driving:
        with _by_index(connection):
            nodes = list(_nodes(_plan(connection, made.drives(driving))))
        if not any(node["Node Type"] in _NO_INDEX or "Filter" in node for node in nodes):
            return driving
    return None


@contextlib.contextmanager
def _by_index(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Open a transaction whose plans use an index in its order, if there is one."""
    with connection.transaction():
        for way in ("seqscan", "bitmapscan", "sort"):
            connection.execute(sql.SQL("set local {} = off").format(sql.Identifier(f"enable_{way}")))
        yield


def _plan(connection: psycopg.Connection[Any], question: sql.Composed) -> dict[str, Any]:
    row = connection.execute(question, {}).fetchone()
    plan: dict[str, Any] = row[0][0]["Plan"] if row else {}
    return plan


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from _nodes(each)
