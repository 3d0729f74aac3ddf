"""What does not happen is told, too: by surveys, which go by the database's clock."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from poller import Alert, Fail, fixed_rate, handler, job
from poller.db.statements import statement
from tests.alerts.stage import Stage
from tests.command_line import value

if TYPE_CHECKING:
    import psycopg
    import pytest

    from tests.website import Server

HOW = {"works": True}


@fixed_rate("5m", expect="20m", timeout="10m", overlap="skip")
def sample() -> None:
    if not HOW["works"]:
        raise ValueError


@fixed_rate("5m")
def other() -> None:
    """Succeed."""


@job()
def plain() -> None:
    """Succeed."""


def fails() -> None:
    raise ValueError


@fixed_rate("5s", overlap="skip")
def brisk() -> None:
    """Succeed."""


@handler(
    "task",
    status="new",
    to="done",
    attempts=1,
    alerts=Alert(parked=3, oldest="15m", failing=0.5),
)
def work(row: Any) -> None:
    if row.id >= 100:
        raise KeyError("CANARY")


@handler("task", status="paid", to="shipped", on_failure="stuck")
def ship(row: Any) -> None:
    if row.id >= 100:
        raise Fail("CANARY")


def test_jobs(url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not planned, not started, skipped, slow, or has not succeeded; and each of them when it is over."""
    with Stage(url, site, monkeypatch, sample) as stage:
        stage.engine.run_due()
        assert stage.tell(survey=True) == []

        stage.advance("9m")  # past a slot, and no planner has seen it
        assert stage.reasons(survey=True) == [("sample", "late", "opened")]
        stage.engine._scheduler.run_once()  # nor a worker, now
        assert stage.tell(survey=True) == []
        stage.engine.run_due()
        assert stage.reasons(survey=True) == [("sample", "late", "recovered")]

        HOW["works"] = False
        for _ in range(5):
            stage.advance("5m")
            stage.engine.run_due()
        opened = {("sample", "failed", "opened"), ("sample", "stale", "opened")}
        assert set(stage.reasons(survey=True)) == opened
        db.execute("update poller.job set paused_at = now() where name = 'sample'")
        stage.advance("26h")
        assert stage.tell(survey=True) == [], "what is paused is silent"
        HOW["works"] = True
        db.execute(
            "update poller.job set paused_at = null, next_at = null, planned_to = now() + interval '26 hours'"
            " where name = 'sample'"
        )
        stage.engine.run_due()
        stage.advance("5m")
        stage.engine.run_due()
        over = {("sample", "failed", "recovered"), ("sample", "stale", "recovered")}
        assert set(stage.reasons(survey=True)) == over

        run = stage.engine.trigger(sample)
        db.execute("update poller.run set status = 'running' where id = %s", [run])
        db.execute("update poller.run set started_at = started_at + interval '27 hours' where id = %s", [run])
        stage.advance("50m")
        stage.engine._scheduler.run_once()
        kinds = {each["kind"]: each for each in stage.tell(survey=True)}
        assert kinds.keys() == {"long", "missed", "stale"}
        assert kinds["missed"]["times"] > 0


def test_a_fleet_that_comes_back_makes_no_storm(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slots that made way for the newest one were not missed for a run in progress; one that was, is told."""
    with Stage(url, site, monkeypatch, brisk) as stage:
        stage.engine.run_due()
        stage.advance("3h")
        stage.engine._scheduler.run_once()
        assert value(db, "select count(*) from poller.run where status = 'skipped'") > 3
        assert stage.tell(survey=True) == []
        stage.engine.run_due()
        assert stage.tell(survey=True) == []
        stage.engine.trigger(brisk)
        running = (
            "update poller.run set status = 'running', started_at = poller.now() where status = 'pending'"
        )
        stage.alerting._store.connection.execute(running)
        stage.advance("6s")
        stage.engine._scheduler.run_once()
        assert stage.reasons(survey=True) == [("brisk", "missed", "opened")]


def test_what_could_not_run_has_its_grace_time(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the fleet's return, or from when the job was resumed; what was told of before is not over for that."""
    HOW["works"] = True
    with Stage(url, site, monkeypatch, sample) as stage:
        execute = stage.alerting._store.connection.execute
        stage.engine.run_due()
        stage.advance("2h")
        stage.engine._scheduler.run_once()
        execute("update poller.worker set started_at = poller.now()")
        assert stage.tell(survey=True) == []
        stage.advance("2m")
        told = {("sample", kind, "opened") for kind in ("late", "stale")}
        assert {*stage.reasons(survey=True)} == told
        execute("update poller.worker set started_at = poller.now()")
        assert stage.tell(survey=True) == []
        stage.engine.run_due()
        assert {*stage.reasons(survey=True)} == {(*each[:2], "recovered") for each in told}

        execute("update poller.job set paused_at = poller.now()")
        stage.advance("3h")
        execute(statement("resume_job"), {"name": "sample"})
        assert stage.tell(survey=True) == []
        stage.advance("21m")
        assert ("sample", "stale", "opened") in stage.reasons(survey=True)


def test_no_success_is_expected_outside_of_a_schedules_time(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before its start, nor after its end: what was told of until then is no recovery, and not told again."""
    now = value(db, "select now()")
    window = {"starts_at": now + timedelta(hours=3), "ends_at": now + timedelta(hours=6)}
    season = fixed_rate("30m", name="season", expect="1h", alerts="oncall", **window)(fails)
    with Stage(url, site, monkeypatch, season, after=1000) as stage:
        for hours, told in ((2, []), (3, []), (4.5, ["opened"]), (6.1, []), (31, [])):
            at = now + timedelta(hours=hours)
            ahead = (at - stage.alerting._store.now()).total_seconds()
            stage.advance(f"{ahead:.0f}s")
            stage.engine.run_due()
            assert [each["reason"] for each in stage.tell(survey=True) if each["kind"] == "stale"] == told
        assert stage.alerting._store.open_subjects() == []


def test_a_job_that_was_given_another_function_is_one_subject(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Skipped slots of both functions are one episode, and keep no other from being told."""
    with Stage(url, site, monkeypatch, sample, other) as stage:
        stage.engine.run_due()
        db.execute("insert into poller.job (name, function, declared) values ('nightly', 'other', false)")
        db.execute(
            "insert into poller.run (job, function, planned_at, status)"
            " values ('nightly', 'other', poller.now() - interval '1 hour', 'running')"
        )
        db.execute(
            "insert into poller.run (job, function, planned_at, status, finished_at) select 'nightly', f,"
            " poller.now() - interval '1 minute' * n, 'skipped', poller.now()"
            " from unnest(array['sample', 'other']) with ordinality as t (f, n)"
        )
        assert stage.reasons(survey=True) == [("nightly", "missed", "opened")]


def test_handlers(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are parked, that failed for good, that fail often, that wait; not a value of theirs is told."""
    db.execute("create table task (id int primary key, status text, created_at timestamptz default now())")
    db.execute("insert into task select i, 'paid' from generate_series(1, 5) as i")
    with Stage(url, site, monkeypatch, work, ship) as stage:
        stage.engine.run_due()
        assert stage.tell(survey=True) == []
        db.execute("insert into task values (100, 'new'), (101, 'new'), (102, 'paid')")
        stage.engine.run_due()
        [failed] = stage.tell(survey=True)
        assert (failed["subject"], failed["kind"], failed["times"]) == ("public.task:paid", "failed", 1)
        assert failed["error"] == "Fail"
        db.execute("insert into task select i, 'new' from generate_series(103, 110) as i")
        stage.engine.run_due()
        kinds = {each["kind"]: each for each in stage.tell(survey=True)}
        assert kinds.keys() == {"parked", "failing"}
        assert kinds["parked"]["detail"] == "10 rows are parked"
        assert kinds["parked"]["error"] == "KeyError"
        assert kinds["failing"]["detail"].startswith("100% of the attempts")
        db.execute("update poller.handler set paused_at = now() where status = 'new'")
        db.execute("insert into task values (1000, 'new')")
        stage.advance("16m")
        assert stage.tell(survey=True) == []
        db.execute("update poller.handler set paused_at = null where status = 'new'")
        kinds = {(each["kind"], each["reason"]) for each in stage.tell(survey=True)}
        assert kinds == {("oldest", "opened"), ("failing", "recovered")}
        db.execute("delete from task where id > 99")
        db.execute("delete from poller.attempt")
        db.execute("insert into task values (20, 'paid')")
        stage.engine.run_due()
        over = {(each["kind"], each["reason"]) for each in stage.tell(survey=True)}
        assert over == {("parked", "recovered"), ("oldest", "recovered"), ("failed", "recovered")}
        assert stage.tell(survey=True) == []
    assert not [each for each in site.received if b"CANARY" in each.body]


def test_what_cannot_be_looked_at_is_not_over(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old rows of a table that somebody has locked for a while are told of once, and once that they are gone."""
    db.execute("create table task (id int primary key, status text, created_at timestamptz default now())")
    db.execute("insert into task values (1, 'new')")
    with Stage(url, site, monkeypatch, work) as stage:
        stage.advance("16m")
        assert stage.reasons(survey=True) == [("public.task:new", "oldest", "opened")]
        with db.transaction():
            db.execute("lock table task")
            assert stage.tell(survey=True) == []
        db.execute("alter table task rename column created_at to made_at")
        assert stage.tell(survey=True) == []
        db.execute("alter table task rename column made_at to created_at")
        assert stage.tell(survey=True) == []
        stage.engine.run_due()
        assert stage.reasons(survey=True) == [("public.task:new", "oldest", "recovered")]


def test_rows_that_fail_are_told_where_no_history_is_kept(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the counts of minutes: once, without an error; then that it is over, and the next one anew."""
    db.execute("create table task (id int primary key, status text)")
    db.execute("insert into task values (100, 'paid')")
    silent = handler("task", status="paid", to="shipped", on_failure="stuck", history="off")(ship.function)
    with Stage(url, site, monkeypatch, silent) as stage:
        for row in (101, 102):
            stage.engine.run_due()
            [failed] = stage.tell(survey=True)
            assert (failed["kind"], failed["reason"], failed["times"]) == ("failed", "opened", 1)
            assert failed["error"] is None
            assert stage.tell(survey=True) == []
            stage.advance("11m")
            db.execute("insert into task values (%s, 'paid')", [row - 100])
            stage.engine.run_due()
            assert stage.reasons(survey=True) == [("public.task:paid", "failed", "recovered")]
            stage.advance("2m")
            db.execute("insert into task values (%s, 'paid')", [row])


WORKER = (
    "insert into poller.worker (supervisor, host, pid, slots, handlers, lease, died_at)"
    " values (gen_random_uuid(), %s, 1, 8, '{}', '30 s', case when %s then poller.now() end)"
)


def test_a_host_that_loses_a_worker(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And has had another one for a minute: one of another host, or one that was there before, is none."""
    with Stage(url, site, monkeypatch, plain) as stage:
        join = stage.alerting._store.connection.execute
        join(WORKER, ["db7", False])
        stage.advance("1h")
        join(WORKER, ["db7", True])
        join(WORKER, ["lost", True])
        gone = {each["subject"]: each for each in stage.tell(survey=True)}
        assert gone.keys() == {"db7", "lost"}
        assert (gone["db7"]["type"], gone["db7"]["kind"], gone["db7"]["times"]) == ("host", "gone", 1)
        stage.advance("2m")
        assert stage.tell(survey=True) == []
        stage.advance("1s")
        join(WORKER, ["db7", False])
        stage.advance("50s")
        assert stage.tell(survey=True) == []
        stage.advance("15s")
        assert stage.reasons(survey=True) == [("db7", "gone", "recovered")]
        stage.advance("25h")
        assert ("lost", "gone", "reminder") not in stage.reasons(survey=True)
    assert value(db, "select closed_at is not null from poller.episode where subject = 'lost'")


def test_what_is_there_no_more_is_over(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a job or handler that no program has known for an hour, nothing is told; one that is known elsewhere stays."""
    db.execute("create table task (id int primary key, status text, created_at timestamptz default now())")
    db.execute("insert into task values (100, 'new'), (101, 'new'), (102, 'new')")
    HOW["works"] = False
    with Stage(url, site, monkeypatch, work, sample) as before:
        before.engine.run_due()
        assert len(before.tell(survey=True)) == 2
    open_ones = (
        "select subject from poller.episode where closed_at is null and kind <> 'stale' order by subject"
    )
    with Stage(url, site, monkeypatch, plain) as after:
        after.advance("50m")
        after.tell(survey=True)
        assert db.execute(open_ones).fetchall() == [("public.task:new",), ("sample",)]
        watched = "update poller.watched set seen_at = poller.now() where function = 'sample'"
        after.alerting._store.connection.execute(watched)
        after.advance("20m")
        assert after.tell(survey=True) == []
        assert db.execute(open_ones).fetchall() == [("sample",)]
        after.advance("2h")
        assert after.tell(survey=True) == []
        assert db.execute(open_ones).fetchall() == []


def test_whom_to_tell_is_as_the_settings_have_it_now(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that is added hears of what lasts, once; that it is over hear all that have heard of it."""
    monkeypatch.setenv("OTHER", site.at("/other"))
    targets = {"oncall": {"url": "env:ONCALL"}, "other": {"url": "env:OTHER"}}
    HOW["works"] = False
    with Stage(url, site, monkeypatch, sample, targets=targets) as stage:
        stage.engine.run_due()
        assert stage.reasons(survey=True) == [("sample", "failed", "opened")]
    heard = "select target, number, reason from poller.notice order by id"
    routes = [{"jobs": "sam*", "to": "other"}]
    with Stage(url, site, monkeypatch, sample, targets=targets, routes=routes) as stage:
        for _ in range(2):
            assert stage.tell(survey=True) == []
        assert db.execute(heard).fetchall() == [("oncall", 1, "opened"), ("other", 1, "opened")]
        HOW["works"] = True
        stage.engine.trigger(sample)
        stage.engine.run_due()
        assert stage.reasons(survey=True) == [("sample", "failed", "recovered")]
        over = [("oncall", 2, "recovered"), ("other", 2, "recovered")]
        assert db.execute(heard).fetchall()[2:] == over
    assert sorted(each.path for each in site.received) == ["/hook", "/hook", "/other", "/other"]
