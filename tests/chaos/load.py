"""What the fleet works on: a table for each kind of handler, and jobs, by a role that may do no more than it needs.

Handlers note each call in a ledger outside the database: lines appended to files, one for each process. Triggers note
each change of a status in the database, with the name of the session and the transaction that made it. What handlers
write inside the database has no unique constraint that could hide a second time.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from psycopg import sql
from psycopg.errors import DuplicateObject, LockNotAvailable, UndefinedTable

if TYPE_CHECKING:
    import psycopg

ROLE = "fleet"
OWNERS = 200
ACCOUNTS = 1000
LIMIT = 16  # rows of `limited` in flight
FORKS = 4  # rows of `forked` in flight: a process takes a second of CPU to start, and dies with its worker
RATE = 50  # rows of `rated` begun in a second


@dataclass(frozen=True)
class LoadTable:
    """A table, and what is promised of it.

    Attributes:
        share: of all rows, in hundredths.
        exactly_once: its handler's effects are in the transaction of the move.
        shared: calls may be undone together with others' and made again at the same attempt.
        ordered: its rows are handled in order, so people leave them alone.
    """

    share: int
    exactly_once: bool = False
    shared: bool = False
    ordered: bool = False


TABLES = {
    "leased": LoadTable(37),
    "awaited": LoadTable(12),
    "batched": LoadTable(12),
    "held": LoadTable(12, exactly_once=True, shared=True),
    "keyed": LoadTable(8, exactly_once=True, shared=True, ordered=True),
    "transfer": LoadTable(4, exactly_once=True, shared=True),
    "settled": LoadTable(2, exactly_once=True),
    "shown": LoadTable(4),
    "limited": LoadTable(4),
    "rated": LoadTable(2),
    "forked": LoadTable(1),
    "troubled": LoadTable(2),
}

_TABLE = """
create table {table} (
    id      bigint generated always as identity primary key,
    status  text not null default 'pending',
    owner   int not null default 0,
    amount  int not null default 1,
    note    text,
    made_at timestamptz not null default clock_timestamp()
);
create index on {table} (id) where status = 'pending';
create index on {table} (id) where status <> 'normal';
create trigger note_change after update of status or delete on {table}
    for each row execute function note_change({name});
grant select, update on {table} to fleet;
"""

_SHARED = """
create table change (
    id    bigint generated always as identity primary key,
    tbl   text not null,
    key   bigint not null,
    was   text not null,
    now   text,
    app   text not null default current_setting('application_name'),
    txid  xid8 not null default pg_current_xact_id(),
    at    timestamptz not null default clock_timestamp()
);
create index on change (at);
create function note_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        insert into change (tbl, key, was) values (tg_argv[0], old.id, old.status);
    elsif new.status <> old.status then
        insert into change (tbl, key, was, now) values (tg_argv[0], old.id, old.status, new.status);
    end if;
    return null;
end
$$;
create table effect (
    tbl   text not null,
    key   bigint not null,
    visit text not null,
    txid  xid8 not null default pg_current_xact_id()
);
create table place (owner int not null, keyed bigint not null, at bigint generated always as identity);
create table account (id int primary key, balance bigint not null default 0);
grant insert on change, effect, place to fleet;
grant select, update on account to fleet;
"""

HANDLERS = """
import contextlib, itertools, os, pathlib, time
import psycopg
from tenacity import wait_random
from poller import Run, cron, fixed_delay, fixed_rate

FOLDER = pathlib.Path(__file__).parents[1]
SOON = wait_random(0.2, 1.0)
_numbers = itertools.count(time.time_ns())
_files = {}

def note(*parts):
    pid = os.getpid()
    if pid not in _files:
        _files[pid] = os.open(FOLDER / f"ledger-{pid}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    line = "\\t".join(map(str, (*parts, time.monotonic(), time.time())))
    os.write(_files[pid], (line + "\\n").encode())

@contextlib.contextmanager
def called(table, row, key, attempt):
    call = f"{os.getpid()}.{next(_numbers)}"
    worker = os.getppid() if table == "forked" else os.getpid()
    note("begin", call, table, row.id, key, attempt, worker)
    ended = "answer"
    try:
        yield
    except BaseException as error:
        ended = type(error).__name__
        raise
    finally:
        note("end", call, ended)

def effect(connection, table, row, ctx):
    connection.exec_driver_sql("insert into effect (tbl, key, visit) values (%s, %s, %s)", (table, row.id, ctx.key))

@handler("leased", status="pending", to="normal", attempts=100, wait=SOON)
def leased(row, ctx):
    with called("leased", row, ctx.key, ctx.attempt):
        pass

@handler("awaited", status="pending", to="normal", attempts=100, wait=SOON)
async def awaited(row, ctx):
    import asyncio
    with called("awaited", row, ctx.key, ctx.attempt):
        await asyncio.sleep(0.005)

@handler("batched", status="pending", to="normal", attempts=100, wait=SOON, batch=50)
def batched(rows, ctx):
    with contextlib.ExitStack() as stack:
        for row in rows:
            stack.enter_context(called("batched", row, ctx.keys[row.key], ctx.attempt))

@handler("held", status="pending", to="normal", attempts=100, wait=SOON, transactional=True)
def held(row, ctx):
    with called("held", row, ctx.key, ctx.attempt):
        effect(ctx.connection, "held", row, ctx)

@handler("keyed", status="pending", to="normal", attempts=100, wait=SOON, per_key="owner", transactional=True)
def keyed(row, ctx):
    with called("keyed", row, ctx.key, ctx.attempt):
        effect(ctx.connection, "keyed", row, ctx)
        ctx.connection.exec_driver_sql("insert into place (owner, keyed) values (%s, %s)", (row.owner, row.id))

@handler("transfer", status="pending", to="normal", attempts=100, wait=SOON, transactional=True)
def transfer(row, ctx):
    with called("transfer", row, ctx.key, ctx.attempt):
        effect(ctx.connection, "transfer", row, ctx)
        give, take = row.id % ACCOUNTS, (row.id * 7 + 1) % ACCOUNTS
        for account, amount in sorted([(give, -row.amount), (take, row.amount)]):
            ctx.connection.exec_driver_sql(
                "update account set balance = balance + %s where id = %s", (amount, account))

@handler("settled", status="pending", to="normal", attempts=100, wait=SOON)
def settled(row, ctx):
    url = os.environ["POLLER_DATABASE_URL"]
    with called("settled", row, ctx.key, ctx.attempt), psycopg.connect(
        url, application_name=f"poller own {os.getpid()}", connect_timeout=5
    ) as own:
        own.execute("insert into effect (tbl, key, visit) values ('settled', %s, %s)", (row.id, ctx.key))
        ctx.settle(own, "normal")

@handler("shown", status="pending", during="working", to="normal", attempts=100, wait=SOON)
def shown(row, ctx):
    with called("shown", row, ctx.key, ctx.attempt):
        time.sleep(0.01)

@handler("limited", status="pending", to="normal", attempts=100, wait=SOON, limit=LIMIT)
def limited(row, ctx):
    with called("limited", row, ctx.key, ctx.attempt):
        time.sleep(0.005)

@handler("rated", status="pending", to="normal", attempts=100, wait=SOON, rate=f"{RATE}/1s")
def rated(row, ctx):
    with called("rated", row, ctx.key, ctx.attempt):
        pass

@handler("forked", status="pending", to="normal", attempts=100, wait=SOON, executor="process", limit=FORKS)
def forked(row, ctx):
    with called("forked", row, ctx.key, ctx.attempt):
        if row.id % 50 == 0 and ctx.attempt == 1:
            os._exit(9)

@handler("troubled", status="pending", to="normal", attempts=100, wait=SOON)
def troubled(row, ctx):
    with called("troubled", row, ctx.key, ctx.attempt):
        match row.id % 10:
            case 0 if ctx.attempt == 1:
                raise Retry("300ms", "once")
            case 1 if time.time() < row.made_at.timestamp() + 2:
                raise Snooze("500ms")
            case 2 if ctx.attempt < 3:
                raise ValueError("not yet")
            case 2 | 3:
                raise Fail("for good")
            case 4:
                return Transition("normal", note="by its handler")

@cron("* * * * * *", misfire="all", grace="1h", attempts=100)
def tick(run: Run):
    note("run", "tick", int(run.planned_at.timestamp()), run.attempt)

@fixed_rate("2s", overlap="skip", attempts=100)
def sample(run: Run):
    note("run", "sample", int(run.planned_at.timestamp()), run.attempt)

@fixed_delay("1s", attempts=100)
def sync(run: Run):
    note("run", "sync", int(run.planned_at.timestamp()), run.attempt)
"""


def handlers() -> str:
    """Return the project's handlers."""
    return f"ACCOUNTS, LIMIT, RATE, FORKS = {ACCOUNTS}, {LIMIT}, {RATE}, {FORKS}\n{HANDLERS}"


def as_role(url: str) -> str:
    """Return a server's URL for the sessions of the fleet."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{ROLE}@{parts.netloc.rpartition('@')[2]}").geturl()


def make_role(db: psycopg.Connection[object]) -> None:
    """Make the role that the fleet works as: poller's schema will be its own, the tables are not."""
    database = sql.Identifier(db.info.dbname)
    with contextlib.suppress(DuplicateObject):  # a test of the same server has made it
        db.execute("create role fleet login")
    db.execute(sql.SQL("grant create on database {} to fleet").format(database))


def make_tables(db: psycopg.Connection[object]) -> None:
    """Make the tables, without rows."""
    db.execute(_SHARED)
    db.execute("insert into account select generate_series(0, %s)", [ACCOUNTS - 1])
    for name in TABLES:
        db.execute(sql.SQL(_TABLE).format(table=sql.Identifier(name), name=sql.Literal(name)))


def feed(db: psycopg.Connection[object], rows: int) -> int:
    """Add about so many rows, each table its share; one that is locked or away gets none. Return how many."""
    fed = 0
    for name, table in TABLES.items():
        added = -(-rows * table.share // 100)
        insert = "insert into {} (owner) select (random() * %s)::int from generate_series(1, %s::int)"
        with contextlib.suppress(LockNotAvailable, UndefinedTable):
            db.execute(sql.SQL(insert).format(sql.Identifier(name)), [OWNERS, added])
            fed += added
    return fed
