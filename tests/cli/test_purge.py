"""`poller purge`: one purge now, with the options given or those that the handlers package declares."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_line import objects, the_line, value
from tests.harness import wait_until
from tests.maintained import keys, make_audit

if TYPE_CHECKING:
    import psycopg

    from tests.command_line import InProcess
    from tests.harness import Project

OPTIONS = ("--column", "created_at", "--older-than", "180d", "--pause", "0s")
DECLARED = """
from poller.ready_made.retention import age_out, purge
nightly = purge("audit", column="created_at", older_than="180d", where="id <> 2", pause="0s")
other = age_out("audit", column="created_at", older_than="1d", status="x", to="y", status_column="kind")
"""
NOTHING = {"locked": 0, "held": 0, "kept": {}, "refused": {}, "untried": 0, "partitions": [], "notes": []}


def test_it_deletes_what_is_old_and_says_so(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """No handlers package is needed."""
    make_audit(db, old=1500, young=2)

    ended = here.run("purge", "audit", *OPTIONS)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "deleted 1,500 rows of public.audit\n"
    assert len(keys(db)) == 2


def test_it_answers_as_json(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """With what was kept, and why."""
    make_audit(db, old=10)
    db.execute("create table note (audit_id bigint constraint about references audit)")
    db.execute("insert into note values (3)")

    ended = here.run("purge", "public.audit", *OPTIONS, "--json")

    assert objects(ended) == [{"table": "public.audit", "rows": 9, **NOTHING, "kept": {"about": 1}}]


def test_a_dry_run_only_counts(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """For people and as JSON; partitions that would go as a whole are named."""
    make_audit(db, old=10, young=1)
    db.execute(
        "create table log (at date primary key) partition by range (at);"
        "create table log_2020 partition of log for values from ('2020-01-01') to ('2021-01-01');"
        "create table log_rest partition of log for values from ('2021-01-01') to ('2100-01-01');"
        "insert into log values ('2020-01-02'), ('2021-01-02'), (now())"
    )

    ended = here.run("purge", "audit", *OPTIONS, "--dry-run")
    assert (ended.returncode, ended.stdout) == (0, "would delete 10 rows of public.audit\n")
    ended = here.run("purge", "log", "--column", "at", "--older-than", "1d", "--dry-run")
    assert ended.stdout == "would delete 2 rows of public.log, all those of public.log_2020 among them\n"
    ended = here.run("purge", "log", "--column", "at", "--older-than", "1d", "--dry-run", "--json")
    assert objects(ended) == [
        {"table": "public.log", "rows": 2, "partitions": ["public.log_2020"], "kept": {}}
    ]
    assert len(keys(db)) == 11


def test_a_dry_run_says_apart_what_would_be_kept(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """What a foreign key needs is not deleted, and not counted so."""
    make_audit(db, old=10)
    db.execute("create table note (audit_id bigint constraint about references audit)")
    db.execute("insert into note values (3), (4)")

    ended = here.run("purge", "public.audit", *OPTIONS, "--dry-run")
    assert ended.stdout == "would delete 8 rows of public.audit; would keep 2 rows that about needs\n"
    [told] = objects(here.run("purge", "public.audit", *OPTIONS, "--dry-run", "--json"))
    assert (told["rows"], told["kept"]) == (8, {"about": 2})


def test_a_declared_purge_gives_its_options(project: Project, db: psycopg.Connection[Any]) -> None:
    """And those given here go before; an ageing is not a purge."""
    make_audit(db, old=3, young=1)
    project.handlers(DECLARED)

    ended = project.run("purge", "audit", "--where", "id = 3")
    assert (ended.returncode, ended.stdout) == (0, "deleted 1 row of public.audit\n")
    ended = project.run("purge", "audit")
    assert (ended.returncode, keys(db)) == (0, [2, 4])
    ended = project.run("purge", "public.audit", "--older-than", "1h")
    assert (ended.returncode, keys(db)) == (0, [2])


def test_without_a_declared_purge_it_asks_for_options(project: Project, db: psycopg.Connection[Any]) -> None:
    """As it does when there are several."""
    make_audit(db, old=1)
    project.handlers(DECLARED)
    assert "no purge of users is declared in 'handlers'; give --column" in the_line(
        project.run("purge", "users")
    )
    project.handlers(DECLARED + 'more = purge("audit", column="kind", older_than="1d", name="more")')
    line = the_line(project.run("purge", "audit"))
    assert "several purges of audit: 'purge audit' (--column created_at), 'more' (--column kind)" in line
    ended = project.run("purge", "audit", "--column", "created_at")
    assert (ended.returncode, ended.stdout) == (0, "deleted 1 row of public.audit\n")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("audit", "--column", "nope", "--older-than", "1d"), "has no column 'nope'"),
        (("nope", "--column", "created_at", "--older-than", "1d"), "there is no table nope"),
        (("a.b.c", *OPTIONS), "table must be 'name'"),
        (("audit", *OPTIONS, "--batch", "0"), "batch must be a number from 1 to 100000, got 0"),
        (("audit", *OPTIONS, "--batch", "x"), "--batch"),
        (("audit", *OPTIONS, "--older-than", "soon"), "'soon' is not a duration"),
        (("audit", *OPTIONS, "--where", "kind ="), "syntax error"),
        (("audit", "--handlers", "nowhere"), "there is no package 'nowhere'"),
        ((), "TABLE"),
    ],
)
def test_what_cannot_work_is_one_line(
    here: InProcess, db: psycopg.Connection[Any], options: tuple[str, ...], reason: str
) -> None:
    """Before anything is changed."""
    make_audit(db, old=1)

    assert reason in the_line(here.run("purge", *options))
    assert keys(db) == [1]


def test_interrupted_it_stops_between_batches_and_says_what_was_done(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """And exits as an interrupted program does."""
    make_audit(db, old=20_000)
    process = project.start("purge", "audit", *OPTIONS, "--batch", "100", "--pause", "20ms")
    wait_until("some rows are gone", lambda: value(db, "select count(*) from audit") < 19_500)

    process.signal(signal.SIGINT)

    assert process.wait() == 130
    gone = 20_000 - value(db, "select count(*) from audit")
    assert process.log == f"stopped; deleted {gone:,} rows of public.audit\n"
    assert gone % 100 == 0


def test_a_second_interrupt_stops_at_once(project: Project, db: psycopg.Connection[Any]) -> None:
    """In the middle of a batch, which is undone as a whole."""
    make_audit(db, old=100)
    db.execute(
        "create function slow() returns trigger language plpgsql as"
        " 'begin perform pg_sleep(30); return old; end';"
        "create trigger slow before delete on audit for each row execute function slow()"
    )
    process = project.start("purge", "audit", *OPTIONS)
    question = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
    wait_until("it is in a batch", lambda: value(db, question))

    process.signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.signal(signal.SIGINT)

    assert process.wait(10) == 130
    wait_until("its batch is undone", lambda: not value(db, question))
    assert len(keys(db)) == 100
    assert "Traceback" not in process.log


def test_on_a_terminal_there_is_a_progress_bar(project: Project, db: psycopg.Connection[Any]) -> None:
    """On standard error, so that the answer can be piped on."""
    make_audit(db, old=2000)
    ours, theirs = pty.openpty()
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "poller",
            "purge",
            "audit",
            *OPTIONS,
            "--batch",
            "100",
            "--pause",
            "5ms",
            "--json",
        ],
        cwd=project.folder,
        env=project.environment(TERM="xterm", COLUMNS="100"),
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=True,
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)

    assert "purging audit" in shown
    assert "/2000" in shown.replace(" ", "")
    assert json.loads(ended.stdout)[0]["rows"] == 2000
