"""What cannot work is refused in one line: when the job is made, or by `check` and the run, at the start."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from poller.errors import ConfigurationError
from poller.jobs.job import cron
from poller.ready_made.retention import age_out, purge
from tests.maintained import PurgeRun, a_role, keys, make_audit, purge_audit, retention, run

if TYPE_CHECKING:
    import psycopg

AGED: dict[str, Any] = {
    "table": "audit",
    "column": "created_at",
    "older_than": "90d",
    "status": "x",
    "to": "y",
}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"table": 7}, "table must be 'name', 'schema.name', a SQLAlchemy Table or a mapped class, got 7"),
        ({"table": "a.b.c"}, "table must be 'name'"),
        ({"column": ""}, "column must be a string, got ''"),
        ({"column": None}, "column must be the name of a column, or several, got None"),
        ({"older_than": "180"}, "'180' is not a duration"),
        ({"older_than": "0s"}, "older_than must be more than 0s and at most 36525d"),
        ({"older_than": timedelta(days=-1)}, "a duration cannot be negative"),
        ({"pause": "99999d"}, "pause must be at most 36525d"),
        ({"older_than": "99999d"}, "older_than must be more than 0s and at most 36525d"),
        ({"where": "  "}, "where must be a string, got '  '"),
        ({"where": ""}, "where must be a string, got ''"),
        ({"where": b"true"}, "where must be SQL, or an expression of SQLAlchemy's, got b'true'"),
        ({"batch": 0}, "batch must be a number from 1 to 100000, got 0"),
        ({"batch": True}, "batch must be a number"),
        ({"batch": 10.5}, "batch must be a number"),
        ({"pause": "soon"}, "'soon' is not a duration"),
    ],
)
def test_impossible_options_are_refused_when_the_job_is_made(options: dict[str, Any], reason: str) -> None:
    """In one line that names the place."""
    with pytest.raises(ConfigurationError, match="test_purge_refused") as refused:
        purge(**{"table": "audit", "column": "created_at", "older_than": "180d", **options})

    assert reason in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"to": "x"}, "to is 'x', the status the rows already have"),
        ({"status": None}, "a status is a string"),
        ({"status_column": ""}, "status_column must be a string"),
    ],
)
def test_impossible_ageing_is_refused_when_the_job_is_made(options: dict[str, Any], reason: str) -> None:
    """As for a purge."""
    with pytest.raises(ConfigurationError, match="test_purge_refused") as refused:
        age_out(**{**AGED, **options})

    assert reason in str(refused.value)


def test_options_of_the_job_are_refused_with_its_place() -> None:
    """They are any job's."""
    with pytest.raises(ConfigurationError, match=r"test_purge_refused.py:\d+: .*overlpa"):
        purge("audit", column="created_at", older_than="180d", overlpa="skip")


def test_a_job_is_named_after_what_it_does() -> None:
    """Unless it is given a name; and it takes what other jobs take."""
    made = purge(
        "shop.audit", column="at", older_than="1d", schedule=cron("0 3 * * *"), timeout="1h", on="night"
    )
    assert (made.name, made.options.timeout, made.options.on) == (
        "purge shop.audit",
        3600.0,
        frozenset({"night"}),
    )
    assert made.run_parameter == "run"
    assert made.schedule is not None
    assert purge("audit", column="at", older_than="1d", name="tidy").name == "tidy"
    assert age_out(**AGED).name == "age out audit"
    assert (
        str(retention(age_out(**AGED))) == "moves the x rows of audit whose created_at is older than 90d to y"
    )


CASES = [
    (None, "there is no table audit"),
    ("create view audit as select 1 as id, now() as created_at", "audit is a view"),
    ("create table audit (created_at timestamptz)", "has no primary key"),
    ("create table audit (id int primary key, at timestamptz)", "has no column 'created_at'; it has id, at"),
    (
        "create table audit (id int primary key, created_at text)",
        "created_at is text; the age of a row needs a timestamp or a date",
    ),
    ("create table audit (id int primary key, created_at time)", "the age of a row needs a timestamp"),
]


@pytest.mark.parametrize(("ddl", "reason"), CASES)
def test_a_table_that_does_not_fit_is_refused(
    db: psycopg.Connection[Any], url: str, ddl: str | None, reason: str
) -> None:
    """By `check` as by the run."""
    if ddl is not None:
        db.execute(ddl.encode())
    for job in (purge_audit(), age_out(**AGED)):
        for refuse in (lambda: retention(job).check(db), lambda: run(job, url)):  # noqa: B023 - called at once
            with pytest.raises(ConfigurationError) as refused:
                refuse()
            assert reason in str(refused.value)
            assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("kind =", "syntax error"),
        ("colour = 'x'", 'column "colour" does not exist'),
        ("id = 'x'", "invalid input syntax"),
        ("kind", "argument of AND must be type boolean"),
        ("true); drop table audit; --", "syntax error"),
        ("count(*) > 1", "aggregate functions are not allowed"),
    ],
)
def test_a_condition_that_is_none_is_refused(
    db: psycopg.Connection[Any], url: str, where: str, reason: str
) -> None:
    """Before anything is changed, in Postgres' words."""
    make_audit(db, old=3)

    for refuse in (
        lambda: retention(purge_audit(where=where)).check(db),
        lambda: run(purge_audit(where=where), url),
    ):
        with pytest.raises(
            ConfigurationError, match=r"Postgres cannot work on the old rows of|cannot stand by"
        ) as refused:
            refuse()
        assert repr(where) in str(refused.value)
        assert reason in str(refused.value)
    assert keys(db) == [1, 2, 3]


@pytest.mark.parametrize(
    ("status", "to", "reason"),
    [
        ("x", "disbled", "cannot hold the status 'disbled'; it takes x, disabled"),
        ("actve", "disabled", "cannot hold the status 'actve'; it takes x, disabled"),
    ],
)
def test_a_status_that_an_enum_lacks_is_refused(
    db: psycopg.Connection[Any], url: str, status: str, to: str, reason: str
) -> None:
    """The one it comes from, too."""
    db.execute("create type mood as enum ('x', 'disabled')")
    db.execute("create table audit (id int primary key, status mood, created_at timestamptz)")
    job = age_out(**{**AGED, "status": status, "to": to})

    for refuse in (lambda: retention(job).check(db), lambda: run(job, url)):
        with pytest.raises(ConfigurationError) as refused:
            refuse()
        assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ("status text check (status in ('x', 'z'))", "its CHECK audit_status_check requires"),
        ("status varchar(1)", None),
        ("status integer", "cannot hold the status 'x'"),
        ("status text generated always as ('x') stored", "is a generated column"),
        ("state text", "has no column 'status'"),
    ],
)
def test_a_status_that_the_column_does_not_take_is_refused(
    db: psycopg.Connection[Any], column: str, reason: str | None
) -> None:
    """By its type or its CHECK."""
    db.execute(f"create table audit (id int primary key, created_at timestamptz, {column})".encode())
    if reason is None:
        retention(age_out(**AGED)).check(db)
        return

    with pytest.raises(ConfigurationError) as refused:
        retention(age_out(**AGED)).check(db)
    assert reason in str(refused.value)


@pytest.mark.parametrize("grants", [("select on audit",), ("select, update on audit",), ("delete on audit",)])
def test_a_missing_grant_is_said(db: psycopg.Connection[Any], url: str, grants: tuple[str, ...]) -> None:
    """Before anything is tried."""
    make_audit(db, old=3)
    with a_role(db, url, *grants) as as_role, pytest.raises(ConfigurationError) as refused:
        run(purge_audit(), as_role)

    assert "may not" in str(refused.value) or "permission denied for table audit" in str(refused.value)


def test_the_grants_for_rows_suffice(db: psycopg.Connection[Any], url: str) -> None:
    """Also where a foreign key comes from a table that the role may not read."""
    make_audit(db, old=300)
    db.execute("create table note (audit_id bigint constraint about references audit)")
    db.execute("insert into note values (7)")

    with a_role(db, url, "select, update, delete on audit") as as_role:
        done = run(purge_audit(), as_role)

    assert (done.rows, done.kept) == (299, {"about": 1})


def test_a_rule_on_deletes_is_refused(db: psycopg.Connection[Any], url: str) -> None:
    """Postgres does not apply it here."""
    make_audit(db, old=3)
    db.execute("create rule r as on delete to audit do instead nothing")

    with pytest.raises(ConfigurationError, match="Postgres cannot work on the old rows"):
        run(purge_audit(), url)


def test_declaring_a_purge_loads_no_driver() -> None:
    """Who imports a handlers package waits for nothing that only a run needs."""
    code = (
        "import sys; from poller.ready_made.retention import purge; purge('a', column='b', older_than='1d');"
        "sys.exit(sum(name in sys.modules for name in ('psycopg', 'sqlalchemy', 'rich')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_that_is_refused_opens_nothing_it_leaves_behind(db: psycopg.Connection[Any], url: str) -> None:
    """The session ends with the run."""
    told = PurgeRun(url)
    with pytest.raises(ConfigurationError):
        purge_audit()(told)
    assert told.told == []
