"""Processes as operating systems have them: signals, process 1, standard files, and a log that nobody reads."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.command_line import value
from tests.harness import Process, Project, wait_until, workers_of
from tests.servers import cluster
from tests.times import one_in

if TYPE_CHECKING:
    from collections.abc import Iterator

HANDLER = """
import pathlib, time
@handler("thing", status="pending", to="normal")
def work(row):
    pathlib.Path(f"began-{{row.id}}").touch()
    time.sleep({seconds})
"""


def make_rows(db: psycopg.Connection[Any], count: int) -> None:
    """Make the table `thing` with so many pending rows."""
    db.execute("create table thing (id int primary key, status text not null default 'pending')")
    db.execute("insert into thing select generate_series(1, %s)", [count])


def count(db: psycopg.Connection[Any], status: str) -> int:
    return int(value(db, "select count(*) from thing where status = %s", status))


def began(project: Project) -> int:
    return len(list(project.folder.glob("began-*")))


def start(
    project: Project, *command: str, stderr: int | None = None, env: dict[str, str] | None = None
) -> Process:
    """Start any command in a project's folder; it is ended with the test."""
    log = project.folder / f"log-{len(project.processes)}.txt"
    with log.open("w") as out:
        popen = subprocess.Popen(
            command,
            cwd=project.folder,
            env=project.environment(**env or {}),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out if stderr is None else stderr,
        )
    process = Process(popen, log)
    project.processes.append(process)
    return process


# --- standard error that nobody reads -------------------------------------------------------------------


@pytest.fixture
def full_pipe() -> Iterator[tuple[int, int]]:
    """A pipe that takes no more: its two ends."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(theirs, b"x" * 512)
    os.set_blocking(theirs, True)
    yield ours, theirs
    for each in (ours, theirs):
        with contextlib.suppress(OSError):
            os.close(each)


@pytest.mark.fault("F59")
@pytest.mark.parametrize("form", ["text", "json"])
def test_rows_move_and_a_stop_is_bounded_while_nobody_reads_standard_error(
    project: Project, db: psycopg.Connection[Any], full_pipe: tuple[int, int], form: str
) -> None:
    """Neither the supervisor nor a worker waits for it, nor does what a handler or a library writes there."""
    make_rows(db, 0)
    project.handlers(
        """
import logging, sys
@handler("thing", status="pending", to="normal", attempts=1)
def work(row):
    print("here is", row.id, file=sys.stderr)
    logging.getLogger("library").warning("a word on %d", row.id)
    if row.id <= 20:
        raise ValueError("no " * 1000)
"""
    )
    run = [sys.executable, "-m", "poller", "run", "--grace", "2s", "--log-format", form]
    fleet = start(project, *run, stderr=full_pipe[1])
    db.execute("insert into thing select generate_series(1, 20)")
    parked = "select count(*) from poller.attempt where state = 'parked'"
    wait_until("the bad ones are parked", lambda: value(db, parked) == 20)
    db.execute("insert into thing select generate_series(21, 120)")
    wait_until("the good ones have moved", lambda: count(db, "normal") == 100)
    fleet.signal(signal.SIGTERM)
    assert fleet.wait(20) == 0
    assert value(db, "select count(*) from poller.worker where died_at is null") == 0


@pytest.mark.fault("F59")
def test_what_was_lost_is_told_once_standard_error_flows_again(
    project: Project, db: psycopg.Connection[Any], full_pipe: tuple[int, int]
) -> None:
    """And what comes after it is there."""
    ours, theirs = full_pipe
    make_rows(db, 1)
    project.handlers(
        """
import sys
@handler("thing", status="pending", to="normal")
def work(row):
    for number in range(20_000 if row.id == 1 else 1):
        print("line", number, file=sys.stderr)
"""
    )
    start(project, sys.executable, "-m", "poller", "run", "--log-format", "json", stderr=theirs)
    wait_until("the row has moved", lambda: count(db, "normal") == 1)
    os.close(theirs)
    seen = b""
    while b"are lost" not in seen:
        assert select.select([ours], [], [], 30)[0], seen[-2000:]
        seen += os.read(ours, 65536)
    db.execute("insert into thing values (2)")
    seen = b""
    while b"line 0\n" not in seen:
        assert select.select([ours], [], [], 30)[0], seen[-2000:]
        seen += os.read(ours, 65536)


# --- signals --------------------------------------------------------------------------------------------

BLOCKED = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
os.execv(sys.executable, [sys.executable, "-m", "poller", "run", "--workers", "1"])
"""


@pytest.mark.fault("F60")
def test_a_stop_is_obeyed_though_what_has_started_the_fleet_had_blocked_it(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """What is started inherits the mask; so does a worker, whose death is noticed."""
    make_rows(db, 1)
    project.handlers(HANDLER.format(seconds=0))
    fleet = start(project, sys.executable, "-c", BLOCKED)
    wait_until("the row has moved", lambda: count(db, "normal") == 1)
    [(worker, pid)] = workers_of(db)
    os.kill(pid, signal.SIGKILL)
    wait_until("it is replaced", lambda: [each for each in workers_of(db) if each[0] != worker])
    fleet.signal(signal.SIGTERM)
    assert fleet.wait(20) == 0, fleet.log


@pytest.mark.fault("F60")
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
def test_a_terminal_that_closes_stops_a_fleet_as_sigterm_does(
    project: Project, db: psycopg.Connection[Any], number: signal.Signals
) -> None:
    """Handlers finish, and the exit status is 0. A terminal says it twice, which is not a second request."""
    make_rows(db, 4)
    project.handlers(HANDLER.format(seconds=1))
    fleet = project.start("run", "--concurrency", "4")
    wait_until("four are under way", lambda: began(project) == 4)
    fleet.signal(number)
    if number == signal.SIGHUP:
        fleet.wait_for_log("stopping")
        fleet.signal(number)
    assert fleet.wait() == 0, fleet.log
    assert count(db, "normal") == 4
    assert value(db, "select count(*) from poller.attempt") == 0


@pytest.mark.fault("F60")
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_that_means_nothing_here_ends_nobody(
    project: Project, db: psycopg.Connection[Any], number: signal.Signals
) -> None:
    """Neither the supervisor nor a worker."""
    make_rows(db, 0)
    project.handlers(HANDLER.format(seconds=0))
    fleet = project.start("run")
    [(worker, pid)] = wait_until("a worker is there", lambda: workers_of(db))
    fleet.signal(number)
    os.kill(pid, number)
    db.execute("insert into thing values (1)")
    wait_until("the row has moved", lambda: count(db, "normal") == 1)
    assert workers_of(db) == [(worker, pid)]


@pytest.mark.fault("F60")
def test_with_nohup_a_terminal_may_close(project: Project, db: psycopg.Connection[Any]) -> None:
    """What the process was told to ignore before it began it goes on to ignore."""
    make_rows(db, 0)
    project.handlers(HANDLER.format(seconds=0))
    fleet = start(project, "nohup", sys.executable, "-m", "poller", "run")
    wait_until("a worker is there", lambda: workers_of(db))
    fleet.signal(signal.SIGHUP)
    db.execute("insert into thing values (1)")
    wait_until("the row has moved", lambda: count(db, "normal") == 1)
    assert "stopping" not in fleet.log


@pytest.mark.fault("F60")
def test_a_signal_to_every_process_is_one_request(project: Project, db: psycopg.Connection[Any]) -> None:
    """As systemd sends it without KillMode=mixed: a worker hears it twice, and lets its handlers finish."""
    make_rows(db, 4)
    project.handlers(HANDLER.format(seconds=5))
    fleet = project.start("run", "--concurrency", "4", "--lease", "3s")
    wait_until("four are under way", lambda: began(project) == 4)
    [(_, worker)] = workers_of(db)
    os.kill(worker, signal.SIGTERM)
    stopping = "select count(*) from poller.worker where stopping_at is not null"
    wait_until("it has heard that", lambda: value(db, stopping) == 1)
    fleet.signal(signal.SIGTERM)
    assert fleet.wait() == 0, fleet.log
    assert count(db, "normal") == 4


SLOW_IMPORT = """
import pathlib, time
pathlib.Path("importing").touch()
time.sleep(60)
"""


@pytest.mark.fault("F60")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_is_obeyed_while_the_users_package_is_imported(
    project: Project, number: signal.Signals
) -> None:
    """Nothing has begun: it ends at once, and well."""
    project.handlers(SLOW_IMPORT)
    fleet = project.start("run")
    wait_until("it imports", (project.folder / "importing").exists)
    fleet.signal(number)
    assert fleet.wait(20) == 0
    assert "stopped before anything began" in fleet.log


_AT_ONCE = """
import os, signal, sys
from poller.fleet.signals import requests
requests.listen()
os.kill(os.getpid(), signal.SIGTERM)
from poller.cli import main
main()
"""


@pytest.mark.fault("F60")
@pytest.mark.parametrize(
    ("command", "status"),
    [(["run"], 0), (["run", "--drain"], 1), (["next", "@daily"], -signal.SIGTERM)],
    ids=["run", "drain", "other"],
)
def test_a_stop_that_comes_before_the_options_are_known_is_remembered(
    project: Project, command: list[str], status: int
) -> None:
    """A fleet ends well; a drain has left all that was due; other commands end as any program does."""
    project.handlers(HANDLER.format(seconds=0))
    process = start(project, sys.executable, "-c", _AT_ONCE, *command)
    assert process.wait() == status, process.log


@pytest.mark.fault("F60")
def test_a_stop_ends_though_the_users_package_holds_the_process(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """A thread that was left behind, and what was to be done at exit."""
    make_rows(db, 1)
    project.handlers(
        HANDLER.format(seconds=0)
        + """
import atexit, threading
threading.Thread(target=time.sleep, args=[60]).start()
atexit.register(time.sleep, 60)
"""
    )
    fleet = project.start("run", "--drain")
    fleet.wait_for_log("done: 1 moved")
    assert fleet.wait(10) == 0


PRINTS = """
@handler("thing", status="pending", to="half", attempts=1)
def one(row):
    print("\N{CHECK MARK}" * 9000)
@handler("thing", status="half", to="normal", attempts=1, executor="process")
def two(row):
    print("\N{CHECK MARK}" * 9000)
"""


@pytest.mark.fault("F76")
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exec $POLLER >/dev/full", "standard output cannot be written: No space left on device"),
        ("$POLLER | true", "standard output cannot be written: Broken pipe"),
        ("PYTHONIOENCODING=ascii exec $POLLER", "done: 8 moved"),
    ],
    ids=["a full disk", "a reader that is gone", "an encoding"],
)
def test_g11_what_a_handler_prints_costs_no_attempt(
    project: Project, db: psycopg.Connection[Any], script: str, said: str
) -> None:
    """It is no part of its work; the log says that it is lost."""
    make_rows(db, 4)
    project.handlers(PRINTS)
    ended = project.shell(script, POLLER=f"{sys.executable} -m poller run --drain --workers 1")
    assert count(db, "normal") == 4, ended.stderr
    assert said in ended.stderr


CLOSES = """
import sys
sys.stderr.close()
"""


def test_a_fleet_works_that_may_write_no_file_and_whose_package_closes_standard_error(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """A container whose root is read-only has no folder for temporary files; daemons close what they were given."""
    make_rows(db, 1)
    project.handlers(CLOSES + HANDLER.format(seconds=0))
    ended = subprocess.run(
        ["sh", "-c", f"ulimit -f 0; exec {sys.executable} -m poller run --drain --workers 1"],
        cwd=project.folder,
        env=project.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "heartbeat file: OSError: " in ended.stderr
    assert "done: 1 moved" in ended.stderr


# --- process 1 ------------------------------------------------------------------------------------------


@pytest.fixture
def contained() -> list[str]:
    """What to put before a command to have it run as process 1."""
    before = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    try:
        subprocess.run([*before, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no process namespace can be made here")
    return before


def children_of(pid: int) -> list[int]:
    """Return the process ids, as this process sees them, of those whose parent is another."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(each) for task in tasks for each in task.read_text().split()]


def state_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


@pytest.mark.fault("F60")
def test_as_process_1_it_reaps_orphans(
    project: Project, db: psycopg.Connection[Any], contained: list[str]
) -> None:
    """What handlers leave behind is given to process 1, where nobody else would wait for it."""
    make_rows(db, 30)
    project.handlers(
        """
import pathlib, subprocess
@handler("thing", status="pending", to="normal")
def work(row):
    subprocess.run(f"(sleep 0.2; touch ended-{row.id}) > /dev/null 2>&1 &", shell=True, check=True)
"""
    )
    fleet = start(project, *contained, sys.executable, "-m", "poller", "run")
    wait_until("all have ended", lambda: len(list(project.folder.glob("ended-*"))) == 30)
    [first] = children_of(fleet.pid)
    wait_until("none is left", lambda: "Z" not in map(state_of, children_of(first)))
    assert count(db, "normal") == 30
    os.kill(first, signal.SIGTERM)
    assert fleet.wait() == 0, fleet.log


@pytest.mark.fault("F60")
def test_as_process_1_it_obeys_while_the_users_package_is_imported(
    project: Project, contained: list[str]
) -> None:
    """The kernel drops what process 1 has no handler for."""
    project.handlers(SLOW_IMPORT)
    fleet = start(project, *contained, sys.executable, "-m", "poller", "run")
    wait_until("it imports", (project.folder / "importing").exists)
    [first] = children_of(fleet.pid)
    os.kill(first, signal.SIGTERM)
    assert fleet.wait(20) == 0, fleet.log


# --- a handler that holds the interpreter ---------------------------------------------------------------


@pytest.mark.fault("F61")
def test_a_worker_whose_interpreter_is_held_is_killed_once_its_lease_has_lapsed(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Another takes its place; the row that did it is parked after its attempts, and its neighbours move."""
    make_rows(db, 1)
    project.handlers(
        """
import re
@handler("thing", status="pending", to="normal", attempts=1)
def work(row):
    if row.id == 1:
        re.search("(a+)+b", "a" * 40)
"""
    )
    fleet = project.start("run", "--lease", "1s")
    wait_until("it is begun", lambda: value(db, "select count(*) from poller.claim") == 1)
    db.execute("insert into thing select generate_series(2, 20)")
    wait_until("the others have moved", lambda: count(db, "normal") == 19, 60)
    parked = "select error from poller.attempt where state = 'parked' and key = '1'"
    assert "died" in wait_until("it is parked", lambda: db.execute(parked).fetchone())[0]
    assert "does not respond" in fleet.log


# --- a worker that cannot begin -------------------------------------------------------------------------


@pytest.mark.fault("F52")
def test_g11_a_handler_that_leaks_file_descriptors_costs_no_row_of_others(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Its own attempt fails; its worker has enough in reserve to write that, to give the others back, and to end."""
    db.execute("create table thing (id int primary key, status text not null default 'pending')")
    db.execute("insert into thing select generate_series(1, 51)")
    project.handlers("""
import resource
kept = []
@handler("thing", status="pending", to="normal", attempts=1)
def work(row):
    if row.id == 1:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
        while True:
            kept.append(open("/dev/null"))
""")
    fleet = project.start("run", "--workers", "1", "--concurrency", "1")
    wait_until(
        "the others are done", lambda: db.execute("select from thing where status = 'normal'").rowcount == 50
    )
    assert db.execute("select key, state, attempt from poller.attempt").fetchall() == [("1", "parked", 1)]
    assert "no file descriptor is left" in fleet.log
    assert "is dead" not in fleet.log, "it has taken leave, and given the others back whole"


@pytest.mark.fault("F62")
def test_g1_a_worker_that_begins_while_postgres_is_away_waits_for_it(tmp_path: Path) -> None:
    """It is not a quick death: the first row moves within 5 s of the database's return."""
    with cluster() as server, Project(tmp_path, server.url) as project:
        project.handlers(HANDLER.format(seconds=0))
        with psycopg.connect(server.url, autocommit=True) as db:
            make_rows(db, 0)
        fleet = project.start("run")
        fleet.wait_for_log("is ready")
        with psycopg.connect(server.url, autocommit=True) as db:
            [(_, worker)] = workers_of(db)
        server.stop("immediate")
        os.kill(worker, signal.SIGKILL)
        fleet.wait_for_log("start: ")
        server.start()
        returned = time.monotonic()
        with psycopg.connect(server.url, autocommit=True) as db:
            db.execute("insert into thing values (1)")
            wait_until("the row has moved", lambda: count(db, "normal") == 1)
        assert time.monotonic() - returned < 5
        assert fleet.log.count("a worker process ended") == 1, "the one that was killed"


@pytest.mark.thorough
@pytest.mark.fault("F62")
def test_a_worker_that_waits_for_postgres_ends_with_its_supervisor(tmp_path: Path) -> None:
    """No orphan waits for a database that may never be back; a stop is obeyed meanwhile, too."""
    with cluster() as server, Project(tmp_path, server.url) as project:
        project.handlers(HANDLER.format(seconds=0))
        with psycopg.connect(server.url, autocommit=True) as db:
            make_rows(db, 0)
        fleet = project.start("run", "--workers", "2", "--grace", "1s")
        wait_until("both are ready", lambda: fleet.log.count("is ready") == 2)
        with psycopg.connect(server.url, autocommit=True) as db:
            [(_, one), (_, other)] = workers_of(db)
        server.stop("immediate")
        os.kill(one, signal.SIGKILL)
        fleet.wait_for_log("start: ")
        [new] = [each for each in children_of(fleet.pid) if each not in (one, other)]
        fleet.signal(signal.SIGKILL)
        wait_until("it has ended", lambda: state_of(new) in ("", "Z"))


# --- standard files, the working directory --------------------------------------------------------------


@pytest.mark.parametrize("closed", one_in(3, [">&-", "2>&-", "<&-", "<&- >&- 2>&-"]))
def test_a_standard_file_that_is_closed_changes_nothing(
    project: Project, db: psycopg.Connection[Any], closed: str
) -> None:
    """Not the exit status, and no other file gets its number."""
    make_rows(db, 3)
    project.handlers(HANDLER.format(seconds=0) + "    print('moved', row.id)\n")
    fleet = start(project, "sh", "-c", f'exec "$0" -m poller run --drain {closed}', sys.executable)
    assert fleet.wait() == 0, fleet.log
    assert count(db, "normal") == 3
    assert "Traceback" not in fleet.log


@pytest.mark.parametrize(
    ("name", "executor"),
    one_in(3, [("queue", "process"), ("queue", "thread"), ("tenacity", "thread")], are_tuples=True),
)
def test_a_module_of_the_working_directory_hides_none_of_pythons_or_ours(
    project: Project, db: psycopg.Connection[Any], name: str, executor: str
) -> None:
    """Neither in the supervisor, nor in a worker, nor in a process that runs one handler."""
    make_rows(db, 2)
    (project.folder / f"{name}.py").write_text("raise RuntimeError('this is not the module that was meant')")
    project.handlers(
        f"""
import my_own_module
@handler("thing", status="pending", to="normal", executor="{executor}")
def work(row): my_own_module.note(row)
"""
    )
    (project.folder / "my_own_module.py").write_text("def note(row): pass")
    command = [sys.executable, "-P", "-c", "from poller.cli import main; main()"]
    assert start(project, *command, "check").wait() in (0, 1)
    fleet = start(project, *command, "run", "--drain")
    assert fleet.wait() == 0, fleet.log
    assert count(db, "normal") == 2


def test_a_module_that_has_been_taken_for_pythons_own_is_one_line(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """`python -m` puts the working directory before everything, and some modules are imported before we are asked."""
    make_rows(db, 1)
    (project.folder / "queue.py").touch()
    project.handlers(HANDLER.format(seconds=0))
    for command in ("check", "run"):
        done = project.run(command, *["--drain"] * (command == "run"))
        if done.returncode:
            assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
            assert "queue.py hides Python's own module 'queue'; rename it" in done.stderr
        elif command == "run":
            assert count(db, "normal") == 1


def test_what_the_package_registers_with_psycopg_is_how_rows_are_read_and_nothing_else(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """poller's own statements have adapters of their own."""
    make_rows(db, 1)
    db.execute("alter table thing add data jsonb default '{}'")
    project.handlers(
        """
from psycopg.types.json import set_json_loads
set_json_loads(lambda data: data)
@handler("thing", status="pending", to="normal")
def work(row): assert bytes(row.data) == b'{}'
"""
    )
    done = project.run("run", "--drain")
    assert done.returncode == 0, done.stderr
    assert count(db, "normal") == 1


# --- what a drain leaves --------------------------------------------------------------------------------


def test_a_drain_that_is_stopped_ends_with_1_and_says_what_is_left(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """0 is for a drain after which nothing is due, since something goes on behind it."""
    make_rows(db, 300)
    project.handlers(HANDLER.format(seconds=0.1))
    fleet = project.start("run", "--drain", "--concurrency", "4")
    wait_until("it is under way", lambda: count(db, "normal") > 10)
    fleet.signal(signal.SIGTERM)
    assert fleet.wait() == 1, fleet.log
    left = count(db, "pending")
    assert f"{left} rows are left" in fleet.log


def test_a_drain_that_is_stopped_while_nothing_is_due_ends_with_0(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """What is snoozed is not due."""
    make_rows(db, 2)
    project.handlers(
        HANDLER.format(seconds=1.5)
        + """
    if row.id == 2:
        raise Snooze("1h")
"""
    )
    fleet = project.start("run", "--drain")
    wait_until("both are under way", lambda: began(project) == 2)
    fleet.signal(signal.SIGTERM)
    assert fleet.wait() == 0, fleet.log
    assert count(db, "normal") == 1


@pytest.mark.thorough
def test_a_drain_whose_database_is_away_at_the_end_ends_with_1(tmp_path: Path) -> None:
    """Nobody knows what is left."""
    with cluster() as server, Project(tmp_path, server.url) as project:
        with psycopg.connect(server.url, autocommit=True) as db:
            make_rows(db, 4)
        project.handlers(HANDLER.format(seconds=1))
        fleet = project.start("run", "--drain", "--grace", "1s")
        wait_until("it is under way", lambda: began(project) == 4)
        server.stop("immediate")
        fleet.signal(signal.SIGTERM)
        assert fleet.wait() == 1, fleet.log
