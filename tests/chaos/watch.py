"""Watches, while there are faults, that no row is ever in a state that no command shows.

At every moment a row is due, leased by a living lease, waiting, snoozed, parked, or final. What breaks that at once is
found by one look, since a look is one snapshot; what should last for moments only is found once it has lasted too long.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Self

import psycopg

from tests.chaos.load import LIMIT, TABLES

if TYPE_CHECKING:
    from collections.abc import Callable

PERIOD = 0.3  # seconds between two looks
LONG = 60.0  # seconds: longer than any lock that people hold, any stop and any lease, on a busy machine, too
PUT_ASIDE = 90.0  # seconds: longer than a handler is put aside whose table was not there
SHOWN = 5

_LEASED = "select c.*, k.key from poller.claim as c, unnest(c.keys) as k (key)"
# Each names a promise, and gives the handler and the key of each row that breaks it.
BREACHES = {
    "held by two leases": f"select handler_id, key from ({_LEASED}) as l group by 1, 2 having count(*) > 1",
    "held by the dead": f"""
        select l.handler_id, l.key from ({_LEASED}) as l join poller.worker as w on w.id = l.worker_id
         where w.died_at < clock_timestamp() - make_interval(secs => {LONG})""",
    "held, not worked on": f"""
        select l.handler_id, l.key from ({_LEASED}) as l join poller.worker as w on w.id = l.worker_id
         where w.died_at is null and l.claimed_at < clock_timestamp() - make_interval(secs => {LONG})""",
    "not tried again": f"""
        select a.handler_id, a.key from poller.attempt as a
         where a.state <> 'parked' and a.next_at < clock_timestamp() - make_interval(secs => {PUT_ASIDE})
           and a.key not in (select key from ({_LEASED}) as l where l.handler_id = a.handler_id)""",
    "shown as in work, held by nobody": f"""
        select h.id, t.id::text from shown as t join poller.handler as h on h.table_name like '%shown'
         where t.status = 'working' and h.status = 'pending'
           and t.id::text not in (select key from ({_LEASED}) as l where l.handler_id = h.id)""",
    "over its limit": f"""
        select h.id, count(*)::text from ({_LEASED}) as l join poller.handler as h on h.id = l.handler_id
         where h.table_name like '%limited' group by 1 having count(*) > {LIMIT}""",
}
_OLDEST = " union all ".join(
    f"(select '{name}', extract(epoch from clock_timestamp() - made_at)::float8 from {name}"
    f" where status = 'pending' and id::text not in (select a.key from poller.attempt as a join poller.handler as h"
    f" on h.id = a.handler_id where a.state = 'parked' and h.table_name like '%{name}') order by id limit 1)"
    for name in TABLES
)
_NAMES = "select id, table_name from poller.handler"


class StateWatch(threading.Thread):
    """Looks again and again until it is ended.

    Args:
        connect: opens a session of one who may see everything.

    Attributes:
        breaches: for each promise, the rows that have broken it, as table:key.
        looks: how many there were.
        oldest: for each table, the largest age that its first row had that is due and not parked, in seconds.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        super().__init__(daemon=True)
        self._connect = connect
        self._ended = threading.Event()
        self.breaches: dict[str, set[str]] = {name: set() for name in BREACHES}
        self.looks = 0
        self.oldest: dict[str, float] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Look until the end; while there is no server there is nothing to see."""
        while not self._ended.is_set():
            with contextlib.suppress(psycopg.Error), self._connect() as db:
                db.execute("set statement_timeout = '10s'")
                while not self._ended.wait(PERIOD):
                    self._look(db)
            self._ended.wait(PERIOD)

    def _look(self, db: psycopg.Connection[Any]) -> None:
        names = dict(db.execute(_NAMES).fetchall())
        for promise, question in BREACHES.items():
            # A table that is renamed or locked just now is looked at the next time.
            with contextlib.suppress(psycopg.errors.ProgrammingError, psycopg.errors.QueryCanceled):
                for handler, key in db.execute(question.encode()):
                    self.breaches[promise].add(f"{names.get(handler, handler)}:{key}")
        with contextlib.suppress(psycopg.errors.ProgrammingError, psycopg.errors.QueryCanceled):
            for table, age in db.execute(_OLDEST.encode()):
                self.oldest[table] = max(age, self.oldest.get(table, 0.0))
        self.looks += 1
