"""Limits over a fleet whose workers are killed: never exceeded, and used to the full; proved from recorded times."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import wait_until, workers_of
from tests.times import TIMES

if TYPE_CHECKING:
    import psycopg

    from tests.harness import Project

KILLS = 4

# Each handler writes down when it began and when it ended: outside the database, a line at a time.
NOTE = """
import os, random, time
from tenacity import wait_fixed

def note(what, row):
    line = f"{what} {row.id} {os.getpid()} {time.time()}\\n".encode()
    os.write(FILE, line)

FILE = os.open("times.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
"""


@dataclass
class Attempt:
    """A call of the handler."""

    row: int
    pid: int
    began: float
    ended: float = float("inf")


def attempts(project: Project, deaths: dict[int, float]) -> list[Attempt]:
    """Return the calls of the handler; those of a killed worker ended with it."""
    found: list[Attempt] = []
    running: dict[tuple[int, int], Attempt] = {}
    for line in (project.folder / "times.txt").read_text().splitlines():
        what, row, pid, at = line.split()
        key = (int(row), int(pid))
        if what == "began":
            running[key] = Attempt(*key, float(at))
            found.append(running[key])
        else:
            running.pop(key).ended = float(at)
    for (_, pid), attempt in running.items():
        attempt.ended = deaths[pid]
    return found


def at_once(found: list[Attempt]) -> list[tuple[float, int]]:
    """Return how many calls were under way from each moment on."""
    changes = sorted([(each.began, 1) for each in found] + [(each.ended, -1) for each in found])
    count, seen = 0, []
    for at, change in changes:
        count += change
        seen.append((at, count))
    return seen


def make_rows(db: psycopg.Connection[Any], count: int, keys: int = 1) -> None:
    """Make the table `thing` with so many pending rows, whose owners take turns."""
    db.execute("create table thing (id int primary key, status text not null default 'pending', owner int)")
    db.execute("create index on thing (id) where status = 'pending'")
    db.execute(
        "insert into thing select i, 'pending', i %% %s from generate_series(1, %s) as i", [keys, count]
    )


def run_with_kills(project: Project, db: psycopg.Connection[Any], kills: int) -> dict[int, float]:
    """Run three supervisors until all rows are done, killing workers; return when each of those died."""
    for _ in range(3):
        project.start("run", "--workers", "2", "--concurrency", "8")
    deaths: dict[int, float] = {}
    wait_until("all work", lambda: len(workers_of(db)) == 6)
    for _ in range(kills):
        time.sleep(0.5)
        _, victim = random.choice(workers_of(db))
        os.kill(victim, signal.SIGKILL)
        deaths[victim] = time.time()
    left = "select count(*) from thing where status = 'pending'"
    wait_until("all rows are done", lambda: db.execute(left).fetchone() == (0,), timeout=90)
    return deaths


@pytest.mark.alone
def test_g6_a_limit_is_never_exceeded_and_used_to_the_full(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Seven at a time over six workers; the places of the dead come back."""
    make_rows(db, 600)
    project.handlers(
        NOTE
        + """
@handler("thing", status="pending", to="normal", limit=7)
def work(row):
    note("began", row)
    time.sleep(0.04)
    note("ended", row)
"""
    )
    found = attempts(project, run_with_kills(project, db, KILLS))
    seen = at_once(found)
    assert max(count for _, count in seen) == 7
    spans = pairwise(seen)
    busy = sum((until - since) * count for (since, count), (until, _) in spans)
    assert busy / (seen[-1][0] - seen[0][0]) > 3.5, "half of it at least, kills and a busy machine included"
    assert len({each.row for each in found}) == 600


@pytest.mark.alone
def test_g6_a_rate_is_never_exceeded_and_used_to_the_full(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Fifty in any second, over six workers."""
    make_rows(db, 500)
    project.handlers(
        NOTE
        + """
@handler("thing", status="pending", to="normal", rate="50/1s")
def work(row):
    note("began", row)
    note("ended", row)
"""
    )
    found = attempts(project, run_with_kills(project, db, KILLS))
    began = sorted(each.began for each in found)
    assert len(began) >= 500
    for at, later in zip(began, began[50:], strict=False):
        assert later - at >= 1.0
    assert len(began) / (began[-1] - began[0]) > 35, "of fifty in a second"


def test_g6_each_key_is_handled_in_order_one_at_a_time(project: Project, db: psycopg.Connection[Any]) -> None:
    """Hundreds of keys with twenty rows each, four workers, failures at random: nobody overtakes, nobody starves."""
    keys = min(1000, 200 * TIMES)
    make_rows(db, 20 * keys, keys=keys)
    project.handlers(
        NOTE
        + """
@handler("thing", status="pending", to="normal", per_key="owner", wait=wait_fixed(0.2), attempts=99)
def work(row):
    note("began", row)
    failed = random.random() < 0.02
    note("ended", row)
    if failed:
        raise RuntimeError("by chance")
"""
    )
    done = project.run("run", "--workers", "4", "--drain", timeout=120)
    assert done.returncode == 0, done.stderr
    by_key: dict[int, list[Attempt]] = defaultdict(list)
    for each in attempts(project, {}):
        by_key[each.row % keys].append(each)
    assert len(by_key) == keys
    for mine in by_key.values():
        mine.sort(key=lambda each: each.began)
        rows = [each.row for each in mine]
        assert rows == sorted(rows)
        assert len(set(rows)) == 20
        assert all(one.ended <= two.began for one, two in pairwise(mine))
    assert db.execute("select count(*) from thing where status = 'normal'").fetchone() == (20 * keys,)


@pytest.mark.fault("F57")
@pytest.mark.parametrize("slow", ["claim", "begin"])
def test_a_rate_whose_claims_or_beginnings_take_long_moves_rows_all_the_same(
    project: Project, db: psycopg.Connection[Any], slow: str
) -> None:
    """Longer than the slack that its rows have; never more of them than it says; and what is given back is told."""
    make_rows(db, 60)
    if slow == "begin":  # from when the database has written the time down
        db.execute(
            "create function delay() returns trigger language plpgsql as"
            " $$ begin perform pg_sleep(0.2); return null; end $$"
        )
        db.execute("create trigger delay after insert on poller.start execute function delay()")
    where = "where='(select pg_sleep(0.2)) is not null', " if slow == "claim" else ""
    project.handlers(
        NOTE
        + f"""
@handler("thing", status="pending", to="normal", {where}rate="40/1s")
def work(row):
    note("began", row)
    note("ended", row)
"""
    )
    fleet = project.start("run", "--workers", "2", "--concurrency", "8")
    left = "select count(*) from thing where status = 'pending'"
    wait_until("all rows are done", lambda: db.execute(left).fetchone() == (0,), timeout=60)
    began = sorted(each.began for each in attempts(project, {}))
    assert len(began) == 60
    for at, later in zip(began, began[40:], strict=False):
        assert later - at >= 1.0
    if slow == "begin":
        assert "began too late after their claim" in fleet.log


def test_a_handler_that_fills_every_slot_leaves_one_to_a_rate(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """It would have each slot again before that handler is looked at, since its rows wait in the queue."""
    make_rows(db, 40)
    db.execute("create table busy (id int primary key, status text not null default 'pending')")
    db.execute("insert into busy select generate_series(1, 20000)")
    project.handlers(
        NOTE
        + """
@handler("busy", status="pending", to="normal")
def fill(row):
    time.sleep(0.02)

@handler("thing", status="pending", to="normal", rate="10/1s")
def work(row):
    note("began", row)
    note("ended", row)
"""
    )
    project.start("run", "--workers", "1", "--concurrency", "2")
    left = "select count(*) from thing where status = 'pending'"
    wait_until("all rows are done", lambda: db.execute(left).fetchone() == (0,), timeout=40)
    began = sorted(each.began for each in attempts(project, {}))
    assert began[-1] - began[0] < 20, "forty rows at ten in a second, on a loaded machine"
    assert db.execute("select from busy where status = 'normal' limit 50").rowcount == 50, (
        "nor does it stand still"
    )
