"""`poller runs`, `logs` and `cancel`: runs of jobs, as people and scripts see them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from poller.duration import seconds
from tests.command_line import objects, the_line, value

if TYPE_CHECKING:
    import psycopg

    from tests.command_line import InProcess


def enter(db: psycopg.Connection[Any], job: str, status: str, **columns: Any) -> int:
    """Enter a run a minute after the one before; it took 90 seconds, or has so far. Return its number."""
    number = value(
        db,
        "insert into poller.run (job, function, status, planned_at) values (%s, %s, 'pending',"
        " now() - interval '1 day' + interval '1 minute' * (select count(*) from poller.run)) returning id",
        job,
        job,
    )
    if status != "pending":
        db.execute("update poller.run set status = 'running' where id = %s", [number])
        db.execute(
            "update poller.run set started_at = coalesce(finished_at, poller.now()) - interval '90 seconds'"
            " where id = %s",
            [number],
        )
        db.execute("update poller.run set status = %s where id = %s", [status, number])
    for column, each in columns.items():
        db.execute(f"update poller.run set {column} = %s where id = %s", [each, number])  # type: ignore[call-overload]
    return int(number)


def ids(here: InProcess, *arguments: str) -> list[int]:
    """Return the numbers of the runs that are listed."""
    return [line["id"] for line in objects(here.run("runs", "--json", *arguments))]


def test_runs_shows_the_newest_first(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """With the keys that the contract names, in their order; of one job, if it is named."""
    enter(db, "clean", "succeeded")
    enter(db, "sync", "failed", error="no disk")
    enter(db, "clean", "pending")

    waiting, failed, _ = objects(here.run("runs", "--json"))

    assert list(failed) == [
        "id", "job", "planned_at", "started_at", "finished_at", "status", "attempt", "error"
    ]  # fmt: skip
    assert (failed["id"], failed["job"], failed["status"], failed["attempt"], failed["error"]) == (
        2, "sync", "failed", 1, "no disk"
    )  # fmt: skip
    planned, started, finished = (
        datetime.fromisoformat(failed[key]) for key in ("planned_at", "started_at", "finished_at")
    )
    assert planned.utcoffset() is not None
    assert planned < started < finished
    assert (waiting["started_at"], waiting["finished_at"], waiting["error"]) == (None, None, None)
    assert ids(here, "clean") == [3, 1]


def test_runs_of_a_job_are_those_of_its_schedules_too(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """Whoever made a one-off of `remind` looks for it there; a schedule's own name gives its own."""
    one_off = enter(db, "remind-4f2a", "succeeded", function="remind")
    own = enter(db, "remind", "succeeded")
    enter(db, "sync", "succeeded")
    assert [each["id"] for each in objects(here.run("runs", "remind", "--json"))] == [own, one_off]
    assert [each["id"] for each in objects(here.run("runs", "remind-4f2a", "--json"))] == [one_off]


def test_people_see_how_far_runs_have_come(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """In per cent where the whole is known; and how long they took, or have taken so far."""
    enter(db, "clean", "running", done=1, total=8)
    enter(db, "count", "running", done=1234)
    enter(db, "none", "succeeded", done=0, total=0)
    enter(db, "waits", "pending")
    lines = {line.split()[1]: line.split()[4:] for line in here.run("runs").stdout.splitlines()}
    assert lines["job"] == ["attempt", "progress", "took", "error"] or lines["job"][-1] == "error"
    for job, progress in (("clean", "12%"), ("count", "1,234")):
        *said, so_far = lines[job]
        assert said == ["running", "1", progress]
        assert 90 <= seconds(so_far) < 120, "it goes on"
    assert lines["none"] == ["succeeded", "1", "0", "90s"]
    assert lines["waits"] == ["pending", "0"]


def test_long_listings_of_runs_are_cut_off_for_people_only(
    here: InProcess, db: psycopg.Connection[Any]
) -> None:
    """100 and a word that there are more; --json gives all, --limit so many."""
    db.execute(
        "insert into poller.run (job, function, planned_at)"
        " select 'clean', 'clean', now() - interval '1 minute' * n from generate_series(1, 102) as n"
    )
    ended = here.run("runs")
    assert (len(ended.stdout.splitlines()), "--limit" in ended.stderr) == (101, True)
    assert len(ids(here)) == 102
    assert ids(here, "clean", "--limit", "2") == [1, 2]


def test_runs_of_a_job_that_there_is_not_are_the_answer_no(
    here: InProcess, db: psycopg.Connection[Any]
) -> None:
    """A job that has not run yet has none; one that was removed keeps its own."""
    db.execute("insert into poller.job (name, function, declared) values ('clean', 'clean', true)")
    enter(db, "gone", "succeeded")
    assert ids(here, "clean") == []
    assert here.run("runs", "clean").stdout == "no runs yet\n"
    assert ids(here, "gone") == [1]
    assert the_line(here.run("runs", "cleen"), status=1) == ("there is no job 'cleen'; did you mean 'clean'?")


def test_logs_prints_what_a_run_printed(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """Line by line, a missing newline and all, for it may be piped on; but what would move a terminal is escaped."""
    text = "one\n\x1b[31mtwo\x1b[0m ü\tthree"
    number = enter(db, "clean", "succeeded", output=text)
    ended = here.run("logs", str(number))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, text.replace("\x1b", r"\x1b"), "")


def test_logs_of_a_run_that_has_printed_nothing_are_empty(
    here: InProcess, db: psycopg.Connection[Any]
) -> None:
    """A word on standard error says so."""
    number = enter(db, "clean", "pending")
    ended = here.run("logs", str(number))
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr == "run 1 of clean has printed nothing (pending)\n"


def test_a_run_that_waits_is_cancelled_at_once(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """No worker is needed for that."""
    number = enter(db, "clean", "pending")
    ended = here.run("cancel", str(number))
    assert (ended.returncode, ended.stdout) == (0, "cancelled run 1 of clean\n")
    assert value(db, "select status from poller.run where finished_at is not null") == "cancelled"


def test_a_run_in_progress_is_asked_to_stop(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """Its worker sees to it; asked again it says the same."""
    number = enter(db, "clean", "running")
    for _ in range(2):
        ended = here.run("cancel", str(number))
        assert (ended.returncode, ended.stdout) == (0, "asked run 1 of clean to stop\n")
    assert db.execute("select status, cancel_at < now() from poller.run").fetchone() == ("running", True)


def test_a_run_that_has_ended_is_not_cancelled(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """It is the answer no, and what became of the run stays."""
    number = enter(db, "clean", "succeeded")
    line = the_line(here.run("cancel", str(number)), status=1)
    assert line == "run 1 of clean has ended already: succeeded"
    assert value(db, "select cancel_at is null from poller.run")


def test_logs_of_a_job_are_those_of_its_last_run(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """The last one that has begun; where there is none, a line says so."""
    enter(db, "clean", "succeeded", output="old")
    enter(db, "clean", "failed", output="new")
    enter(db, "clean", "pending")
    enter(db, "sync", "pending")
    assert here.run("logs", "clean").stdout == "new"
    assert "no run of sync has begun yet" in the_line(here.run("logs", "sync"), status=1)
    for unknown in ("cleen", str(2**63)):
        assert f"there is no job '{unknown}'" in the_line(here.run("logs", unknown), status=1)


@pytest.mark.parametrize("command", ["logs", "cancel"])
def test_a_run_that_there_is_not_is_one_line(here: InProcess, command: str) -> None:
    """The answer no."""
    assert "there is no run 7" in the_line(here.run(command, "7"), status=1)


def test_what_is_no_run_cannot_be_cancelled(here: InProcess) -> None:
    """What cannot be a run's number is wrong use."""
    for number in ("clean", "0", str(2**63)):
        assert "'RUN'" in the_line(here.run("cancel", number))
