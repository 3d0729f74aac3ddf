"""What the fleet works on: leased, transactional and keyed rows, and a job for each second.

Handlers note each call in a ledger outside the database, a file for each process. What they write inside it has no
unique constraint that could hide a second time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

TABLES = ("leased", "held", "keyed")

SCHEMA = """
create table leased (id bigint generated always as identity primary key, status text not null default 'pending');
create table held (id bigint generated always as identity primary key, status text not null default 'pending');
create table keyed (id bigint generated always as identity primary key, status text not null default 'pending',
                    owner int not null);
create index on leased (id) where status = 'pending';
create index on held (id) where status = 'pending';
create index on keyed (id) where status = 'pending';
create table effect (held bigint not null);
create table place (owner int not null, keyed bigint not null, at bigint generated always as identity);
"""

HANDLERS = """
import os, time
from poller import Run, cron

_LEDGER = open(f"ledger-{os.getpid()}", "a", buffering=1)

def note(kind, key, attempt):
    _LEDGER.write(f"{kind} {key} {attempt} {time.time()}\\n")

@handler("leased", status="pending", to="normal", attempts=100)
def leased(row, ctx):
    note("leased", row.id, ctx.attempt)

@handler("held", status="pending", to="normal", attempts=100, transactional=True)
def held(row, ctx):
    note("held", row.id, ctx.attempt)
    ctx.connection.exec_driver_sql("insert into effect values (%s)", (row.id,))

@handler("keyed", status="pending", to="normal", attempts=100, per_key="owner", transactional=True)
def keyed(row, ctx):
    note("keyed", row.id, ctx.attempt)
    ctx.connection.exec_driver_sql("insert into place (owner, keyed) values (%s, %s)", (row.owner, row.id))

@cron("* * * * * *", misfire="all", grace="1h", attempts=100)
def tick(run: Run):
    note("tick", int(run.planned_at.timestamp()), run.attempt)
"""

OWNERS = 200


def feed(db: psycopg.Connection[object], rows: int) -> None:
    """Add so many rows: three in five leased, one held, one keyed."""
    db.execute("insert into leased select from generate_series(1, %s)", [rows * 3 // 5])
    db.execute("insert into held select from generate_series(1, %s)", [rows // 5])
    db.execute(
        "insert into keyed (owner) select (random() * %s)::int from generate_series(1, %s)",
        [OWNERS, rows // 5],
    )
