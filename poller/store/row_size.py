"""Estimates the bytes of a row on the wire, in SQL: a claim takes only as many rows as fit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from psycopg import sql

from poller.db.statements import trusted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.db.tables import Table

# The size of a value on the wire. The length of a text or bytea is known without reading it; a bytea is sent as
# hexadecimal digits. Of other types only the stored size is known: as text they take up to three times that, compressed
# values up to about a hundred times.
_ROW_BYTES = 40
_SIZES = {
    **dict.fromkeys(("text", "character varying"), "pg_catalog.octet_length({column})"),
    "bytea": "2 * pg_catalog.octet_length({column})",
}
_SIZE = (
    "pg_catalog.pg_column_size({column})"
    " * case when pg_catalog.pg_column_compression({column}) is null then 3 else 64 end"
)
_SHORT = re.compile(r"^(character|character varying|numeric)\(\d{1,3}\b")
_SMALL = frozenset(  # types whose values are all of one small size
    (
        *("smallint", "integer", "bigint", "real", "double precision", "boolean", "uuid", "oid"),
        *("date", "interval", "timestamp with time zone", "timestamp without time zone"),
        *("time with time zone", "time without time zone"),
    )
)


def row_bytes(table: Table, places: Mapping[str, int]) -> sql.Composed:
    """Return an estimate of a row's bytes on the wire, from the columns as `claim.sql` names them.

    Args:
        table: the row's.
        places: the number of each column in its row.
    """
    sizes: list[sql.Composable] = [sql.Literal(_ROW_BYTES + 8 * len(table.columns))]
    for name, place in places.items():
        column = table.columns[name]
        if (
            (column.time or column.type) not in _SMALL
            and column.labels is None
            and not _SHORT.search(column.full_type)
        ):
            size = trusted(f"coalesce({_SIZES.get(column.type, _SIZE)}, 0)")
            sizes.append(size.format(column=sql.Identifier("looked", f"column_{place}")))
    return sql.SQL(" + ").join(sizes)
