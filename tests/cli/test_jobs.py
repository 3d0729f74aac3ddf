"""`poller jobs`, with `add` and `remove`; `trigger`, `pause` and `resume`."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import cron, fixed_delay, fixed_rate, job, schedule
from poller.jobs import job_store
from poller.ready_made.housekeeping import housekeeping
from poller.testing import Engine
from tests.command_line import InProcess, known, objects, the_line, value
from tests.harness import wait_until
from tests.servers import fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness import Project

CODE = """
from poller import cron, fixed_delay, fixed_rate, job

@cron("0 10 * * *", tz="Asia/Shanghai")
def clean(): ...

@job()
def greet(name="you"): ...

@job(overlap="replace")
def alone(): ...
"""


@cron("0 10 * * *", tz="Asia/Shanghai")
def clean() -> None: ...


@fixed_delay("5m")
def sync() -> None: ...


@fixed_rate("10s")
def sample() -> None: ...


@job(after=("clean", "sync"))
def report() -> None: ...


@job()
def greet(name: str = "you") -> None: ...


@job(overlap="replace")
def alone() -> None: ...


JOBS = (clean, sync, sample, report, greet, alone)


@pytest.fixture
def declared(db: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A database in which the jobs are declared."""
    job_store.declare(db, JOBS)
    return db


def enter(db: psycopg.Connection[Any], job: str, status: str = "pending", at: str = "now()") -> int:
    """Enter a run of a job; return its number."""
    question = (
        "insert into poller.run (job, function, planned_at, status, started_at, finished_at)"
        f" values (%s, %s, {at}, %s, case when %s <> 'pending' then now() - interval '1 minute' end,"
        " case when %s not in ('pending', 'running') then now() end) returning id"
    )
    return int(value(db, question, job, job, status, status, status))


def statuses(db: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    """Return job and status of the runs, in the order of their entering."""
    return db.execute("select job, status from poller.run order by id").fetchall()


def by_name(here: InProcess | Project, *arguments: str) -> dict[str, dict[str, Any]]:
    """Return what `poller jobs --json` says, by the jobs' names."""
    return {line["name"]: line for line in objects(here.run("jobs", "--json", *arguments))}


# --- the listing --------------------------------------------------------------------------------------


def test_jobs_shows_schedules_and_runs(here: InProcess, declared: psycopg.Connection[Any]) -> None:
    """With the keys that scripts rely on; times in ISO 8601 with offset."""
    enter(declared, "clean", "succeeded", "now() - interval '2 days'")
    enter(declared, "clean", "failed", "now() - interval '1 day'")
    enter(declared, "clean", "skipped", "now() - interval '1 hour'")
    enter(declared, "clean")
    enter(declared, "sync", "running")

    lines = by_name(here)

    assert list(lines) == ["alone", "clean", "greet", "report", "sample", "sync"]
    assert list(lines["clean"]) == [
        "name", "job", "schedule", "tz", "after", "args", "declared",
        "next_at", "last_status", "last_at", "running", "waiting", "state", "paused_until",
    ]  # fmt: skip
    assert lines["clean"] | {"next_at": None, "last_at": None} == {
        "name": "clean", "job": "clean", "schedule": "CRON_TZ=Asia/Shanghai 0 10 * * *", "tz": "Asia/Shanghai",
        "after": [], "args": {}, "declared": True, "next_at": None, "last_status": "failed", "last_at": None,
        "running": 0, "waiting": 1, "state": "active", "paused_until": None,
    }  # fmt: skip
    next_at = datetime.fromisoformat(lines["clean"]["next_at"])
    assert (next_at.hour, next_at > datetime.now(UTC)) == (2, True)
    assert (lines["sync"]["last_status"], lines["sync"]["running"]) == ("running", 1)
    assert lines["sync"]["next_at"] is None, "it follows from the end of its run"
    assert lines["sample"]["next_at"] is not None, "though no planner has looked yet"
    assert lines["report"]["after"] == ["clean", "sync"]


def test_people_read_schedules_in_words(here: InProcess, declared: psycopg.Connection[Any]) -> None:
    """With their zones, what they run after, and what a schedule made at run time runs."""
    schedule(declared, "greet", at=datetime(2030, 1, 1, 12, tzinfo=UTC), name="party")
    shown = here.run("jobs").stdout
    for words in (
        "0 10 * * * Asia/Shanghai",
        "5m after each run",
        "every 10s",
        "after clean, sync",
        "by hand",
        "party (greet)",
        "at 2030-01-01T12:00:00+00:00",
    ):
        assert words in shown
    assert len(shown.splitlines()) == 1 + 7


def test_jobs_shows_what_the_planner_has_found(here: InProcess, declared: psycopg.Connection[Any]) -> None:
    """The next slots, and that there are no more."""
    schedule(declared, "greet", at=datetime(2001, 1, 1, tzinfo=UTC), name="party")
    with Engine(here.url, *JOBS) as engine:
        engine.run_due()
    lines = by_name(here)
    assert (lines["party"]["state"], lines["party"]["next_at"]) == ("over", None)
    assert lines["party"]["last_status"] == "succeeded"
    planned = value(declared, "select next_at from poller.job where name = 'sample'")
    assert datetime.fromisoformat(lines["sample"]["next_at"]) == planned


def test_a_job_that_the_package_lacks_is_shown_as_such(
    project: Project, declared: psycopg.Connection[Any]
) -> None:
    """A deploy may be rolling; where there is no package that can be imported, nothing is said."""
    schedule(declared, "sync", when="@every 1h", name="hourly")
    declared.execute("update poller.job set paused_at = now() where name = 'report'")

    def states(package: str) -> dict[str, str]:
        return {name: line["state"] for name, line in by_name(project, "--handlers", package).items()}

    assert set(states("nowhere").values()) == {"active", "paused"}
    project.handlers("import nothing_of_this_name")
    assert set(states("handlers").values()) == {"active", "paused"}
    project.handlers(CODE)
    found = states("handlers")
    assert found == {
        "alone": "active",
        "clean": "active",
        "greet": "active",
        "hourly": "not registered here",
        "report": "paused",
        "sample": "not registered here",
        "sync": "not registered here",
    }


def test_pollers_own_job_is_registered_everywhere(project: Project, db: psycopg.Connection[Any]) -> None:
    """Its housekeeping stands in no package of the user's."""
    job_store.declare(db, [housekeeping])
    project.handlers(CODE)
    assert by_name(project)["poller housekeeping"]["state"] == "active"


def test_without_jobs_the_listing_says_so(here: InProcess) -> None:
    """Nothing to show is not an error."""
    assert here.run("jobs").stdout.startswith("no jobs")
    assert objects(here.run("jobs", "--json")) == []


# --- schedules made at run time -----------------------------------------------------------------------

ADDED: dict[str, tuple[list[str], str, str]] = {
    "times of day": (["--cron", "0 3 * * *"], "0 3 * * *", "0 3 * * * UTC"),
    "in a zone": (
        ["--cron", "0 3 * * *", "--tz", "Europe/Berlin"],
        "CRON_TZ=Europe/Berlin 0 3 * * *",
        "0 3 * * * Europe/Berlin",
    ),
    "a rate": (["--every", "90m"], "@every 1h30m", "every 1h30m"),
    "a delay": (["--delay", "5m"], "@after 5m", "5m after each run"),
    "a time": (
        ["--at", "2030-01-01T12:00+02:00"],
        "@at 2030-01-01T10:00:00+00:00",
        "at 2030-01-01T10:00:00+00:00",
    ),
    "a time in a zone": (
        ["--at", "2030-01-01T12:00", "--tz", "Europe/Berlin"],
        "@at 2030-01-01T11:00:00+00:00",
        "at 2030-01-01T11:00:00+00:00",
    ),
}


@pytest.mark.parametrize(("options", "stored", "told"), ADDED.values(), ids=ADDED)
def test_add_makes_a_schedule(
    here: InProcess, declared: psycopg.Connection[Any], options: list[str], stored: str, told: str
) -> None:
    """Of a job that some program has declared; no package is needed."""
    ended = here.run("jobs", "add", "extra", "greet", *options, "--args", '{"name": "Ada"}')
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"extra runs greet: {told}\n", "")
    question = "select function, schedule, args, declared from poller.job where name = 'extra'"
    assert declared.execute(question).fetchone() == ("greet", stored, {"name": "Ada"}, False)


def test_what_was_added_runs_and_is_edited_by_its_name(
    project: Project, declared: psycopg.Connection[Any]
) -> None:
    """As with `schedule()`."""
    project.handlers(CODE)
    for name in ("Ada", "Grace"):
        ended = project.run(
            "jobs", "add", "extra", "greet", "--every", "1h", "--args", f'{{"name": "{name}"}}'
        )
        assert ended.returncode == 0
    ended = project.run("jobs", "add", "extra", "greet", "--every", "1h", "--args", '{"nme": 1}')
    assert "'greet' does not take these arguments" in the_line(ended)
    with Engine(project.url, greet) as engine:
        [done] = engine.run_due()
    assert done.to == "succeeded"
    assert value(declared, "select args from poller.run where job = 'extra'") == {"name": "Grace"}


WRONG_ADD: dict[str, tuple[list[str], str]] = {
    "no schedule": (["x", "greet"], "give one of --cron, --every, --delay and --at"),
    "two schedules": (["x", "greet", "--cron", "@daily", "--every", "5m"], "give one of"),
    "no expression": (["x", "greet", "--cron", "0 0 31 2 *"], "31"),
    "a rate for a time of day": (["x", "greet", "--cron", "@every 5m"], "it is a fixed rate or delay"),
    "no rate": (["x", "greet", "--every", "soon"], "'soon' is not a duration"),
    "no delay": (["x", "greet", "--delay", "0s"], "more than 0s"),
    "no time": (["x", "greet", "--at", "tomorrow"], "--at: 'tomorrow' is not a time"),
    "no zone": (["x", "greet", "--cron", "@daily", "--tz", "Mars"], "unknown time zone 'Mars'"),
    "no object": (["x", "greet", "--every", "5m", "--args", "[1]"], "'[1]' is not a JSON object"),
    "no JSON": (["x", "greet", "--every", "5m", "--args", "name=1"], "is not a JSON object"),
    "no such job": (["x", "gret", "--every", "5m"], "there is no job 'gret'; did you mean 'greet'?"),
    "a declared job's name": (["clean", "greet", "--every", "5m"], "'clean' is the name of a declared job"),
    "a name missing": (["x"], "Missing argument 'JOB'"),
}


@pytest.fixture(scope="module")
def unchanged(server: str, template: str) -> Iterator[str]:
    """A database with the jobs, the same for all the tests that change nothing."""
    with fresh_database(server, template=template) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            job_store.declare(connection, JOBS)
        yield url


@pytest.fixture
def there(
    tmp_path: Path, unchanged: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> InProcess:
    """`poller` on that database, run in this process."""
    return InProcess(tmp_path, unchanged, monkeypatch, capsys)


@pytest.mark.parametrize(("arguments", "said"), WRONG_ADD.values(), ids=WRONG_ADD)
def test_what_cannot_be_added_is_one_line(there: InProcess, arguments: list[str], said: str) -> None:
    """Before anything is written."""
    assert said in the_line(there.run("jobs", "add", *arguments))
    assert len(objects(there.run("jobs", "--json"))) == len(JOBS)


def test_options_before_add_are_not_lost(here: InProcess) -> None:
    """They would be those of the listing."""
    line = the_line(here.run("jobs", "--database", here.url, "add", "x", "y", "--every", "5m"))
    assert "--database must come after add, not before it" in line


def test_remove_takes_a_schedule_and_what_waits_of_it(
    here: InProcess, declared: psycopg.Connection[Any]
) -> None:
    """What runs goes on, and what has run stays in the listing of runs."""
    schedule(declared, "greet", when="@after 5m", name="extra")
    for status in ("succeeded", "pending", "running"):
        enter(declared, "extra", status, f"now() - interval '{len(status)} hours'")
    ended = here.run("jobs", "remove", "extra")
    assert (ended.returncode, ended.stdout) == (
        0, "removed extra; cancelled 1 run that waited; 1 run in progress will finish\n"
    )  # fmt: skip
    assert [status for _, status in statuses(declared)] == ["succeeded", "cancelled", "running"]
    assert "extra" not in by_name(here)
    assert len(objects(here.run("runs", "extra", "--json"))) == 3


def test_remove_refuses_what_a_program_declares(here: InProcess, declared: psycopg.Connection[Any]) -> None:
    """And says of a name that nothing has it."""
    assert "clean is declared by a program" in the_line(here.run("jobs", "remove", "clean"))
    assert "did you mean 'clean'" in the_line(here.run("jobs", "remove", "claen"), status=1)
    assert value(declared, "select count(*) from poller.job") == len(JOBS)


# --- trigger ------------------------------------------------------------------------------------------


def test_trigger_enters_a_run_for_now(here: InProcess, declared: psycopg.Connection[Any]) -> None:
    """And wakes the workers."""
    declared.execute("listen poller")
    ended = here.run("trigger", "clean")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "triggered run 1 of clean\n", "")
    assert len(list(declared.notifies(timeout=5, stop_after=1))) == 1
    question = "select function, status, args, poller.now() - planned_at < '1 minute' from poller.run"
    assert declared.execute(question).fetchone() == ("clean", "pending", {}, True)


def test_a_triggered_run_has_the_jobs_arguments_or_those_given(
    here: InProcess, declared: psycopg.Connection[Any]
) -> None:
    """Of a schedule made at run time, those it was made with."""
    schedule(declared, greet, when="@every 1h", name="extra", args={"name": "Ada"})
    assert here.run("trigger", "extra").returncode == 0
    assert here.run("trigger", "extra", "--args", "{}").returncode == 0
    assert here.run("trigger", "greet", "--args", '{"name": "Grace"}').returncode == 0
    assert declared.execute("select job, function, args from poller.run order by id").fetchall() == [
        ("extra", "greet", {"name": "Ada"}),
        ("extra", "greet", {}),
        ("greet", "greet", {"name": "Grace"}),
    ]


def test_a_run_that_replaces_makes_way_for_itself(here: InProcess, declared: psycopg.Connection[Any]) -> None:
    """What waits is cancelled, what runs is asked to stop; of other jobs it is let be."""
    enter(declared, "alone", "running", "now() - interval '1 hour'")
    enter(declared, "alone", "pending", "now() - interval '1 minute'")
    enter(declared, "greet", "pending", "now() - interval '1 minute'")
    assert here.run("trigger", "alone").returncode == 0
    assert here.run("trigger", "greet").returncode == 0
    assert statuses(declared) == [
        ("alone", "running"), ("alone", "cancelled"), ("greet", "pending"), ("alone", "pending"), ("greet", "pending")
    ]  # fmt: skip
    assert value(
        declared, "select array_agg(id order by id) from poller.run where cancel_at is not null"
    ) == [1, 2]


def test_a_job_of_the_package_that_nobody_has_declared_is_declared(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """So that what has just been written can be tried at once."""
    project.handlers(CODE)
    assert project.run("trigger", "greet", "--args", '{"name": "Ada"}').returncode == 0
    assert db.execute("select name, declared from poller.job").fetchall() == [("greet", True)]
    assert statuses(db) == [("greet", "pending")]


def test_a_run_of_a_paused_job_waits(here: InProcess, declared: psycopg.Connection[Any]) -> None:
    """It is entered all the same, and the answer says so."""
    here.run("pause", "greet")
    told = here.run("trigger", "greet").stdout
    assert told == "triggered run 1 of greet; greet is paused: the run waits until poller resume\n"


def test_trigger_refuses_what_cannot_run(project: Project, declared: psycopg.Connection[Any]) -> None:
    """An unknown job is the answer no, wrong arguments are wrong use; nothing is entered."""
    line = the_line(project.run("trigger", "cleen"), status=1)
    assert line == "there is no job 'cleen'; did you mean 'clean'?"
    assert "known: alone, clean, greet," in the_line(project.run("trigger", "xyzzy"), status=1)
    project.handlers(CODE)
    assert "'clean' does not take" in the_line(project.run("trigger", "clean", "--args", '{"x": 1}'))
    assert "is not a JSON object" in the_line(project.run("trigger", "clean", "--args", "1"))
    assert statuses(declared) == []


def test_on_an_empty_database_it_says_how_jobs_come_there(here: InProcess) -> None:
    """By a program that declares them."""
    assert "no program that declares jobs has run on this database yet" in the_line(
        here.run("trigger", "clean"), status=1
    )


# --- pause and resume ---------------------------------------------------------------------------------


def test_the_listing_says_when_a_pause_ends(here: InProcess, declared: psycopg.Connection[Any]) -> None:
    """To people and programs; of one that is resumed by hand it says nothing, nor of a job that is not paused."""
    here.run("pause", "greet", "--for", "1h")
    here.run("pause", "report")
    shown = here.run("jobs").stdout.splitlines()
    assert [line for line in shown if line.endswith(("paused, ends in 60m", "paused, ends in 59m"))]
    assert [line for line in shown if line.endswith("  paused")]
    until = {each["name"]: each["paused_until"] for each in objects(here.run("jobs", "--json"))}
    assert (
        until["greet"]
        == value(declared, "select paused_until from poller.job where name = 'greet'")
        .astimezone(UTC)
        .isoformat()
    )
    assert until["report"] is None
    here.run("resume", "greet")
    assert not any(each["paused_until"] for each in objects(here.run("jobs", "--json")))


def test_a_paused_job_goes_on_from_where_it_is_resumed(
    here: InProcess, declared: psycopg.Connection[Any]
) -> None:
    """Slots that came meanwhile are not made up for, whatever the misfire policy."""

    @fixed_rate("1h", misfire="all", grace="10d")
    def hourly() -> None: ...

    job_store.declare(declared, [hourly])
    with Engine(here.url, hourly) as engine:
        engine.run_due()
        assert (
            here.run("pause", "hourly").stdout == "paused hourly: nothing of it starts until poller resume\n"
        )
        engine.advance("3d")
        engine.run_due()
        assert statuses(declared) == [("hourly", "succeeded")]
        move(declared, "3d")
        assert here.run("resume", "hourly").stdout.startswith("resumed hourly: its next run is at ")
        engine.run_due()
        assert statuses(declared) == [("hourly", "succeeded")]
        engine.advance("61m")
        engine.run_due()
    assert statuses(declared) == [("hourly", "succeeded")] * 2


def move(db: psycopg.Connection[Any], days: str) -> None:
    """Move the clock for all sessions that are opened from now on."""
    db.execute(f"""alter database "{db.info.dbname}" set poller.clock_offset = '{days}'""")


def test_what_waits_of_a_paused_job_starts_when_it_is_resumed(
    here: InProcess, declared: psycopg.Connection[Any]
) -> None:
    """And a fixed delay is due."""
    here.run("pause", "greet")
    here.run("trigger", "greet")
    here.run("pause", "sync")
    with Engine(here.url, greet, sync) as engine:
        engine.run_due()
        assert statuses(declared) == [("greet", "pending")]
        assert here.run("resume", "greet").stdout == "resumed greet: 1 run is due\n"
        assert here.run("resume", "sync").stdout == "resumed sync: it is due\n"
        engine.run_due()
    assert statuses(declared) == [("greet", "succeeded"), ("sync", "succeeded")]


def test_a_one_off_that_was_paused_over_its_time_runs_once_it_is_resumed(
    here: InProcess, declared: psycopg.Connection[Any]
) -> None:
    """It is never skipped because it is late; one that has run does not run again."""
    now = value(declared, "select poller.now()")
    schedule(declared, "greet", at=now + timedelta(days=1), name="party")
    here.run("pause", "party")
    move(declared, "2d")
    with Engine(here.url, greet) as engine:
        engine.advance("2d")
        assert engine.run_due() == []
        assert here.run("resume", "party").stdout == "resumed party: it is due\n"
        engine.run_due()
        here.run("pause", "party")
        told = here.run("resume", "party").stdout
        engine.run_due()
    assert statuses(declared) == [("party", "succeeded")]
    assert told == "resumed party: it has no more slots; run it now with: poller trigger\n"


def test_a_one_off_runs_once_a_pause_over_its_time_has_ended(
    here: InProcess, declared: psycopg.Connection[Any]
) -> None:
    """Of a pause for a while, which a planner ends."""
    schedule(
        declared, "greet", at=value(declared, "select poller.now()") + timedelta(minutes=1), name="party"
    )
    here.run("pause", "party", "--for", "5m")
    with Engine(here.url, greet) as engine:
        engine.advance("2m")
        assert engine.run_due() == []
        engine.advance("4m")
        assert [each.became for each in engine.run_due()] == ["moved"]
    assert statuses(declared) == [("party", "succeeded")]


def test_pause_and_resume_may_be_repeated(here: InProcess, declared: psycopg.Connection[Any]) -> None:
    """They say that there was nothing to do; a pause keeps its time, a resume the plan."""
    enter(declared, "clean", "running")
    assert here.run("resume", "clean").stdout == "clean is not paused\n"
    assert here.run("pause", "clean").stdout.endswith("; 1 run is in progress and will finish\n")
    before = value(declared, "select paused_at from poller.job where name = 'clean'")
    ended = here.run("pause", "clean")
    assert (ended.returncode, ended.stdout) == (
        0,
        "clean is already paused; resume it with: poller resume\n",
    )
    assert value(declared, "select paused_at from poller.job where name = 'clean'") == before


def test_jobs_without_slots_say_what_starts_them(here: InProcess, declared: psycopg.Connection[Any]) -> None:
    """Others, a person, or the end of the run in progress."""
    enter(declared, "sync", "running")
    for name in ("report", "greet", "sync"):
        here.run("pause", name)
    assert here.run("resume", "report").stdout == "resumed report: it runs after clean, sync\n"
    assert here.run("resume", "greet").stdout == "resumed greet: it runs by hand: poller trigger\n"
    assert here.run("resume", "sync").stdout == "resumed sync: it follows its run in progress\n"


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_a_name_that_nothing_has_is_refused(
    here: InProcess, declared: psycopg.Connection[Any], command: str
) -> None:
    """With the names that there are, jobs and handlers; runs are paused by their job's name."""
    known(declared, "public.tenants", "pending")
    for name in ("tenants:normal", "a.b.c", "x", "poller.run", "poller.run:clean"):
        line = the_line(here.run(command, name), status=1)
        assert line.startswith(f"no job or handler is named '{name}'; known: ")
        assert "public.tenants:pending" in line
        assert "clean" in line


# --- beside a fleet -----------------------------------------------------------------------------------


def test_a_running_fleet_does_what_it_is_told(
    project: Project, here: InProcess, db: psycopg.Connection[Any]
) -> None:
    """Schedules added, runs triggered, cancelled and shown, from another process."""
    project.handlers(
        textwrap.dedent("""
        import time
        from poller import Run, job

        @job()
        def greet(run: Run, name: str):
            print("hello", name)
            run.progress(1, 4)
            while name == "for ever" and not run.cancelled:
                time.sleep(0.01)
        """)
    )
    fleet = project.start("run")
    wait_until(
        "the job is declared", lambda: value(db, "select count(*) from poller.job where name = 'greet'")
    )

    def run_of(job: str) -> dict[str, Any]:
        found = objects(here.run("runs", job, "--json"))
        return found[0] if found else {}

    assert (
        here.run("jobs", "add", "extra", "greet", "--every", "1h", "--args", '{"name": "Ada"}').returncode
        == 0
    )
    wait_until("the schedule runs", lambda: run_of("extra").get("status") == "succeeded")
    assert here.run("logs", str(run_of("extra")["id"])).stdout == "hello Ada\n"

    number = here.run("trigger", "greet", "--args", '{"name": "for ever"}').stdout.split()[2]
    wait_until("it prints while it runs", lambda: "hello for ever" in here.run("logs", number).stdout)
    assert "25%" in here.run("runs", "greet").stdout
    assert here.run("cancel", number).stdout == f"asked run {number} of greet to stop\n"
    wait_until("it has stopped", lambda: run_of("greet")["status"] == "cancelled")
    assert "has ended already: cancelled" in the_line(here.run("cancel", number), status=1)
    assert "Traceback" not in fleet.log


# --- values that no program can read -------------------------------------------------------------------


UNREADABLE = {
    "starts_at": "starts_at = 'infinity'",
    "ends_at": "ends_at = '0044-01-01 BC'",
    "args": """args = ('{"a": ' || repeat('[', 3000) || repeat(']', 3000) || '}')::jsonb""",
    "tz": "tz = 'Mars/Base', next_at = null",
}


@pytest.mark.fault("F64")
@pytest.mark.parametrize("broken", UNREADABLE.values(), ids=UNREADABLE)
def test_no_listing_and_no_order_fails_for_what_a_jobs_row_holds(
    here: InProcess, declared: psycopg.Connection[Any], broken: str
) -> None:
    """Whatever it is, the others are listed, and the job itself can be held, let go on, run and removed."""
    schedule(declared, greet, when="0 3 * * *", name="bad", args={"name": "x"})
    declared.execute("alter table poller.job drop constraint readable_times")
    declared.execute(f"update poller.job set {broken} where name = 'bad'".encode())
    enter(declared, "bad")
    declared.execute("alter table poller.run drop constraint readable_times")
    declared.execute("update poller.run set planned_at = 'infinity' where job = 'bad'")

    assert {"bad", "clean", "sync"} < set(by_name(here))
    for order in (
        ["jobs"],
        ["runs"],
        ["runs", "bad", "--json"],
        ["pause", "bad"],
        ["resume", "bad"],
        ["pause", "clean"],
        ["trigger", "bad", "--args", '{"name": "y"}'],
        ["jobs", "remove", "bad"],
    ):
        ended = here.run(*order)
        assert ended.returncode == 0, (order, ended)
        assert "went away" not in ended.stderr


def test_a_page_of_jobs_is_shown_and_it_is_said_that_there_are_more(
    here: InProcess, declared: psycopg.Connection[Any]
) -> None:
    """A hundred by their names, or as many as one asks for; as JSON all of them."""
    declared.execute(
        "insert into poller.job (name, function, schedule, declared)"
        " select 'line ' || lpad(n::text, 4, '0'), 'greet', '0 3 * * *', false from generate_series(1, 300) as n"
    )
    ended = here.run("jobs", "--limit", "7")
    assert len(ended.stdout.splitlines()) == 1 + 7
    assert "only 7 are shown; there are more" in ended.stderr
    assert len(here.run("jobs").stdout.splitlines()) == 1 + 100
    assert len(by_name(here)) == 300 + len(JOBS)
