"""The soak's audit and its watcher find what is planted, each by name: else one that finds nothing proves nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos import load
from tests.chaos.audit import MOST_UNWRITTEN, Findings, audit
from tests.chaos.watch import BREACHES, LONG, StateWatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

MOVE = "begin\t{n}\tleased\t1\tv\t{attempt}\t1\t{began}\t{began}\nend\t{n}\tanswer\t{ended}\t{ended}\n"


@pytest.fixture
def soaked(db: psycopg.Connection[Any], tmp_path: Path) -> Callable[[], Findings]:
    """What remains of a soak of one row in each table, in which nothing went wrong; returns its audit."""
    load.make_role(db)
    load.make_tables(db)
    db.execute("grant create on schema public to fleet")
    for name in load.TABLES:
        db.execute(
            f"insert into poller.handler (table_name, status) values ('public.{name}', 'pending')".encode()
        )
        db.execute(f"insert into {name} default values".encode())
    db.execute(
        "insert into poller.worker (supervisor, host, pid, slots, handlers, lease)"
        " values (gen_random_uuid(), '', 1, 1, '{}', '5s')"
    )
    for number, name in enumerate(load.TABLES):
        _handle(db, tmp_path, name, number)
    db.execute("set application_name = 'somebody'")
    return lambda: audit(db, tmp_path)


def _handle(db: psycopg.Connection[Any], folder: Path, name: str, number: int) -> None:
    with db.transaction():
        db.execute("set local application_name = 'poller settler 12345678/1'")
        db.execute(f"update {name} set status = 'normal' where id = 1".encode())
        db.execute(
            "insert into poller.event (handler_id, key, verdict, from_status, to_status, attempt, lease)"
            " select id, '1', 'moved', 'pending', 'normal', 1, gen_random_uuid()"
            " from poller.handler where table_name = %s",
            [f"public.{name}"],
        )
        if load.TABLES[name].exactly_once:
            db.execute("insert into effect (tbl, key, visit) values (%s, 1, 'v')", [name])
        if name == "transfer":
            db.execute("update account set balance = balance + (id = 8)::int - (id = 1)::int")
    with (folder / "ledger-1").open("a") as file:
        file.write(f"begin\t{number}\t{name}\t1\tv\t1\t1\t{number}.0\t{number}.0\n")
        file.write(f"end\t{number}\tanswer\t{number}.5\t{number}.5\n")


def test_nothing_is_found_where_nothing_went_wrong(soaked: Callable[[], Findings]) -> None:
    """Twelve rows, each handled once."""
    found = soaked()
    assert found.wrong == {}, found
    assert (found.rows, found.calls, found.moves, found.effects) == (12, 12, 12, 4)


AGAIN = "set application_name = 'poller settler 12345678/1'; update leased set status = 'pending';"
PLANTED = {
    "lost": "insert into leased default values",
    "parked": "insert into leased default values; insert into poller.attempt (handler_id, key, state, attempt, visit)"
    " select id, '2', 'parked', 1, gen_random_uuid() from poller.handler where table_name = 'public.leased'",
    "held": "insert into poller.claim (handler_id, worker_id, keys) select h.id, w.id, '{1}'"
    " from poller.handler as h, poller.worker as w where h.table_name = 'public.leased'",
    "doubled": "insert into effect (tbl, key, visit, txid) select tbl, key, visit, txid from effect where tbl = 'held'",
    "stale": "set application_name = 'poller settler 12345678/1'; update leased set status = 'edited';"
    " update leased set status = 'normal'",
    "unhandled": "set application_name = 'poller settler 12345678/1'; insert into leased default values;"
    " update leased set status = 'normal'",
    "unrecorded": "delete from poller.event where handler_id ="
    " (select id from poller.handler where table_name like '%leased')",
    "miscounted": "update poller.event set attempt = 2 where handler_id ="
    " (select id from poller.handler where table_name like '%leased')",
    "unordered": "insert into place (owner, keyed) values (1, 2), (1, 1)",
    "money": "update account set balance = 1 where id = 5",
    "slots_wrong": "insert into poller.run (job, function, planned_at, status) select 'tick', 'tick',"
    " date_trunc('second', now()) + i * interval '1 second', 'succeeded' from unnest(array[1, 2, 4, 9]) as i",
}


@pytest.mark.parametrize("name", PLANTED)
def test_control_what_is_planted_in_the_database_is_found(
    soaked: Callable[[], Findings], db: psycopg.Connection[Any], name: str
) -> None:
    """A row, an effect, a move, a slot that is not what it should be."""
    db.execute(PLANTED[name].encode())
    assert name in soaked().wrong


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("recalled", MOVE.format(n=100, attempt=1, began=200, ended=201)),
        ("overlapped", MOVE.format(n=100, attempt=2, began=0.2, ended=0.4)),
        (
            "hurried",
            "".join(
                f"begin\t{100 + n}\trated\t{100 + n}\tv\t1\t1\t{n / 1000}\t0\n" for n in range(load.RATE + 1)
            ),
        ),
        (
            "unwritten",
            "".join(MOVE.format(n=100 + n, attempt=2 + n, began=n, ended=n + 0.5) for n in range(2))
            + "".join(
                f"begin\t{n}\tawaited\t{n}\tv\t1\t1\t0\t0\nend\t{n}\tanswer\t1\t{n}\n"
                for n in range(1000, 1002 + MOST_UNWRITTEN)
            ),
        ),
        ("slots_wrong", "run\ttick\t1\t1\t0\t0\n" * 2),
    ],
)
def test_control_what_is_planted_in_the_ledger_is_found(
    soaked: Callable[[], Findings], tmp_path: Path, name: str, line: str
) -> None:
    """A call that nothing explains, or one too early, or more than was written."""
    with (tmp_path / "ledger-1").open("a") as file:
        file.write(line)
    assert name in soaked().wrong


_CLAIM = (
    "insert into poller.claim (handler_id, worker_id, keys, claimed_at) select h.id, w.id, '{keys}',"
    " now() - %s * interval '1s'"
    " from poller.handler as h, poller.worker as w where h.table_name = 'public.{table}'"
)
_WAITS = (
    "insert into poller.attempt (handler_id, key, state, attempt, visit, next_at)"
    " select id, '1', 'waiting', 1, gen_random_uuid(), now() - 2 * %s * interval '1s' from poller.handler limit 1"
)
BROKEN = {
    "held by two leases": [_CLAIM.format(keys="{1}", table="leased")] * 2,
    "held by the dead": [
        f"update poller.worker set died_at = now() - interval '{LONG + 1} s'",
        _CLAIM.format(keys="{1}", table="leased"),
    ],
    "held, not worked on": [_CLAIM.format(keys="{1}", table="leased")],
    "not tried again": [_WAITS],
    "shown as in work, held by nobody": ["update shown set status = 'working'"],
    "over its limit": [
        _CLAIM.format(keys="{" + ",".join(map(str, range(load.LIMIT + 1))) + "}", table="limited")
    ],
}


@pytest.mark.parametrize("promise", BREACHES)
def test_control_the_watcher_sees_what_no_command_shows(
    soaked: Callable[[], Findings], db: psycopg.Connection[Any], promise: str
) -> None:
    """In one look."""
    watch = StateWatch(lambda: db)
    watch._look(db)
    assert not any(watch.breaches.values())
    for statement in BROKEN[promise]:
        db.execute(statement.encode(), [LONG + 1] if "%s" in statement else None)
    watch._look(db)
    assert watch.breaches[promise]
