"""What does not happen is told, too: by surveys, which go by the database's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poller import Alert, Fail, fixed_rate, handler
from tests.alerts.stage import Stage

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


def test_a_job_that_was_given_another_function_is_one_subject(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Skipped slots of both functions are one episode, and keep no other from being told."""
    with Stage(url, site, monkeypatch, sample, other) as stage:
        stage.engine.run_due()
        db.execute("insert into poller.job (name, function, declared) values ('nightly', 'other', false)")
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


def test_a_host_that_loses_a_worker(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And has had another one for a minute."""
    with Stage(url, site, monkeypatch, sample) as stage:
        db.execute(
            "insert into poller.worker (supervisor, host, pid, slots, handlers, lease, died_at)"
            " values (gen_random_uuid(), 'db7', 1, 8, '{}', '30 s', now())"
        )
        [gone] = stage.tell(survey=True)
        assert (gone["type"], gone["subject"], gone["kind"], gone["times"]) == ("host", "db7", "gone", 1)
        assert stage.tell(survey=True) == []
        stage.advance("2m")
        assert ("db7", "gone", "recovered") in stage.reasons(survey=True)
