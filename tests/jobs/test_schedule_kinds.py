"""`poller.job.kind` and `every` say of a schedule what its text says, whoever has written it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller.db import migration
from poller.errors import ConfigurationError
from poller.schedules import slots

if TYPE_CHECKING:
    from poller.schedules.slots import Schedule

KINDS = {slots.Cron: "cron", slots.Every: "fixed_rate", slots.FixedDelay: "fixed_delay", slots.At: "at"}
READ = [
    "0 3 * * *",
    "@yearly",
    "CRON_TZ=Europe/Berlin 30 2 * * mon",
    "@at 2030-01-01T03:00:00+01:00",
    "@every 5m",
    "@every 1h30m",
    "@every 1.5d",
    "@every 250ms",
    "@every 2w",
    "@every 36525d",
    "@after 5m",
    "  @AFTER   1d12h ",
    "@after 0.000001s",
    "TZ=UTC @after 10s",
    "cron_tz=Europe/Berlin @Every 1s500ms",
]
REFUSED = [
    "@after soon",
    "@after",
    "@every 5",
    "@after 5 m",
    "@after5m",
    "@every 5M",
    "@never",
    "",
    "rubbish",
]


def _length(schedule: Schedule) -> timedelta | None:
    match schedule:
        case slots.Every(seconds) | slots.FixedDelay(seconds):
            return timedelta(seconds=seconds)
        case _:
            return None


def _insert(db: psycopg.Connection[Any], text: str | None, name: str = "job") -> None:
    """Enter a job as a program of any version does, or a person."""
    db.execute(
        "insert into poller.job (name, function, schedule, declared) values (%s, 'f', %s, false)",
        [name, text],
    )


def _said(db: psycopg.Connection[Any], name: str = "job") -> Any:
    return db.execute("select kind, every from poller.job where name = %s", [name]).fetchone()


@pytest.mark.parametrize("text", READ)
def test_the_database_reads_a_schedule_as_the_planner_does(db: psycopg.Connection[Any], text: str) -> None:
    """And what is written of it is read as the same: that is what programs enter."""
    schedule = slots.parse(text)
    expected = (KINDS[type(schedule)], _length(schedule))
    _insert(db, text)
    assert _said(db) == expected
    db.execute("update poller.job set schedule = %s", [str(schedule)])
    assert _said(db) == expected


@pytest.mark.parametrize("text", REFUSED)
def test_a_text_that_no_planner_reads_has_no_length(db: psycopg.Connection[Any], text: str) -> None:
    """It is let in, as it always was: the planner names it, and no other job waits for that."""
    with pytest.raises(ConfigurationError):
        slots.parse(text)
    _insert(db, text)
    assert _said(db)[1] is None


def test_a_job_without_a_schedule_is_of_no_kind(db: psycopg.Connection[Any]) -> None:
    """It runs by hand, or after another."""
    _insert(db, None)
    assert _said(db) == (None, None)


def test_what_was_entered_before_the_columns_came_has_them_too(empty_url: str) -> None:
    """By a program of the version before, which goes on beside this schema: its conditions find the same jobs."""
    migration.migrate(empty_url, "0014")
    with psycopg.connect(empty_url, autocommit=True) as db:
        for name, text in {"delay": "@after 1h", "rate": "@every 1h", "line": "0 3 * * *"}.items():
            _insert(db, text, name)
        migration.migrate(empty_url)
        assert _said(db, "delay") == ("fixed_delay", timedelta(hours=1))
        assert _said(db, "rate") == ("fixed_rate", timedelta(hours=1))
        assert _said(db, "line") == ("cron", None)
        _insert(db, "@after 2h", "new")
        db.execute("update poller.job set schedule = '@after 3h' where name = 'delay'")
        older = "select name, poller.delay_of(schedule) from poller.job where schedule like '@after %'"
        newer = "select name, every from poller.job where kind = 'fixed_delay'"
        found = {(name, length) for name, length in db.execute(older)}
        assert found == {("delay", timedelta(hours=3)), ("new", timedelta(hours=2))}
        assert found == {(name, length) for name, length in db.execute(newer)}
        # A run of such a program, which ends here: the trigger is the schema's.
        db.execute(
            "insert into poller.run (job, function, status) values ('new', 'f', 'running');"
            "update poller.run set status = 'failed'"
        )
        row = db.execute(
            "select r.finished_at + '2h' = j.next_at from poller.run as r join poller.job as j on j.name = r.job"
        ).fetchone()
        assert row == (True,)
