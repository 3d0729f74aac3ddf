"""What a server does to its clients: it fills up, it refuses, it loses what it had acknowledged, it has others on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from poller import Client, handler
from poller.db import migration
from poller.store.binding import bind
from tests.claiming import HandWorker
from tests.engines import do_nothing
from tests.faults.audit import audit, began, leased, make_rows, transactional, wait_until_done
from tests.faults.proxy import Proxy
from tests.harness import Project, wait_until, workers_of
from tests.servers import cluster, create_encoded, fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Cluster


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[Cluster, Project]]:
    """A server of its own, and a project for it."""
    with cluster() as server, Project(tmp_path, server.url) as project:
        yield server, project


@contextlib.contextmanager
def _connected(server: Cluster) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server.url, autocommit=True) as db:
        yield db


# --- what it loses ----------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.fault("F6", "F42")
def test_g3_a_fleet_goes_on_over_a_database_that_was_set_back(own: tuple[Cluster, Project]) -> None:
    """Commits that were acknowledged are gone, as after a failover or a restore: what the database knows is right.

    The fleet runs all the time. Its leases of before are found, or not, by their random ids; no move is recorded twice.
    """
    server, project = own
    with _connected(server) as db:
        make_rows(db, 1000)
    project.handlers(transactional(0.02))
    project.start("run", "--workers", "2", "--lease", "2s")
    wait_until("it is under way", lambda: len(began(project)) > 60)
    data = server.folder / ".poller" / "data"
    backup = server.folder / "backup"
    server.stop("immediate")
    subprocess.run(["cp", "-a", data, backup], check=True)
    before = len(began(project))
    server.start()
    wait_until("it has gone on", lambda: len(began(project)) > before + 100)
    server.stop("immediate")
    shutil.rmtree(data)
    backup.rename(data)
    server.start()
    with _connected(server) as db:
        wait_until_done(db)
        audit_of_effects(db, 1000)
    assert len(began(project)) > 1050, "what had been lost was done again"


def audit_of_effects(db: psycopg.Connection[Any], rows: int) -> None:
    """Hold the effects inside the database against the moves; the notes outside it know more."""
    assert db.execute("select status, count(*) from thing group by 1").fetchall() == [("normal", rows)]
    assert db.execute("select count(*), count(distinct thing) from effect").fetchone() == (rows, rows)
    moved = "select count(*), count(distinct key) from poller.history where verdict = 'moved'"
    assert db.execute(moved).fetchone() == (rows, rows)


@pytest.mark.thorough
@pytest.mark.fault("F6")
def test_g3_a_fleet_follows_a_standby_that_is_promoted(tmp_path: Path) -> None:
    """The primary is killed in the midst of work. The URL names both; what is replicated synchronously is done once."""
    with cluster() as primary, cluster() as standby, Proxy(primary.url) as wire:
        with _connected(primary) as db:
            make_rows(db, 600)
        url = _replicate(primary, standby, wire.url)
        with Project(tmp_path, url) as project:
            project.handlers(transactional(0.01))
            project.start("run", "--workers", "2", "--lease", "5s")
            wait_until("it is under way", lambda: len(began(project)) > 100)
            primary.kill()
            with _connected(standby) as db:
                db.execute("select pg_promote()")
                wait_until_done(db)
                audit(project, db, effects=True)


def _replicate(primary: Cluster, standby: Cluster, wire: str) -> str:
    """Make the standby of a primary, which waits for it at each commit.

    Args:
        primary: it is stopped for a moment.
        standby: what it holds is replaced.
        wire: the primary's URL as the standby may have it: the folder with its socket may be another account's.

    Returns:
        the URL of whichever can be written to.
    """
    standby.stop()
    primary.stop()
    data = standby.folder / ".poller" / "data"
    shutil.rmtree(data)
    subprocess.run(["cp", "-a", primary.folder / ".poller" / "data", data], check=True)
    (data / "standby.signal").touch()
    with (data / "postgresql.auto.conf").open("a") as file:
        file.write(f"primary_conninfo = '{wire}'\n")
    primary.start()
    standby.start()
    with _connected(primary) as db:
        db.execute("alter system set synchronous_standby_names = '*'")
        db.execute("select pg_reload_conf()")
        synchronous = "select from pg_stat_replication where sync_state = 'sync'"
        wait_until("it is replicated", lambda: db.execute(synchronous).rowcount == 1)
    servers = [conninfo_to_dict(each.url) for each in (primary, standby)]
    both = {name: ",".join(str(each[name]) for each in servers) for name in ("host", "port")}
    return make_conninfo(primary.url, **both, target_session_attrs="read-write")


@pytest.mark.thorough
@pytest.mark.fault("F41")
def test_the_fleet_works_on_without_statistics(own: tuple[Cluster, Project]) -> None:
    """After a crash they are gone, and no ANALYZE comes: the plans do not need them."""
    server, project = own
    with _connected(server) as db:
        db.execute("alter system set autovacuum = off")
        db.execute("select pg_reload_conf()")
        migration.migrate(server.url)
        make_rows(db, 20_000)
        db.execute("insert into thing select i, 'normal' from generate_series(20001, 400000) as i")
    server.kill()
    server.start()
    project.handlers(leased())
    with _connected(server) as db:
        began_at = time.monotonic()
        project.start("run", "--workers", "2")
        wait_until_done(db, timeout=60)
        assert time.monotonic() - began_at < 30
        assert db.execute("select count(*) from pg_stats where tablename = 'thing'").fetchone() == (0,)


# --- what it refuses --------------------------------------------------------------------------------


@pytest.mark.fault("F29")
def test_a_server_that_becomes_read_only_is_waited_for(own: tuple[Cluster, Project]) -> None:
    """As a primary that was demoted is; no attempt is counted, nobody exits, and the log is not flooded."""
    server, project = own
    with _connected(server) as db:
        make_rows(db, 400)
        project.handlers(leased(0.01))
        fleet = project.start("run", "--workers", "2", "--lease", "10s")
        wait_until("it is under way", lambda: len(began(project)) > 50)
        db.execute("alter system set default_transaction_read_only = on")
        db.execute("select pg_reload_conf()")
        wait_until("it is felt", lambda: "read-only" in fleet.log)
        time.sleep(3.0)
        lines = fleet.log.count("\n")
        assert lines < 60, fleet.log
        db.execute("set default_transaction_read_only = off")
        db.execute("alter system reset default_transaction_read_only")
        db.execute("select pg_reload_conf()")
        wait_until_done(db)
        audit(project, db)
    assert fleet.popen.poll() is None
    assert "tried again in" not in fleet.log, "no handler is put aside: it is not its table's fault"


@pytest.mark.thorough
@pytest.mark.fault("F9")
def test_a_server_without_free_connections_is_waited_for(own: tuple[Cluster, Project]) -> None:
    """Others have taken all that there are, those of the fleet too; it asks for its own again until it has them."""
    server, project = own
    with _connected(server) as db:
        db.execute("alter system set max_connections = 25")
    server.restart()
    with _connected(server) as db, contextlib.ExitStack() as others:
        make_rows(db, 200)
        project.handlers(transactional(0.01))
        fleet = project.start("run", "--workers", "1")
        wait_until("it is under way", lambda: len(began(project)) > 5)
        ending = (
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'poller %'"
        )

        def shut_out() -> bool:
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    others.enter_context(psycopg.connect(server.url))
            if db.execute(ending).rowcount:
                return False
            time.sleep(1.5)  # it asks, in vain, unless one of its sessions had only begun
            return db.execute(ending).rowcount == 0

        wait_until("it has no session, and none is to be had", shut_out)
        left = db.execute("select from thing where status = 'pending'").rowcount
        assert left > 0
        others.close()
        wait_until_done(db)
        audit(project, db, effects=True)
    assert fleet.popen.poll() is None


@pytest.mark.thorough
@pytest.mark.fault("F30")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_waited_for_and_costs_no_attempt(own: tuple[Cluster, Project]) -> None:
    """Results are kept until there is room again."""
    server, project = own
    disk = Path(tempfile.mkdtemp(prefix="poller-disk-"))  # where the server's account can walk to
    mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=6m,mode=0777", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        with _connected(server) as db:
            _on_the_small_disk(server, project, db, disk)
    finally:
        server.stop("immediate")
        subprocess.run(["/bin/umount", disk], check=True)
        disk.rmdir()


def _on_the_small_disk(server: Cluster, project: Project, db: psycopg.Connection[Any], disk: Path) -> None:
    owner = (server.folder / ".poller" / "data").stat()
    place = disk / "space"
    place.mkdir(mode=0o700)
    os.chown(place, owner.st_uid, owner.st_gid)
    db.execute(f"create tablespace small location '{place}'")
    make_rows(db, 0)
    db.execute("alter table thing set tablespace small")
    db.execute("alter index thing_pkey set tablespace small")
    db.execute("alter table thing add column filler text not null default repeat('x', 900)")
    db.execute("create table ballast (filler text) tablespace small")
    db.execute("insert into thing (id) select generate_series(1, 1000)")
    with contextlib.suppress(psycopg.errors.DiskFull):
        for _ in range(100_000):
            db.execute("insert into ballast values (repeat(md5(random()::text), 20))")
    project.handlers(leased())
    fleet = project.start("run", "--workers", "1")
    wait_until("it is felt", lambda: "No space left" in fleet.log)
    time.sleep(2.0)
    assert fleet.log.count("\n") < 40, fleet.log
    db.execute("drop table ballast")
    wait_until_done(db)
    audit(project, db)
    assert db.execute("select max(attempt) from poller.history").fetchone() == (1,)


@pytest.mark.fault("F40")
def test_a_database_that_is_away_is_asked_for_seldom_and_said_once(own: tuple[Cluster, Project]) -> None:
    """No storm of connections and none of lines, from four workers for six seconds."""
    server, project = own
    with _connected(server) as db:
        make_rows(db, 10)
        project.handlers(leased())
        fleet = project.start("run", "--workers", "4")
        wait_until("all is done", lambda: len(began(project)) == 10)
        wait_until("all are there", lambda: len(workers_of(db)) == 4)
    server.stop("immediate")
    before = fleet.log.count("\n")
    time.sleep(6.0)
    lines = fleet.log.count("\n") - before
    assert lines < 4 * 5 + 10, fleet.log
    server.start()
    with _connected(server) as db:
        wait_until("all are back", lambda: len(workers_of(db)) == 4)


# --- who else is on it ------------------------------------------------------------------------------


@pytest.mark.fault("F13", "F43")
def test_who_takes_every_advisory_lock_of_ours_only_delays(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Any role can: leases then end by their heartbeats alone, and slots rest on their unique key."""
    make_rows(db, 100)
    project.handlers(
        leased(0.01)
        + """
from poller import cron

@cron("* * * * * *")
def tick(): pass
"""
    )
    held = db.execute(
        "select pg_advisory_lock(hashtextextended('poller worker ' || i, 0)),"
        " pg_advisory_lock(hashtextextended('poller claim ' || i, 0)) from generate_series(1, 50) as i"
    )
    assert held.rowcount == 50
    project.start("run", "--workers", "2")
    wait_until_done(db)
    audit_of = [row[0] for row in db.execute("select key from poller.history where verdict = 'moved'")]
    assert len([key for key in audit_of if not key.startswith("run")]) >= 100
    ran = "select count(*), count(distinct planned_at) from poller.run where status = 'succeeded'"
    wait_until("slots run", lambda: (db.execute(ran).fetchone() or (0,))[0] >= 2)


@pytest.mark.fault("F45")
def test_a_prepared_transaction_that_nobody_ends_is_named(own: tuple[Cluster, Project]) -> None:
    """It holds its locks without a session, over restarts, too: no list of sessions has it."""
    server, _ = own
    with _connected(server) as db:
        db.execute("alter system set max_prepared_transactions = 1")
    server.restart()
    migration.migrate(server.url)
    with _connected(server) as db:
        db.execute(
            "create table task (id int primary key, status text); insert into task values (1, 'pending')"
        )
        registered = handler("task", status="pending", to="normal")(do_nothing)
        worker = HandWorker(server.url, bind(db, registered))
        [task] = worker.claim()
        db.execute("begin; select from task for update; prepare transaction 'forgotten'")

        whole = "the prepared transaction 'forgotten' of postgres"
        assert (worker.settlements.who_locks(task) or "").startswith(whole)
        worker.link.connection.execute("delete from poller.claim")
        [locked, *_] = Client(server.url, [registered]).explain("task:pending:1").reasons
        assert (locked.reason, locked.detail[: len(whole)]) == ("locked", whole)
        worker.link.close()


@pytest.fixture
def stranger(url: str, db: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A session of a role that may connect, and nothing else."""
    name = f"poller_stranger_{uuid.uuid4().hex[:8]}"
    db.execute(f"create role {name}")
    with psycopg.connect(make_conninfo(url, options=f"-c role={name}"), autocommit=True) as connection:
        yield connection
    db.execute(f"drop role {name}")


@pytest.mark.fault("F43")
@pytest.mark.parametrize("option", ["limit=50", "rate='10000/1m'", "per_key='id'"])
def test_g11_who_may_only_connect_does_not_stop_limited_handlers_and_planning(
    project: Project, db: psycopg.Connection[Any], stranger: psycopg.Connection[Any], option: str
) -> None:
    """Advisory locks are anybody's: what poller relies on is a row, whose lock needs a grant."""
    keys = ["poller planner", *(f"poller claim {i}" for i in range(1, 51))]
    lock = "select pg_advisory_lock(hashtextextended(k, 0)) from unnest(%s::text[]) as k"
    stranger.execute(lock, (keys,))
    for held in (
        "select from poller.handler for no key update",
        "lock table poller.handler in row share mode",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), stranger.transaction():
            stranger.execute(held.encode())
    make_rows(db, 20)
    project.handlers(
        leased().replace("attempts=20", f"attempts=20, {option}")
        + """
from poller import cron

@cron("* * * * * *")
def tick(): pass
"""
    )
    project.start("run", "--workers", "2")
    wait_until_done(db)
    ran = "select count(*) from poller.run where status = 'succeeded'"
    wait_until("slots run", lambda: (db.execute(ran).fetchone() or (0,))[0] >= 2)


@pytest.mark.fault("F43")
def test_who_keeps_migrations_waiting_is_named(
    project: Project, db: psycopg.Connection[Any], stranger: psycopg.Connection[Any]
) -> None:
    """By process and role, so that somebody can end it; where there is nothing to migrate nobody waits."""
    stranger.execute("select pg_advisory_lock(hashtextextended('poller migrations', 0))")
    row = stranger.execute("select pg_backend_pid(), session_user").fetchone()
    assert row is not None
    assert project.run("migrate").returncode == 0
    db.execute("drop schema poller cascade")
    running = project.start("migrate")
    running.wait_for_log(f"waiting for process {row[0]} of the role {row[1]}, which holds the migration lock")
    stranger.execute("select pg_advisory_unlock_all()")
    assert running.wait() == 0


@pytest.mark.thorough
@pytest.mark.fault("F14")
def test_a_full_lock_table_is_waited_for(own: tuple[Cluster, Project]) -> None:
    """Somebody holds so many locks that nobody gets another one; then it is over."""
    server, project = own
    with _connected(server) as db, _connected(server) as greedy:
        make_rows(db, 200)
        project.handlers(leased(0.01))
        fleet = project.start("run", "--workers", "1")
        wait_until("it is under way", lambda: len(began(project)) > 20)
        with pytest.raises(psycopg.errors.OutOfMemory):
            greedy.execute("select pg_advisory_lock(i) from generate_series(1, 10000000) as i")
        greedy.execute("select pg_advisory_unlock_all()")
        wait_until_done(db)
        audit(project, db)
    assert fleet.popen.poll() is None


@pytest.mark.fault("F33")
def test_notifications_that_nobody_reads_are_in_nobodys_way(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """A listener that sits in a transaction keeps the queue; rows are inserted, found and done all the same."""
    make_rows(db, 0)
    db.execute("create trigger w after insert on thing for each statement execute function poller.wake()")
    project.handlers(leased())
    with psycopg.connect(db.info.dsn) as idle:
        idle.execute("listen poller")
        idle.commit()
        idle.execute("select 1")
        project.start("run")
        for number in range(1, 200):
            db.execute("insert into thing values (%s)", [number])
        wait_until_done(db)
    audit(project, db)


@pytest.mark.thorough
@pytest.mark.fault("F16")
def test_transactions_are_few_and_an_empty_look_takes_no_number(own: tuple[Cluster, Project]) -> None:
    """20,000 rows take a small part of a transaction each; an idle fleet takes next to none."""
    server, project = own
    with _connected(server) as db:
        make_rows(db, 20_000)
        project.handlers(leased())

        def number() -> int:
            row = db.execute("select pg_current_xact_id()::text::bigint").fetchone()
            assert row is not None
            return int(row[0])

        first = number()
        project.start("run")
        wait_until("it is under way", lambda: began(project))
        wait_until_done(db, timeout=60)
        taken = number() - first
        assert taken < 20_000 / 5, "many rows share a transaction"
        idle = number()
        time.sleep(3.0)
        assert number() - idle < 10, "a look that finds nothing writes nothing"


@pytest.mark.fault("F11")
@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_the_defaults_of_the_database_do_not_change_what_is_promised(
    project: Project, db: psycopg.Connection[Any], isolation: str
) -> None:
    """Isolation, time limits, formats and the search path are whatever somebody has set them to."""
    make_rows(db, 300)
    name = db.info.dbname
    for setting in (
        f"default_transaction_isolation = '{isolation}'",
        "statement_timeout = '50ms'",
        "lock_timeout = '10ms'",
        "datestyle = 'German, DMY'",
        "intervalstyle = 'sql_standard'",
        "bytea_output = 'escape'",
        "search_path = ''",
        "timezone = 'Asia/Kathmandu'",
    ):
        db.execute(f'alter database "{name}" set {setting}')
    project.handlers(leased().replace('"thing"', '"public.thing"'))
    project.start("run", "--workers", "2")
    wait_until_done(db)
    audit(project, db)


@pytest.mark.fault("F26")
@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_of_another_encoding_is_served(server: str, tmp_path: Path, encoding: str) -> None:
    """Its texts come as they are; bytes that are no text keep nobody else's rows from being handled."""
    with fresh_database(server) as url, psycopg.connect(url, autocommit=True) as db:
        name = f"{db.info.dbname}_{encoding.lower()}"
        create_encoded(db, name, encoding)
        try:
            _with_encoding(url.replace(db.info.dbname, name), tmp_path)
        finally:
            db.execute(f"drop database {name} with (force)")


def _with_encoding(url: str, folder: Path) -> None:
    with psycopg.connect(url, autocommit=True) as db, Project(folder, url) as project:
        make_rows(db, 3)
        db.execute("alter table thing add column name text")
        db.execute(
            "update thing set name = 'caf' || chr(233) where id = 2 and getdatabaseencoding() = 'LATIN1'"
        )
        project.handlers(leased())
        done = project.run("run", "--drain")
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        audit(project, db)


@pytest.mark.fault("F35")
def test_a_claim_never_brings_more_than_was_asked_for(project: Project, db: psycopg.Connection[Any]) -> None:
    """Whatever the planner believes: one slot, one row in flight."""
    make_rows(db, 30)
    db.execute("alter table thing alter column status set statistics 0")
    name = db.info.dbname
    for off in ("enable_indexscan", "enable_bitmapscan", "enable_hashjoin", "enable_sort"):
        db.execute(f'alter database "{name}" set {off} = off')
    project.handlers(leased(0.02).replace("attempts=20", "attempts=20, limit=2"))
    project.start("run", "--workers", "3", "--concurrency", "4")
    most = 0
    question = "select coalesce(sum(cardinality(keys)), 0) from poller.claim"
    while db.execute("select from thing where status = 'pending' limit 1").rowcount:
        row = db.execute(question).fetchone()
        assert row is not None
        most = max(most, row[0])
    wait_until_done(db)
    assert most <= 2
    audit(project, db)
