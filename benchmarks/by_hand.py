"""The bar: one worker of a minimal hand-written program that leases and settles as durably as poller does.

`python -m benchmarks.by_hand URL BATCH` waits for a notification, drains the table, and notes how many rows it handled.

A claim takes two looks, so that no row is handed out twice: a snapshot older than the commit that freed a row's lock
does not see that row's lease, so a second statement, under the locks, leaves out what has been leased meanwhile.
What is left out, compared with poller: attempts, retries, history, heartbeats, the sweeping of dead leases, schedules
for slow and quick handlers, and tables other than this one.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "by hand"
CHANNEL = "poller"

SCHEMA = """
create table lease (id bigint generated always as identity primary key, keys bigint[] not null);
create table handled (rows bigint not null);
"""

LOOK = """
select id, payload from item
 where status = 'pending' and id > %s and id not in (select unnest(keys) from lease)
 order by id limit %s
   for no key update skip locked
"""
TAKE = """
insert into lease (keys)
select array_agg(key) from unnest(%s::bigint[]) as key where key not in (select unnest(keys) from lease)
having count(*) > 0
returning id, keys
"""
SETTLE = """
with given_back as (delete from lease where id = %s)
update item set status = 'normal' from unnest(%s::bigint[]) as done (key)
 where id = done.key and status = 'pending'
"""

# The other shape: one transaction locks rows, and moves them at its end. If it dies, nobody has counted that.
_LOCK = """
select id, payload from item
 where status = 'pending' and id > %s
 order by id limit %s
   for no key update skip locked
"""
_MOVE = "update item set status = 'normal' from unnest(%s::bigint[]) as done (key) where id = done.key"


def main(url: str, batch: str) -> None:
    """Wait at the gate, then work until nothing is left."""
    with psycopg.connect(url, autocommit=True, application_name=NAME) as connection:
        connection.execute(f"listen {CHANNEL}")
        next(connection.notifies())
        if os.environ.get("BENCHMARK_SHAPE") == "transaction":
            handled = sum(_within(connection, int(batch)))
        else:
            handled = sum(_handle(connection, *lease) for lease in leases(connection, int(batch)))
        connection.execute("insert into handled values (%s)", [handled])


def leases(connection: psycopg.Connection[Any], batch: int) -> Iterator[tuple[int, list[Any]]]:
    """Claim one batch after the other, from the first row to the last, and once more from the first."""
    after = 0
    while True:
        with connection.transaction(), connection.cursor(binary=True) as cursor:
            rows = cursor.execute(LOOK, [after, batch]).fetchall()
            lease = cursor.execute(TAKE, [[row[0] for row in rows]]).fetchone() if rows else None
        if lease:
            ours = set(lease[1])
            yield lease[0], [row for row in rows if row[0] in ours]
        if not rows and not after:
            return
        after = rows[-1][0] if rows else 0


def _handle(connection: psycopg.Connection[Any], lease: int, rows: list[Any]) -> int:
    """Call the function for each row, and settle."""
    for row in rows:
        nothing(row)
    settle(connection, lease, rows)
    return len(rows)


def settle(connection: psycopg.Connection[Any], lease: int, rows: list[Any]) -> None:
    """Move the rows of a lease, and give it back."""
    connection.execute(SETTLE, [lease, [row[0] for row in rows]])


def _within(connection: psycopg.Connection[Any], batch: int) -> Iterator[int]:
    """Lock, handle and move one batch after the other, each in one transaction; yield how many rows it had."""
    after = 0
    while True:
        with connection.transaction(), connection.cursor(binary=True) as cursor:
            rows = cursor.execute(_LOCK, [after, batch]).fetchall()
            for row in rows:
                nothing(row)
            if rows:
                cursor.execute(_MOVE, [[row[0] for row in rows]])
        if not rows and not after:
            return
        yield len(rows)
        after = rows[-1][0] if rows else 0


def nothing(row: Any) -> None:
    """Let the row move on."""


if __name__ == "__main__":
    main(*sys.argv[1:])
