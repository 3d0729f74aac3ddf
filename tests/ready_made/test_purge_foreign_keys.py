"""`purge` of a table or a partition whose rows foreign keys need, where tables are partitioned: what may go, goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.command_line import value
from tests.maintained import purge_audit, run

if TYPE_CHECKING:
    import psycopg

    from poller.ready_made.retention_report import RetentionReport

ROWS = 1000
NEEDED = 250  # more than are tried alone in a run

TABLES = """
create table audit (id int, created_at timestamptz, other int, primary key (id, created_at))
    partition by range (created_at);
create table old partition of audit for values from ('2000-01-01') to ('2010-01-01') partition by hash (id);
create table old_1 (created_at timestamptz not null, gone int, id int not null, other int);
alter table old_1 drop column gone;
alter table old attach partition old_1 for values with (modulus 2, remainder 0);
create table old_2 partition of old for values with (modulus 2, remainder 1);
create table leaf partition of audit for values from ('2010-01-01') to ('2015-01-01');
"""


def make_tables(db: psycopg.Connection[Any], ddl: str) -> None:
    """Make `audit` with partitions, half of its rows in `leaf`; `note` needs every fourth row."""
    db.execute(TABLES.encode())
    db.execute(
        "insert into audit select n, case when mod(n, 2) = 0 then '2001-01-01'::timestamptz else '2011-01-01' end"
        " from generate_series(1, %s) as n",
        [ROWS],
    )
    db.execute(ddl.encode())
    db.execute("insert into note select id, created_at from audit where mod(id, 8) in (0, 1)")
    db.execute("analyze")


PLAIN = "create table note (a int, b timestamptz, constraint about foreign key (a, b) references audit)"
PARTITIONED = (
    "create table note (a int, b timestamptz) partition by list (a);"
    "create table note_rest partition of note default;"
    "alter table note add constraint about foreign key (a, b) references audit;"
    "create table note_1 partition of note for values in (1, 8)"
)


@pytest.mark.parametrize("ddl", [PLAIN, PARTITIONED], ids=["", "from a partitioned table"])
@pytest.mark.parametrize("table", ["audit", "old", "old_1", "leaf"])
def test_what_a_key_to_the_partitioned_table_needs_is_known_in_its_partitions(
    db: psycopg.Connection[Any], url: str, table: str, ddl: str
) -> None:
    """At each level, whichever order its columns have; it is told by the name that its user has given."""
    make_tables(db, ddl)
    needed = value(db, f"select count(*) from {table} where mod(id, 8) in (0, 1)")
    before = value(db, f"select count(*) from {table}")

    done = run(purge_audit(table=table), url)

    assert whole(done) == (before - needed, {"about": needed})
    assert value(db, f"select count(*) from {table}") == needed


def whole(done: RetentionReport) -> tuple[int, dict[str, int]]:
    """Return how many rows went, and which were kept, if none failed."""
    assert (done.refused, done.untried, done.locked) == ({}, 0, 0)
    return done.rows, done.kept


@pytest.mark.parametrize("table", ["audit", "leaf"])
def test_what_a_key_to_one_partition_needs_is_known_in_its_table(
    db: psycopg.Connection[Any], url: str, table: str
) -> None:
    """A row of another partition that has the same values is not meant."""
    db.execute(TABLES.encode())
    db.execute("insert into audit select n, '2011-01-01' from generate_series(1, %s) as n", [ROWS])
    db.execute("insert into audit select n, '2001-01-01' from generate_series(1, %s) as n", [ROWS])
    db.execute("alter table leaf add unique (id)")
    db.execute("create table note (a int constraint about references leaf (id))")
    db.execute("insert into note select n from generate_series(1, %s) as n", [NEEDED])

    done = run(purge_audit(table=table, where="true"), url)  # no partition goes as a whole

    many = value(db, "select count(*) from audit where created_at < '2010-01-01'")
    assert many == (0 if table == "audit" else ROWS)
    assert whole(done) == ((ROWS if table == "audit" else 0) + ROWS - NEEDED, {"about": NEEDED})


@pytest.mark.parametrize("table", ["audit", "old", "old_1", "leaf"])
def test_a_row_of_a_partition_may_need_itself(db: psycopg.Connection[Any], url: str, table: str) -> None:
    """It goes; what another row needs, in whichever partition, is kept."""
    db.execute(TABLES.encode())
    db.execute(
        "alter table audit add other_at timestamptz,"
        " add constraint about foreign key (other, other_at) references audit"
    )
    db.execute("create table young partition of audit for values from ('2015-01-01') to ('2100-01-01')")
    for at in ("2001-01-01", "2011-01-01"):
        db.execute("insert into audit select n, %s, n, %s from generate_series(1, 400) as n", [at, at])
    db.execute(
        "insert into audit select id + 1000, created_at + interval '30 years', id, created_at from audit"
        " where mod(id, 2) = 0"
    )
    needed = value(db, f"select count(*) from {table} where id < 1000 and mod(id, 2) = 0")
    before = value(db, f"select count(*) from {table} where id < 1000")

    done = run(purge_audit(table=table), url)

    assert whole(done) == (before - needed, {"about": needed})


def test_a_row_that_needs_itself_by_its_partitions_own_key_may_go(
    db: psycopg.Connection[Any], url: str
) -> None:
    """Though it is a partition that refers, and its table that is referred to."""
    db.execute(TABLES.encode())
    db.execute("alter table leaf add constraint about foreign key (other, created_at) references audit")
    db.execute("insert into audit select n, '2011-01-01', n from generate_series(1, %s) as n", [ROWS])

    assert whole(run(purge_audit(), url)) == (ROWS, {})
