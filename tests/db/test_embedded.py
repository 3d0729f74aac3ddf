"""The embedded Postgres: what a folder's commands may rely on. All of it is tried on the real thing."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa

from poller.db import embedded, embedded_programs
from tests.servers import Cluster, fresh_database, postmaster, query, temporary_folder
from tests.times import one_in

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
IS_ROOT = os.geteuid() == 0
START = (
    "import sys, pathlib; from poller.db import embedded; print(embedded.start(pathlib.Path(sys.argv[1])))"
)
CLOSED = 0o700


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give an empty folder with a short path; no server in it outlives the test."""
    with temporary_folder() as path:
        yield path


def command(program: str, folder: Path) -> list[str]:
    """Return the command line of a Python program that is given the folder."""
    return [sys.executable, "-c", program, str(folder)]


def test_it_is_started_on_demand_and_left_running(folder: Path) -> None:
    """The process that starts the server ends; the server goes on, and is found by the next command."""
    done = subprocess.run(command(START, folder), cwd=ROOT, capture_output=True, text=True, check=True)
    url = done.stdout.strip()

    assert query(url, "select 1") == 1
    assert embedded.running(folder) == embedded.start(folder) == url


def test_nothing_is_started_or_written_by_asking(folder: Path) -> None:
    """`running` and `stop` of a folder without a server leave it as it was."""
    assert embedded.running(folder) is None
    assert not embedded.alive(folder)
    assert not embedded.stop(folder)
    assert list(folder.iterdir()) == []


def test_commands_that_start_at_once_share_one_server(folder: Path) -> None:
    """Four processes that start at the same moment get one server, made once."""
    starts = [
        subprocess.Popen(command(START, folder), cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    urls = {start.communicate()[0] for start in starts}

    assert [start.returncode for start in starts] == [0] * 4
    assert urls == {f"{embedded.running(folder)}\n"}
    log = (folder / ".poller/postgres.log").read_text()
    assert log.count("ready to accept connections") == 1
    assert "FATAL" not in log


def test_data_survive_stop_and_start(folder: Path) -> None:
    """What was committed is there after a stop and a start, at the same URL."""
    url = embedded.start(folder)
    query(url, "create table kept as select 42 as answer")

    assert embedded.stop(folder)
    assert embedded.running(folder) is None
    assert embedded.start(folder) == url
    assert query(url, "select answer from kept") == 42


def test_stop_ends_sessions_and_is_told_apart_from_nothing_to_stop(folder: Path) -> None:
    """A stop does not wait for those who are connected; a second one finds nothing to do."""
    url = embedded.start(folder)
    with psycopg.connect(url):
        assert embedded.stop(folder)

    assert not embedded.alive(folder)
    assert not embedded.stop(folder)


def test_it_is_durable_private_and_knows_no_place(folder: Path) -> None:
    """Commits are synced, there is no TCP port, text is UTF-8 and compared alike everywhere, time is UTC."""
    url = embedded.start(folder)
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "",
        "max_connections": "200",
        "server_encoding": "UTF8",
        "TimeZone": "UTC",
    }

    assert {name: query(url, f"show {name}") for name in expected} == expected
    assert query(url, "select datlocale from pg_database where datname = 'postgres'") == "C.UTF-8"
    assert stat.S_IMODE((folder / ".poller").stat().st_mode) == CLOSED
    assert stat.S_IMODE((folder / ".poller/data").stat().st_mode) == CLOSED


def test_git_does_not_see_it(folder: Path) -> None:
    """Nothing of the server gets into a commit of the folder."""
    embedded.start(folder)

    assert (folder / ".poller/.gitignore").read_text() == "*\n"


@pytest.mark.thorough
def test_the_callers_environment_does_not_steer_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that are meant for another Postgres, and secrets, do not reach the server."""
    monkeypatch.setenv("PGPORT", "6543")
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("SECRET", "hush")

    url = embedded.start(folder)

    assert query(url, "show port") == "5432"
    query(url, "create table seen (line text)")
    query(url, "copy seen from program 'env'")
    assert query(url, "select count(*) from seen where line ~ 'hush|nowhere'") == 0


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_it_heals_after_its_postmaster_was_killed(folder: Path, *, busy: bool) -> None:
    """After a kill -9 the next start recovers, even while a backend that has noticed nothing still works."""
    url = embedded.start(folder)
    query(url, "create table kept as select 42 as answer")
    with _session(url, working=busy):
        os.kill(postmaster(folder), signal.SIGKILL)
        while embedded.running(folder):  # a signal takes its time
            time.sleep(0.001)
        assert embedded.alive(folder) or not busy

        assert embedded.start(folder) == url
        assert query(url, "select answer from kept") == 42


@contextlib.contextmanager
def _session(url: str, *, working: bool) -> Iterator[None]:
    """Keep a session open, idle or in a query of minutes that never waits, until the server ends it."""
    statement = "select count(*) from generate_series(1, 2000000000)" if working else "select 1"
    connection = psycopg.connect(url, autocommit=True)
    with psycopg.connect(url, autocommit=True) as watcher:
        thread = threading.Thread(target=_until_it_breaks, args=(connection, statement))
        thread.start()
        state = "active" if working else "idle"
        question = "select state = %s from pg_stat_activity where pid = %s and query = %s"
        while watcher.execute(question, (state, connection.info.backend_pid, statement)).fetchone() != (
            True,
        ):
            time.sleep(0.01)
    yield
    thread.join()
    connection.close()


def _until_it_breaks(connection: psycopg.Connection, statement: str) -> None:
    with contextlib.suppress(psycopg.OperationalError):
        connection.execute(statement.encode())


def test_a_process_id_that_is_in_use_again_does_not_stop_it(folder: Path) -> None:
    """The postmaster.pid of a killed server may name a living process by now, of the same account even."""
    url = embedded.start(folder)
    stale = (folder / ".poller/data/postmaster.pid").read_text()
    embedded.stop(folder, mode="immediate")
    owner = (folder / ".poller/data").stat()
    as_owner = {"user": owner.st_uid, "group": owner.st_gid} if IS_ROOT else {}
    # It ends with its input, so with this test, whatever comes.
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, **as_owner) as other:  # type: ignore[call-overload]
        lines = [str(other.pid), *stale.splitlines()[1:]]
        (folder / ".poller/data/postmaster.pid").write_text("\n".join(lines) + "\n")

        assert embedded.running(folder) is None
        assert embedded.start(folder) == url
        assert other.poll() is None


def test_a_start_that_is_killed_is_begun_again(folder: Path) -> None:
    """A kill -9 while the data are made leaves nothing that is taken for data."""
    first = subprocess.Popen(command(START, folder), cwd=ROOT)
    while not list(folder.glob(".poller/.initdb-*/PG_VERSION")):
        assert first.poll() is None
    first.kill()
    first.wait()
    assert not (folder / ".poller/data").exists()

    assert query(embedded.start(folder), "select 1") == 1
    assert list(folder.glob(".poller/.initdb-*")) == []


@pytest.mark.parametrize("name", one_in(2, ["short", "long-" * 30]), ids=["short", "long"])
def test_a_copy_of_a_folder_gets_a_server_of_its_own(folder: Path, name: str) -> None:
    """The postmaster.pid that was copied along leads neither to the other server nor to a refusal."""
    first, second = (folder / name / each for each in ("one", "two"))
    first.mkdir(parents=True)
    url = embedded.start(first)
    query(url, "create table kept as select 42 as answer")
    query(url, "checkpoint")
    subprocess.run(["/bin/cp", "-r", first, second], check=True)

    assert embedded.running(second) is None
    query(embedded.start(second), "update kept set answer = 43")

    assert query(url, "select answer from kept") == 42
    assert embedded.stop(second)
    assert query(url, "select answer from kept") == 42


def test_a_folder_that_is_moved_takes_its_server_along(folder: Path) -> None:
    """The server that runs is found at the new path, and not started twice."""
    (folder / "one").mkdir()
    embedded.start(folder / "one")
    before = postmaster(folder / "one")
    (folder / "one").rename(folder / "two")

    assert query(embedded.start(folder / "two"), "select 1") == 1
    assert postmaster(folder / "two") == before
    assert embedded.stop(folder / "two")


@pytest.mark.thorough
def test_removing_it_begins_anew(folder: Path) -> None:
    """`rm -rf .poller` is a reset, even while the server runs."""
    query(embedded.start(folder), "create table old ()")
    before = postmaster(folder)
    shutil.rmtree(folder / ".poller")

    try:
        assert query(embedded.start(folder), "select to_regclass('old')") is None
    finally:
        os.kill(before, signal.SIGQUIT)  # it would end by itself, within a minute


@pytest.mark.parametrize("name", ["long-" * 30, "a b,c:d%e?f&g#h'i\"é$(id)`id`"], ids=["long", "odd"])
def test_any_path_will_do(folder: Path, name: str) -> None:
    """Neither a path longer than a socket's nor one with odd characters confuses a reader of URLs."""
    deep = folder / name
    deep.mkdir()
    url = embedded.start(deep)

    assert query(url, "select 1") == 1
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        assert connection.scalar(sa.text("select 1")) == 1
    engine.dispose()
    sockets = Path(url.partition("host=")[2].partition("&")[0])
    assert stat.S_IMODE(sockets.stat().st_mode) == CLOSED
    assert embedded.start(deep) == url
    assert embedded.stop(deep)
    assert not sockets.exists()


def test_data_are_served_by_the_version_that_made_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older major's data go on being served by it when a newer one is shipped."""
    shipped = embedded_programs.shipped()
    older, newer = list(shipped)[-2:]
    monkeypatch.setattr(embedded_programs, "newest", lambda: shipped[older])
    if older == "16":  # it has no builtin collation provider yet
        plain = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale")
        monkeypatch.setattr(embedded, "_INITDB", plain)
    embedded.start(folder)
    embedded.stop(folder)
    monkeypatch.undo()

    assert str(query(embedded.start(folder), "show server_version")).startswith(f"{older}.")
    assert newer != older


@pytest.mark.thorough
def test_a_cluster_for_tests_outlives_stops_and_kills() -> None:
    """The tests' own server keeps data and URL over a restart, a crash and a kill, until it is destroyed."""
    cluster = Cluster()
    try:
        with fresh_database(cluster.url) as url:
            query(url, "create table kept as select 42 as answer")
            for end in (cluster.stop, partial(cluster.stop, "immediate"), cluster.kill):
                end()
                assert not embedded.alive(cluster.folder)
                cluster.start()
                assert query(url, "select answer from kept") == 42
        remaining = query(cluster.url, "select count(*) from pg_database where datname ~ 'test'")
        assert remaining == 0
    finally:
        cluster.destroy()
    assert not cluster.folder.exists()


def test_a_test_run_that_is_killed_leaves_no_server() -> None:
    """The tests' own server ends with the process that made it, however that ends."""
    program = (
        "from tests.servers import Cluster; c = Cluster(); c.start(); print(c.folder, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        folder = Path(run.stdout.readline().strip())
        assert embedded.running(folder)
        run.kill()

    deadline = time.monotonic() + 20
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not folder.exists()
