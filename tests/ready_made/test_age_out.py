"""`age_out`: old rows get another status, by the same machinery as `purge`."""

from __future__ import annotations

import enum
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import Column, MetaData, Table

from poller.db.connection import connect
from poller.jobs.job import cron
from poller.ready_made import old_rows, ranges
from poller.ready_made.retention import age_out, purge
from tests.command_line import value
from tests.harness import wait_until
from tests.maintained import PurgeRun, beside, make_slow, other_sessions, retention, run, wait_for_batch

if TYPE_CHECKING:
    from poller.jobs.job import Job


TOP = Path(__file__).parents[2]


def disable(**options: Any) -> Job:
    """Return the ageing of `users` that does not dawdle."""
    given = {
        "table": "users",
        "column": "login_at",
        "older_than": "90d",
        "status": "active",
        "to": "disabled",
    }
    return age_out(**{**given, "pause": "0s", **options})


def make_users(db: psycopg.Connection[Any], old: int, young: int = 0, kind: str = "text") -> None:
    """Make the table `users`: keys from 1, first the old ones, all of them active."""
    db.execute(f"create table users (id bigint primary key, status {kind}, login_at timestamptz)".encode())
    db.execute(
        "insert into users select n, 'active', now() - interval '200 days' + n * interval '1 second'"
        " from generate_series(1, %s) as n",
        [old],
    )
    db.execute(
        "insert into users select %s + n, 'active', now() from generate_series(1, %s) as n", [old, young]
    )


def statuses(db: psycopg.Connection[Any]) -> dict[int, str]:
    """Return the status of each user."""
    return dict(db.execute("select id, status from users order by id").fetchall())


def test_old_rows_of_the_status_get_the_other_one(db: psycopg.Connection[Any], url: str) -> None:
    """Those who never logged in are never old; other statuses stay as they are."""
    make_users(db, old=4, young=1)
    db.execute("update users set status = 'banned' where id = 2")
    db.execute("update users set login_at = null where id = 3")

    done = run(disable(), url)

    assert statuses(db) == {1: "disabled", 2: "banned", 3: "active", 4: "disabled", 5: "active"}
    assert done.line() == "moved 2 rows of public.users"
    assert run(disable(), url).rows == 0


def test_iams_two_watchers_in_under_ten_lines(db: psycopg.Connection[Any], url: str) -> None:
    """As the contract has them."""
    make_users(db, old=3, young=2)
    db.execute("create table policy_audit (id int primary key, created_at timestamptz)")
    db.execute("insert into policy_audit values (1, now() - interval '181 days'), (2, now())")

    nightly = purge("policy_audit", column="created_at", older_than="180d", schedule=cron("0 3 * * *"))
    inactive = age_out("users", column="login_at", older_than="90d", status="active", to="disabled",
                       schedule=cron("30 3 * * *"))  # fmt: skip

    assert (run(nightly, url).rows, run(inactive, url).rows) == (1, 3)
    assert (nightly.name, inactive.name) == ("purge policy_audit", "age out users")


class Mood(enum.Enum):
    """Statuses that are no texts."""

    ACTIVE = 1
    DISABLED = 2


@pytest.mark.parametrize(
    ("kind", "status", "to"),
    [
        ("text", "it's {50%}", 'a"b\\'),
        ("smallint", 1, 2),
        ("smallint", Mood.ACTIVE, Mood.DISABLED),
        ("boolean", True, False),
        ("mood", "active", "disabled"),
        ("varchar(8)", "active", "disabled"),
    ],
)
def test_a_status_may_be_of_any_type(
    db: psycopg.Connection[Any], url: str, kind: str, status: object, to: object
) -> None:
    """As for handlers."""
    db.execute("create type mood as enum ('active', 'disabled')")
    db.execute(f"create table users (id int primary key, state {kind}, login_at timestamptz)".encode())
    plain = status.value if isinstance(status, Mood) else status
    db.execute("insert into users values (1, %s, now() - interval '1 year'), (2, %s, now())", [plain, plain])

    assert run(disable(status=status, to=to, status_column="state"), url).rows == 1
    wanted = to.value if isinstance(to, Mood) else to
    assert value(db, "select state from users where id = 1") == wanted


def test_a_status_that_somebody_changes_meanwhile_is_not_overwritten(
    db: psycopg.Connection[Any], url: str
) -> None:
    """Compare and set; nor is the status of one who logs in."""
    make_users(db, old=20)

    def meddle(_: PurgeRun, done: float) -> None:
        if done == 5:
            db.execute("update users set status = 'banned' where id = 8")
            db.execute("update users set login_at = now() where id = 9")

    done = disable(batch=5)(PurgeRun(url, meddle))

    assert (done.rows, done.locked) == (18, 0)
    assert (statuses(db)[8], statuses(db)[9]) == ("banned", "active")


def test_a_status_that_changes_between_look_and_lock_is_not_overwritten(
    db: psycopg.Connection[Any], url: str
) -> None:
    """Even if the statement's own snapshot shows it as it was."""
    make_users(db, old=3)
    make_slow(db)

    with beside(lambda: run(disable(where="slow(id)"), url)) as done:
        wait_for_batch(db)
        db.execute("update users set status = 'banned' where id = 2")

    assert (done().rows, statuses(db)) == (2, {1: "disabled", 2: "banned", 3: "disabled"})


def test_a_row_that_is_being_changed_is_left_to_the_next_run(db: psycopg.Connection[Any], url: str) -> None:
    """Nobody waits; what comes of it is looked at then."""
    make_users(db, old=10)
    with psycopg.connect(url) as writer:
        writer.execute("update users set login_at = now() where id = 4")
        writer.execute("update users set login_at = login_at where id = 5")
        done = run(disable(), url)
        writer.commit()

    assert (done.rows, done.locked) == (8, 2)
    assert run(disable(), url).rows == 1
    assert statuses(db)[4] == "active"


def test_children_can_be_added_meanwhile(db: psycopg.Connection[Any], url: str) -> None:
    """A row that another transaction refers to, but does not change, is moved without waiting."""
    make_users(db, old=10)
    db.execute("create table session (user_id bigint references users)")
    with psycopg.connect(url) as writer:
        writer.execute("insert into session values (5)")
        done = run(disable(), url)

    assert (done.rows, done.locked) == (10, 0)


def test_rows_that_a_constraint_refuses_are_reported(db: psycopg.Connection[Any], url: str) -> None:
    """The others are moved."""
    make_users(db, old=300)
    db.execute("alter table users add parent int default 7")
    db.execute("update users set parent = id where id <> 50")
    db.execute("create unique index one on users (parent) where status = 'disabled'")

    done = run(disable(), url)

    assert done.rows == 299
    assert list(done.refused.values()) == [1]
    assert "duplicate key value" in done.line()


def test_rows_that_a_trigger_keeps_are_reported(db: psycopg.Connection[Any], url: str) -> None:
    """Whether it raises, or returns null."""
    make_users(db, old=300)
    db.execute(
        "create function keep() returns trigger language plpgsql as $$ begin"
        " if old.id = 3 then return null; elsif old.id = 4 then raise 'not this one'; end if;"
        " return new; end $$;"
        "create trigger keep before update on users for each row execute function keep()"
    )

    done = run(disable(), url)

    assert (done.rows, sum(done.refused.values())) == (298, 2)
    assert "1 row refused: not this one" in done.line()
    assert {key for key, status in statuses(db).items() if status == "active"} == {3, 4}


def test_a_table_partitioned_by_its_status_moves_its_rows(db: psycopg.Connection[Any], url: str) -> None:
    """From one partition to another."""
    db.execute(
        "create table users (id int, status text, login_at timestamptz, primary key (id, status))"
        " partition by list (status);"
        "create table here partition of users for values in ('active');"
        "create table there partition of users for values in ('disabled');"
        "insert into users select n, 'active', now() - interval '1 year' from generate_series(1, 30) as n"
    )

    assert run(disable(batch=7), url).rows == 30
    assert value(db, "select count(*) from there") == 30


@pytest.mark.parametrize(
    ("index", "serves"),
    [
        ("(login_at)", True),
        ("(status, login_at)", True),
        ("(login_at) where status = 'active'", True),
        ("(login_at) where status = 'other'", False),
        ("(status)", False),
    ],
)
def test_an_index_on_status_and_column_serves(
    db: psycopg.Connection[Any], url: str, index: str, *, serves: bool
) -> None:
    """As does a partial one; without any there is advice."""
    make_users(db, old=50, young=50)
    db.execute(f"create index on users {index}".encode())

    advice = retention(disable()).advice(db)

    assert (advice is None) == serves
    assert advice in (None, 'CREATE INDEX CONCURRENTLY ON "public"."users" ("status", "login_at")')
    assert run(disable(), url).rows == 50


def test_the_plan_is_the_index_on_a_large_table(db: psycopg.Connection[Any], url: str) -> None:
    """Of 200,000 rows it sees those that are active and old."""
    make_users(db, old=100_000, young=100_000)
    db.execute("update users set status = 'disabled' where id %% 100 <> 0", [])
    db.execute("create index on users (login_at) where status = 'active'")
    db.execute("vacuum analyze users")
    with connect(url, "test") as connection:
        made = old_rows.bind(connection, retention(disable()).rule)
        [stretch] = ranges.stretches(connection, made)
        rows = connection.execute(b"explain " + made.listing(stretch).as_bytes(connection), {}).fetchall()

    assert "users_login_at_idx" in "\n".join(row[0] for row in rows)
    assert run(disable(), url).rows == 1000


def test_an_ageing_that_is_killed_is_resumed(tmp_path: Path, db: psycopg.Connection[Any], url: str) -> None:
    """By the next run, which finds what is left."""
    make_users(db, old=20_000, young=5)
    script = tmp_path / "age.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(TOP)!r})\n"
        "from tests.maintained import PurgeRun\n"
        "from poller.ready_made.retention import age_out\n"
        "job = age_out('users', column='login_at', older_than='90d', status='active', to='disabled',\n"
        "              batch=100, pause='10ms')\n"
        f"job(PurgeRun({url!r}))\n"
    )
    with subprocess.Popen([sys.executable, script], cwd=TOP) as process:
        wait_until("some are moved", lambda: _moved(db) > 500)
        process.kill()

    wait_until("its session has ended", lambda: not other_sessions(db))
    moved = _moved(db)
    assert 500 < moved < 20_000
    assert moved % 100 == 0
    assert run(disable(), url).rows == 20_000 - moved


def test_a_table_of_sqlalchemy_names_its_table(db: psycopg.Connection[Any], url: str) -> None:
    """With its schema."""
    db.execute("create schema shop; create table shop.users (id int primary key, status text, login_at date)")
    db.execute("insert into shop.users values (1, 'active', '2000-01-01')")
    table = Table("users", MetaData(), Column("id"), schema="shop")

    job = disable(table=table)

    assert job.name == "age out shop.users"
    assert run(job, url).rows == 1


def _moved(db: psycopg.Connection[Any]) -> int:
    return int(value(db, "select count(*) from users where status = 'disabled'"))


def test_g2_rows_that_handlers_have_in_hand_are_not_aged(db: psycopg.Connection[Any], url: str) -> None:
    """Else what the handler has done for them would be superseded."""
    make_users(db, old=5)
    db.execute("insert into poller.handler (table_name, status) values ('public.users', 'active')")
    db.execute(
        "insert into poller.worker (supervisor, host, pid, slots, handlers, lease)"
        " values (gen_random_uuid(), 'h', 1, 1, '{}', '30 s')"
    )
    db.execute(
        "insert into poller.claim (handler_id, worker_id, keys) select h.id, w.id, '{2,4}'"
        " from poller.handler as h, poller.worker as w"
    )

    done = run(disable(), url)

    assert (done.rows, done.held, done.refused) == (3, 2, {})
    assert [key for key, status in statuses(db).items() if status == "active"] == [2, 4]
