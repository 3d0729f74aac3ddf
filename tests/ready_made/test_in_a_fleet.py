"""Ready-made jobs in a real fleet: purges, commands, requests and poller's own housekeeping."""

from __future__ import annotations

import os
import re
import signal
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from psycopg.rows import class_row

from tests.command_line import hold, known, value
from tests.commands import is_alive
from tests.harness import wait_until, workers_of
from tests.maintained import keys, make_audit
from tests.website import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.harness import Process, Project


class Seen(NamedTuple):
    """A run as the database has it."""

    status: str
    attempt: int
    error: str | None
    output: str | None
    done: float | None


def start(project: Project, code: str, *options: str) -> Process:
    """Start a fleet of one worker with these jobs."""
    project.handlers("from poller import fixed_rate, http, purge, shell\n" + textwrap.dedent(code))
    return project.start("run", "--poll", "100ms", *options)


def plan(db: psycopg.Connection[Any], job: str) -> int:
    """Plan a run of a job for now; return its id."""
    question = "insert into poller.run (job, function) values (%s, %s) returning id"
    return int(value(db, question, job, job))


def look(db: psycopg.Connection[Any], run: int) -> Seen:
    """Return a run as it stands."""
    with db.cursor(row_factory=class_row(Seen)) as cursor:
        question = "select status, attempt, error, output, done from poller.run where id = %s"
        found = cursor.execute(question, [run]).fetchone()
    assert found is not None
    return found


def until(db: psycopg.Connection[Any], run: int, holds: Callable[[Seen], object]) -> Seen:
    """Return a run once it is so."""
    wait_until(f"run {run} is so", lambda: holds(look(db, run)))
    return look(db, run)


def ended(db: psycopg.Connection[Any], run: int) -> Seen:
    """Return a run once it has ended."""
    return until(db, run, lambda seen: seen.status not in {"pending", "running"})


def cancel(db: psycopg.Connection[Any], run: int) -> None:
    """Ask for a run to stop."""
    db.execute("update poller.run set cancel_at = poller.now() where id = %s", [run])


# --- purge ----------------------------------------------------------------------------------------------

# Some seconds of work for some thousand rows.
SLOWLY = "batch=50, pause='20ms'"


def test_a_declared_purge_runs_by_its_schedule(project: Project, db: psycopg.Connection[Any]) -> None:
    """Its first run is at the start; it says what it has done."""
    make_audit(db, old=1500, young=3)
    start(project, "p = purge('audit', column='created_at', older_than='180d', schedule=fixed_rate('1h'))")
    run = wait_until("it is planned", lambda: db.execute("select id from poller.run").fetchone())[0]

    seen = ended(db, run)

    assert (seen.status, seen.attempt, seen.error, seen.done) == ("succeeded", 1, None, 1500)
    assert "deleted 1,500 rows of public.audit" in (seen.output or "")
    assert keys(db) == [1501, 1502, 1503]


def test_a_purge_whose_worker_is_killed_goes_on_where_it_stopped(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """kill -9 in the middle: the next attempt deletes the rest, and no young row."""
    make_audit(db, old=8_000, young=3)
    start(project, f"p = purge('audit', column='created_at', older_than='180d', {SLOWLY})")
    run = plan(db, "purge audit")
    until(db, run, lambda seen: (seen.done or 0) >= 500)

    [(_, worker)] = workers_of(db)
    os.kill(worker, signal.SIGKILL)

    left = value(db, "select count(*) from audit")
    assert 3 < left < 8_003
    seen = ended(db, run)
    assert (seen.status, seen.attempt) == ("succeeded", 2)
    assert (seen.done or 0) <= left
    assert keys(db) == [8_001, 8_002, 8_003]


@pytest.mark.thorough
def test_a_purge_that_is_shut_down_goes_on_in_the_next_fleet(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """It stops between two batches, and gives its run back at once."""
    make_audit(db, old=6_000, young=3)
    code = f"p = purge('audit', column='created_at', older_than='180d', {SLOWLY})"
    fleet = start(project, code, "--grace", "1s")
    run = plan(db, "purge audit")
    until(db, run, lambda seen: (seen.done or 0) >= 500)

    fleet.signal(signal.SIGTERM)
    assert fleet.wait() == 0

    left = value(db, "select count(*) from audit")
    assert left % 50 == 3
    seen = look(db, run)
    assert (seen.status, seen.attempt) == ("pending", 1)
    assert seen.error == f"stopped; deleted {6_003 - left:,} rows of public.audit"
    start(project, code)
    assert ended(db, run)[:2] == ("succeeded", 2)
    assert keys(db) == [6_001, 6_002, 6_003]


def test_a_purge_that_times_out_has_another_attempt_and_can_be_cancelled(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """A cancelled run has ended: what is deleted is gone, the rest stays."""
    make_audit(db, old=20_000)
    code = "p = purge('audit', column='created_at', older_than='180d', batch=50, pause='50ms', timeout='1s')"
    start(project, code)
    run = plan(db, "purge audit")
    seen = until(db, run, lambda seen: seen.attempt == 2 and (seen.done or 0) >= 50)
    assert seen.error == "timed out after 1.0s"

    cancel(db, run)

    seen = ended(db, run)
    assert (seen.status, seen.error) == ("cancelled", "cancelled")
    left = value(db, "select count(*) from audit")
    assert 0 < left < 20_000
    assert left % 50 == 0


# --- shell ----------------------------------------------------------------------------------------------

# A command that says something, and waits together with a grandchild in its background.
LINE = "echo begun; sleep 1000 & echo $! > child.new; mv child.new child; sleep 1000; echo never"


def child(project: Project) -> int:
    """Return the grandchild's process id, once it is there."""
    path = project.folder / "child"
    return int(wait_until("the grandchild runs", lambda: path.exists() and path.read_text()))


def test_a_timeout_ends_a_command_with_its_children(project: Project, db: psycopg.Connection[Any]) -> None:
    """And the run says that it timed out, and what it printed."""
    start(project, f"s = shell('long', {LINE!r}, timeout='2s')")
    run = plan(db, "long")
    pid = child(project)
    assert is_alive(pid)

    seen = ended(db, run)

    assert (seen.status, seen.error, seen.output) == ("failed", "timed out after 2.0s", "begun\n")
    wait_until("the grandchild is gone", lambda: not is_alive(pid))


@pytest.mark.thorough
def test_a_run_that_timed_out_is_over_when_its_command_is(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """A command that takes its time to end is not joined by another attempt, and its last words are kept."""
    start(
        project,
        """
        stubborn = shell(
            "stubborn", "trap 'echo cleaning up' TERM; while :; do sleep 0.1; done", timeout="1s", attempts=2
        )
        """,
    )
    run = plan(db, "stubborn")
    second = ended(db, run)
    took = value(
        db, "select extract(epoch from finished_at - started_at)::float8 from poller.run where id = %s", run
    )
    assert (second.status, second.attempt, second.error) == ("failed", 2, "timed out after 1.0s")
    assert "cleaning up" in (second.output or "")
    assert took > 1 + 3 - 0.5, "the second attempt was over when its command was killed"


def test_a_cancel_ends_a_command_with_its_children(project: Project, db: psycopg.Connection[Any]) -> None:
    """Whoever asks for it; while it runs, its output can be read."""
    start(project, f"s = shell('long', {LINE!r}, attempts=3)")
    run = plan(db, "long")
    pid = child(project)
    until(db, run, lambda seen: seen.output == "begun\n" and seen.status == "running")

    cancel(db, run)

    seen = ended(db, run)
    assert (seen.status, seen.attempt, seen.error) == ("cancelled", 1, "cancelled")
    wait_until("the grandchild is gone", lambda: not is_alive(pid))


@pytest.mark.parametrize(("stubborn", "grace"), [(False, "2s"), (True, "1s")])
def test_a_shutdown_ends_a_command_with_its_children(
    project: Project, db: psycopg.Connection[Any], *, stubborn: bool, grace: str
) -> None:
    """Within the grace time if it lets itself be ended, and soon after if not; the run was interrupted."""
    line = f"trap '' TERM; {LINE}" if stubborn else LINE
    fleet = start(project, f"s = shell('long', {line!r})", "--grace", grace)
    run = plan(db, "long")
    pid = child(project)

    fleet.signal(signal.SIGTERM)

    assert fleet.wait() == 0
    seen = look(db, run)
    assert (seen.status, seen.attempt, seen.output) == ("failed", 1, "begun\n")
    assert (seen.error or "").startswith("interrupted: ")
    wait_until("the grandchild is gone", lambda: not is_alive(pid))


def test_the_death_of_its_worker_ends_a_command_with_its_children(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """kill -9: its warden lives, and sees it."""
    start(project, f"s = shell('long', {LINE!r})")
    run = plan(db, "long")
    pid = child(project)

    [(_, worker)] = workers_of(db)
    os.kill(worker, signal.SIGKILL)

    wait_until("the grandchild is gone", lambda: not is_alive(pid))
    seen = ended(db, run)
    assert (seen.status, seen.error) == ("failed", "the worker died while it held the row")


def test_what_a_command_is_given_and_how_it_fails_are_in_its_run(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Its arguments come in the environment; both outputs are kept."""
    line = 'echo "$POLLER_JOB $POLLER_RUN_ID $POLLER_ATTEMPT $POLLER_ARG_WHO"; echo no disk >&2; exit 3'
    start(project, f"s = shell('odd', {line!r})")
    question = "insert into poller.run (job, function, args) values ('odd', 'odd', '{\"who\": \"x y\"}')"
    run = value(db, question + " returning id")

    seen = ended(db, run)

    assert (seen.status, seen.error) == ("failed", "exit status 3: no disk")
    assert sorted((seen.output or "").splitlines()) == ["no disk", f"odd {run} 1 x y"]


# --- http -----------------------------------------------------------------------------------------------


def test_requests_succeed_or_fail_with_the_reason(project: Project, db: psycopg.Connection[Any]) -> None:
    """What the server answered is in the output; what was wrong with it is the error."""
    with serving() as site:
        code = f"""
        good = http("good", {site.at("/good", body="warm")!r}, schedule=fixed_rate("1h"))
        bad = http("bad", {site.at("/bad", 503, "try later")!r}, schedule=fixed_rate("1h"))
        gone = http("gone", "http://127.0.0.1:1/", schedule=fixed_rate("1h"))
        away = http("away", {site.redirect("/away", "http://169.254.169.254/")!r}, redirects="any",
                    schedule=fixed_rate("1h"), attempts=3)
        """
        start(project, code)
        question = "select job, id from poller.run where job in ('good', 'bad', 'gone', 'away')"
        wait_until("all are planned", lambda: len(db.execute(question).fetchall()) == 4)
        runs = {job: ended(db, run) for job, run in db.execute(question).fetchall()}

    good, bad, gone, away = (runs[job] for job in ("good", "bad", "gone", "away"))
    assert (good.status, good.error) == ("succeeded", None)
    assert (good.output or "").endswith("\nwarm\n")
    assert bad.status == gone.status == away.status == "failed"
    assert re.fullmatch(r"GET http://127.0.0.1:\d+: 503 in \d\.\ds, expected 200", bad.error or "")
    assert "try later" in (bad.output or "")
    assert (gone.error or "").startswith("GET http://127.0.0.1:1: ")
    assert away.attempt == 1  # refused for good
    assert (away.error or "").startswith("refused: 169.254.169.254 is a link-local address")


# --- housekeeping ---------------------------------------------------------------------------------------


def test_housekeeping_purges_what_poller_has_recorded(project: Project, db: psycopg.Connection[Any]) -> None:
    """History and counts of 30 days ago, runs by their job's `keep`, and the dead who hold nothing."""
    handler = known(db, "tenants", "pending")  # nobody's here, so that its lease is not taken back
    holding = hold(db, handler, "1")
    for at in ("31 days", "29 days"):
        db.execute(
            "insert into poller.event (handler_id, key, verdict, from_status, attempt, lease, at)"
            " values (1, %s, 'moved', 'a', 1, gen_random_uuid(), now() - %s::interval)",
            [at, at],
        )
        db.execute(
            "insert into poller.move (handler_id, from_status, to_status, worker_id, lease, keys, seconds, at)"
            " values (1, 'a', 'b', 1, gen_random_uuid(), array['together ' || %s], '{0.1}', now() - %s::interval)",
            [at, at],
        )
        db.execute(
            "insert into poller.tally (minute, handler_id, worker_id) values (now() - %s::interval, 1, 1)",
            [at],
        )
    for died in ("2 days", "1 hour", None):
        db.execute(
            "insert into poller.worker (supervisor, host, pid, slots, handlers, lease, died_at)"
            " values (gen_random_uuid(), %s, 1, 8, '{}', '1 hour', now() - %s::interval)",
            [died or "alive", died],
        )
    db.execute("update poller.worker set died_at = now() - interval '9 days' where id = %s", [holding])
    for at in ("2 days", "1 hour"):
        db.execute("insert into poller.turn (name, at) values (%s, now() - %s::interval)", [at, at])
        db.execute("insert into poller.watched values (%s, false, now() - %s::interval)", [at, at])
    db.execute("insert into poller.job (name, function, declared) values ('rare', 'rare', true)")
    for job, at in (
        ("brief", "2 hours"),
        ("brief", "1 minute"),
        ("other", "31 days"),
        ("other", "29 days"),
        ("rare", "50 days"),
        ("rare", "40 days"),
    ):
        db.execute(
            "insert into poller.run (job, function, planned_at, finished_at, status)"
            " values (%(job)s, %(job)s, now() - %(at)s::interval, now() - %(at)s::interval, 'succeeded')",
            {"job": job, "at": at},
        )
    start(project, "s = shell('brief', 'true', keep='1h')")
    wait_until("the job is declared", lambda: value(db, "select count(*) from poller.job") == 3)
    wait_until("the worker is there", lambda: len(workers_of(db)) == 2)
    run = plan(db, "poller housekeeping")

    seen = ended(db, run)

    assert (seen.status, seen.error) == ("succeeded", None)
    kept = db.execute("select key from poller.history order by key").fetchall()
    assert kept == [("29 days",), ("together 29 days",)]
    assert value(db, "select count(*) from poller.tally where minute < now() - interval '1 day'") == 1
    left = (
        "select job, extract(days from now() - planned_at)::int from poller.run where id <> %s order by job"
    )
    assert db.execute(left, [run]).fetchall() == [("brief", 0), ("other", 29), ("rare", 40)]
    assert db.execute("select name from poller.turn").fetchall() == [("1 hour",)]
    assert value(db, "select count(*) from poller.watched where function in ('2 days', '1 hour')") == 1
    hosts = db.execute("select host from poller.worker where host <> 'elsewhere' and pid = 1 order by host")
    assert hosts.fetchall() == [("1 hour",), ("alive",)]
    assert value(db, "select count(*) from poller.worker where id = %s", holding) == 1
    for said in (
        "deleted 1 row of poller.event\n",
        "deleted 1 row of poller.move\n",
        "deleted 1 row of poller.tally\n",
        "deleted 3 rows of poller.run\n",
        "deleted 1 row of poller.worker; kept 1 row that claim_worker_id_fkey needs\n",
    ):
        assert said in (seen.output or "")


WATCHERS = """
from poller import age_out, cron, purge

audit = purge("policy_audit", column="created_at", older_than="180d", schedule=cron("0 3 * * *"))
inactive = age_out("users", column="login_at", older_than="90d", status="active", to="disabled",
                   schedule=cron("30 3 * * *"))
"""


def test_two_watchers_take_less_than_ten_lines(project: Project, db: psycopg.Connection[Any]) -> None:
    """Old audit rows go; people who have not been seen for long are disabled. Nothing else is touched."""
    assert len(WATCHERS.strip().splitlines()) < 10
    db.execute("""
        create table policy_audit (id int primary key, created_at timestamptz);
        insert into policy_audit select i, now() - make_interval(days => i) from generate_series(100, 300) as i;
        create table users (id int primary key, login_at timestamptz, status text);
        insert into users select i, now() - make_interval(days => i),
               case when i % 10 = 0 then 'banned' else 'active' end from generate_series(1, 200) as i""")
    project.handlers(WATCHERS)
    project.start("run", "--poll", "100ms")
    planned = "select to_regclass('poller.job') is not null and count(*) = 2 from poller.job where name ~ 'audit|users'"
    wait_until("both are known", lambda: value(db, planned))
    for job in ("purge policy_audit", "age out users"):
        assert project.run("trigger", job).returncode == 0
    done = "select count(*) from poller.run where status = 'succeeded' and job ~ 'policy_audit|users'"
    wait_until("both have run", lambda: value(db, done) >= 2)
    assert value(db, "select array_agg(id order by id) from policy_audit") == list(range(100, 180))
    disabled = [number for number in range(90, 201) if number % 10]
    assert value(db, "select array_agg(id order by id) from users where status = 'disabled'") == disabled


def test_what_a_purge_has_done_is_kept_with_its_run_whatever_the_logs_level(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """The counts are the run's output."""
    make_audit(db, old=3)
    start(
        project,
        "p = purge('audit', column='created_at', older_than='180d', name='p')",
        "--log-level",
        "warning",
    )
    seen = ended(db, plan(db, "p"))
    assert seen.status == "succeeded"
    assert "deleted 3 rows of public.audit" in (seen.output or "")
