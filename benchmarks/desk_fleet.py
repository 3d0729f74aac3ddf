"""The fleet that the desk is measured with: ten tables, 21 handlers, 20 jobs, 1,000,000 moves, 20,000 in trouble."""

from __future__ import annotations

import psycopg
from psycopg.sql import SQL, Identifier

from poller import fixed_rate
from poller.db import migration
from poller.testing import Engine
from tests.browser.shop import open_shop
from tests.engines import moves

TABLES, JOBS = 7, 15  # besides the shop's three tables and five jobs
TABLE = """
create table {0} (id bigint primary key, status text not null, created_at timestamptz not null default now());
insert into {0} select n, case n % 15 when 0 then 'pending' when 7 then 'held' else 'normal' end
  from generate_series(1, {1}) as n;
create index on {0} (status, id);
"""
HAPPENED = """
insert into poller.move (handler_id, from_status, to_status, worker_id, lease, keys, seconds, at)
select h.id, 'pending', 'normal', 1, gen_random_uuid(),
       array(select (b.n * 500 + k)::text from generate_series(1, 500) as k), array_fill(0.01::real, array[500]),
       now() - interval '20 min' * b.n
  from generate_series(1, 2000) as b (n)
 cross join (select id from poller.handler where table_name = 'public.parcel_0' and status = 'pending') as h;
insert into poller.attempt (handler_id, key, state, attempt, error, kind, place, visit)
select h.id, (15 * n)::text, 'parked', 5, e.kind || ': no answer', e.kind, e.place, gen_random_uuid()
  from generate_series(1, 2860) as n
 cross join lateral (select (array['ConnectError', 'TimeoutError', 'KeyError'])[1 + n % 3] as kind,
                            (array['client.py:88', 'client.py:90', 'parcel.py:7'])[1 + n % 3] as place) as e
 cross join (select id from poller.handler where table_name like 'public.parcel%' and status = 'pending') as h;
"""


def fill(url: str, rows: int) -> None:
    """Make the fleet, with so many rows in each of seven tables.

    Args:
        url: a database without poller's schema.
        rows: of each table besides the shop's.
    """
    migration.migrate(url)
    with psycopg.connect(url, autocommit=True) as db:
        open_shop(url, db)
        work = []
        for name in (f"parcel_{number}" for number in range(TABLES)):
            db.execute(SQL(TABLE).format(Identifier(name), rows))
            work += [moves(name), moves(name, status="held", to=("normal", "lost"))]
        with Engine(url, *work, *(fixed_rate("1h")(_named(f"sweep_{number}")) for number in range(JOBS))):
            pass
        db.execute(HAPPENED)
        db.execute("vacuum analyze")


def _named(name: str) -> object:
    def does() -> None:
        """Sweep."""

    does.__name__ = does.__qualname__ = name
    return does
