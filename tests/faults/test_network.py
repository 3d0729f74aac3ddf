"""What a network does: connections that break, that go silent, and that break in the midst of a COMMIT."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest

from poller.db.connection import DatabaseLocation, reachable
from poller.errors import DatabaseError
from tests.faults.audit import audit, began, leased, make_rows, transactional, wait_until_done
from tests.faults.proxy import Proxy
from tests.harness import Project, wait_until, workers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def wire(url: str) -> Iterator[Proxy]:
    with Proxy(url) as proxy:
        yield proxy


@pytest.fixture
def project(tmp_path: Path, wire: Proxy) -> Iterator[Project]:
    """A project whose database is at the other end of the wire."""
    with Project(tmp_path, wire.url) as project:
        yield project


@pytest.mark.fault("F31")
@pytest.mark.parametrize(
    ("handlers", "swallowed"), [(leased, "swallows_replies"), (transactional, "swallows_commits")]
)
def test_g5_commits_whose_replies_are_lost_count_once(
    project: Project, db: psycopg.Connection[Any], wire: Proxy, handlers: Callable[[], str], swallowed: str
) -> None:
    """The commit stands, and whoever asked for it gets an error: nothing is done twice, nothing is left."""
    make_rows(db, 500)
    project.handlers(handlers())
    project.start("run", "--workers", "2", "--lease", "5s")
    wait_until("it works", lambda: len(began(project)) > 10)
    setattr(wire, swallowed, 5)
    wait_until("commits were swallowed", lambda: _add(db) and getattr(wire, swallowed) == 0)
    wait_until_done(db)
    audit(project, db, effects=handlers is transactional)


def _add(db: psycopg.Connection[Any]) -> bool:
    db.execute("insert into thing select i + (select max(id) from thing) from generate_series(1, 20) as i")
    time.sleep(0.05)
    return True


@pytest.mark.fault("F7")
def test_g1_connections_that_break_again_and_again_lose_nothing(
    project: Project, db: psycopg.Connection[Any], wire: Proxy
) -> None:
    """All of them at once, in whatever they were doing."""
    make_rows(db, 300)
    project.handlers(transactional(0.01))
    project.start("run", "--workers", "2", "--lease", "5s")
    for count in (20, 60, 100, 140):
        wait_until(f"{count} have begun", lambda count=count: len(began(project)) >= count)
        wire.cut()
    wait_until_done(db)
    audit(project, db, effects=True)


@pytest.mark.fault("F7")
def test_g2_a_worker_whose_sessions_end_keeps_its_rows(project: Project, db: psycopg.Connection[Any]) -> None:
    """The lock ends with its session; it is taken anew at once, long before the next beat, and before anybody sweeps."""
    make_rows(db, 1)
    project.handlers(leased(3.0))
    project.start("run", "--workers", "1", "--lease", "60s")
    wait_until("it works", lambda: len(began(project)) == 1)
    before = workers_of(db)
    for _ in range(5):
        wait_until("it holds its lock", lambda: db.execute("select from poller.session").rowcount == 1)
        wait_until("its sessions end", lambda: _terminate(db, "poller heartbeat"))
        _terminate(db, "poller claimer")
    wait_until_done(db)
    assert workers_of(db) == before
    assert len(began(project)) == 1


@pytest.mark.fault("F7", "F39")
def test_g3_a_worker_behind_a_silent_wire_is_swept_and_changes_nothing_afterwards(
    project: Project, db: psycopg.Connection[Any], wire: Proxy, tmp_path: Path, url: str
) -> None:
    """No packet comes through and nobody is told; a fleet elsewhere goes on within the lease."""
    make_rows(db, 200)
    project.handlers(leased(0.02))
    project.start("run", "--workers", "1", "--lease", "2s")
    wait_until("it works", lambda: len(began(project)) > 10)
    [(worker, _)] = workers_of(db)
    wire.forwards = False
    elsewhere = Project(tmp_path, url)
    with elsewhere:
        elsewhere.start("run", "--workers", "1", "--lease", "2s")
        wait_until(
            "it is declared dead", lambda: worker not in {each for each, _ in workers_of(db)}, timeout=25
        )
        wait_until_done(db)
        before = db.execute("select * from poller.history order by at, key").fetchall()
        wire.forwards = True
        wire.cut()
        wait_until("it has joined anew", lambda: len(workers_of(db)) == 2)
        assert db.execute("select * from poller.history order by at, key").fetchall() == before
    audit(project, db)


@pytest.mark.alone
@pytest.mark.fault("F39")
def test_a_stop_is_bounded_behind_a_silent_wire(
    project: Project, db: psycopg.Connection[Any], wire: Proxy
) -> None:
    """Nothing can be written any more: it ends within the grace time and two seconds, and says what is left."""
    make_rows(db, 500)
    project.handlers(leased(0.02))
    fleet = project.start("run", "--workers", "2", "--grace", "1s")
    wait_until("it works", lambda: len(began(project)) > 10)
    pids = [pid for _, pid in workers_of(db)]
    wire.forwards = False
    began_at = time.monotonic()
    fleet.signal(signal.SIGTERM)
    fleet.wait(20)
    took = time.monotonic() - began_at
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert "Traceback" not in fleet.log
    assert took < 1 + 2, f"it took {took:.1f}s"


@pytest.mark.fault("F39")
def test_a_stop_is_bounded_while_a_fleet_begins_behind_a_silent_wire(
    project: Project, db: psycopg.Connection[Any], wire: Proxy, url: str
) -> None:
    """Its first counts wait for a lock when the wire goes silent: it has no workers yet, and ends as soon as ever."""
    make_rows(db, 10)
    project.handlers(leased())
    waits = (
        "select from pg_stat_activity where application_name = 'poller watcher' and wait_event_type = 'Lock'"
    )
    with psycopg.connect(url) as holder:
        holder.execute("lock table poller.tally in access exclusive mode")
        fleet = project.start("run", "--grace", "1s")
        wait_until("it takes its first counts", lambda: db.execute(waits).rowcount)
        wire.forwards = False
    began_at = time.monotonic()
    fleet.signal(signal.SIGTERM)
    fleet.wait(20)
    assert time.monotonic() - began_at < 1 + 2 + 5, "with others beside it"
    assert fleet.popen.returncode == 0
    said = (
        "stopped before anything began",
        "the database does not answer",
    )  # the latter, if it swept already
    assert any(each in fleet.log for each in said), fleet.log
    assert "Traceback" not in fleet.log
    assert began(project) == []


def _terminate(db: psycopg.Connection[Any], name: str) -> int:
    """End the sessions whose names begin so; return how many there were."""
    return db.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where starts_with(application_name, %s) and datname = current_database()",
        [name],
    ).rowcount


@pytest.mark.fault("F8")
def test_g1_a_listener_that_went_deaf_misses_nothing_for_longer_than_a_poll(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Its session is ended behind its back, and a row comes: the poll finds it; then it hears again."""
    make_rows(db, 0)
    db.execute("create trigger w after insert on thing for each statement execute function poller.wake()")
    project.handlers(leased())
    project.start("run")
    wait_until("it is there", lambda: workers_of(db))
    for number in range(1, 4):
        wait_until("it listens", lambda: _terminate(db, "poller claimer"))
        db.execute("insert into thing values (%s)", [number])
        wait_until("it is done", lambda number=number: len(began(project)) == number, timeout=5)
    wait_until_done(db)
    audit(project, db)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def pooler(request: pytest.FixtureRequest, wire: Proxy, tmp_path: Path) -> Iterator[str]:
    """The database's URL by way of pgbouncer, in the mode that the test names."""
    if shutil.which("pgbouncer") is None:
        pytest.skip("pgbouncer is not installed here")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = urlsplit(wire.url)
    ini = tmp_path / "pgbouncer.ini"
    ini.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port} user={server.username}\n"
        f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nauth_type=any\npool_mode={request.param}\n"
        "ignore_startup_parameters=extra_float_digits,options\n"
        + ("user=nobody\n" if os.geteuid() == 0 else "")
    )
    process = subprocess.Popen(["pgbouncer", "-q", ini])
    try:
        wait_until("it answers", lambda: _answers(port))
        yield f"postgresql://{server.username}@127.0.0.1:{port}{server.path}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.fault("F12")
@pytest.mark.parametrize("pooler", ["session"], indirect=True)
def test_behind_pgbouncer_check_and_run_say_what_is_lost_and_rows_are_done_once(
    pooler: str, db: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """A worker that is killed is noticed by its lease."""
    make_rows(db, 500)
    with Project(tmp_path, pooler) as project:
        project.handlers(leased())
        checked = project.run("check")
        assert checked.returncode == 0
        assert "warning: database: connected through a pooler: " in checked.stdout
        running = project.start("run", "--workers", "2", "--lease", "3s")
        wait_until("it works", lambda: len(began(project)) > 10)
        os.kill(workers_of(db)[0][1], signal.SIGKILL)
        wait_until_done(db)
        audit(project, db)
        assert "notifications and instant crash detection are off" in running.log


@pytest.mark.fault("F68")
@pytest.mark.parametrize("pooler", ["transaction"], indirect=True)
@pytest.mark.parametrize("command", ["run --drain", "check"])
def test_g10_a_pooler_in_transaction_mode_is_refused_in_one_line(
    pooler: str, tmp_path: Path, command: str
) -> None:
    """Idle, when each connection is given the same session; nothing that poller needs of a session lasts there."""
    with Project(tmp_path, pooler) as project:
        project.handlers(leased())
        ended = project.run(*command.split())
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert "connected through a pooler in transaction mode" in line


@pytest.mark.fault("F68")
@pytest.mark.parametrize("pooler", ["transaction"], indirect=True)
def test_g10_a_busy_pooler_in_transaction_mode_is_refused_too(pooler: str) -> None:
    """Others take the session that ours has left, and give it back, again and again."""
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(psycopg.connect(pooler, prepare_threshold=None)) for _ in range(4)]
        over = threading.Event()

        def keep_busy(connection: psycopg.Connection[Any]) -> None:
            while not over.is_set():
                with connection.transaction():
                    connection.execute("select")

        pool = stack.enter_context(ThreadPoolExecutor(len(others)))
        stack.callback(over.set)
        for each in others:
            pool.submit(keep_busy, each)
        with pytest.raises(DatabaseError, match="transaction mode"):
            reachable(DatabaseLocation(pooler))
