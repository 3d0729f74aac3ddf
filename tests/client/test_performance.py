"""How handlers have done over time, and how a table is kept: from counts and the catalogue alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from poller import Client, ConfigurationError
from poller.client.refusals import NothingSelectedError
from tests.client.watching import BOUND, watched
from tests.command_line import known, make_tenants, value
from tests.harness import wait_until

if TYPE_CHECKING:
    import psycopg

TALLY = (
    "insert into poller.tally (minute, handler_id, worker_id, moved, failed, parked, retried, seconds)"
    " select date_trunc('minute', poller.now()) - make_interval(mins => m), %s, 1, 2, 1, 1, 3,"
    " case when m < 5 then '{0.1,0.2,4}'::real[] else '{9}' end from generate_series(0, %s) as m"
)


@pytest.mark.parametrize(("back", "count", "each"), [("1h", 60, 2), ("24h", 48, 60), ("7d", 56, 360)])
def test_what_was_done_is_counted_by_spans(
    url: str, db: psycopg.Connection[Any], back: str, count: int, each: int
) -> None:
    """Those in which nothing was done are there, too; other tables' handlers are left out."""
    one, other = known(db, "public.tenants", "pending"), known(db, "shop.orders", "paid")
    db.execute(TALLY, [one, 8 * 24 * 60])
    db.execute(TALLY, [other, 10])
    found = Client(url).performance("tenants", back=back)
    assert found.table == "public.tenants"
    assert len(found.spans) == count
    assert {line.at - before.at for before, line in zip(found.spans, found.spans[1:], strict=False)} == {
        timedelta(seconds=found.seconds)
    }
    assert {(line.moved, line.failed, line.parked) for line in found.spans[:-1]} == {
        (each, 2 * each, each // 2)
    }
    assert (
        found.spans[-1].at
        <= value(db, "select poller.now()")
        < found.spans[-1].at + timedelta(seconds=found.seconds)
    )
    [pace] = found.paces
    assert (pace.status, pace.p50) == ("pending", pytest.approx(4))
    db.execute("truncate poller.tally")
    assert not any(line.moved for line in Client(url).performance("tenants", back=back).spans)


def test_what_makes_no_sense_is_refused(url: str, db: psycopg.Connection[Any]) -> None:
    """A time that is not told of, and a table without handlers."""
    known(db, "public.tenants", "pending")
    with pytest.raises(ConfigurationError, match="back must be one of 1h, 24h, 7d"):
        Client(url).performance("tenants", back="8d")
    with pytest.raises(NothingSelectedError):
        Client(url).performance("nothing")
    with pytest.raises(ConfigurationError):
        Client(url).upkeep("tenants")


@pytest.mark.parametrize("is_partitioned", [False, True])
def test_g12_how_a_table_is_kept_is_told_without_reading_it(
    url: str, db: psycopg.Connection[Any], *, is_partitioned: bool
) -> None:
    """Its dead row versions, its indexes with their use, and when it was vacuumed; partitions taken together."""
    make_tenants(db)
    if is_partitioned:
        db.execute("drop table tenants")
        db.execute("create table tenants (id bigint primary key, status text) partition by hash (id)")
        for number in range(3):
            db.execute(
                f"create table tenants_{number} partition of tenants for values with (modulus 3, remainder {number})"
            )
    known(db, "public.tenants", "pending")
    db.execute("insert into tenants (id, status) select i, 'pending' from generate_series(1, 20000) as i")
    leaf = "tenants_0" if is_partitioned else "tenants"
    db.execute("create index by_status on tenants (id) where status = 'pending'")
    db.execute(f"alter table {leaf} set (autovacuum_enabled = false)")
    empty = Client(url).upkeep("tenants")
    assert empty.vacuumed_at is None
    db.execute("vacuum analyze tenants")
    db.execute("delete from tenants where id <= 10000")

    def is_counted() -> (
        bool
    ):  # a session tells what it has done with a later statement, if half a second has gone by
        db.execute("select pg_stat_force_next_flush()" if db.info.server_version >= 150000 else "select")
        return Client(url).upkeep("tenants").dead == 10_000

    wait_until("the server has counted", is_counted)
    with watched() as watch:
        found = Client(url).upkeep("tenants")
    assert (found.parts, found.without_autovacuum) == (3 if is_partitioned else 1, (f"public.{leaf}",))
    assert found.vacuumed_at is not None
    assert found.bytes > 500_000
    assert [each.name for each in found.indexes] == ["by_status", "tenants_pkey"]
    assert found.indexes[0].definition == "btree (id) WHERE (status = 'pending'::text)"
    assert all(each.is_valid and each.bytes > 100_000 for each in found.indexes)
    assert watch.most[0] <= BOUND
