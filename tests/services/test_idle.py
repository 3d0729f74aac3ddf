"""What an idle fleet asks for, and how it hears of what it does not ask for."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from poller.db.connection import Link
from poller.db.statements import statement
from poller.executor.executor import Executor
from poller.runtime.bell import Bell
from poller.services import sweeper
from poller.services.claimer import Claimer
from poller.services.listener import Listener
from poller.services.loop import Loop
from poller.services.poll_turns import Turn
from poller.services.postponed import Postponed
from poller.services.sweeper import IDLE_LOOK_SECONDS, Sweeper
from poller.store.binding import bind
from poller.store.liveness import register_handlers
from tests.engines import moves
from tests.harness import Project, wait_until, workers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

REGISTER = "insert into poller.worker (supervisor, host, pid, slots, handlers, lease)"

# --- turns ------------------------------------------------------------------------------------------


def test_a_worker_alone_looks_in_every_poll_interval() -> None:
    """There is nobody to take turns with."""
    assert Turn().wait(1.5) == 1.5


@pytest.mark.parametrize("workers", [2, 4, 7])
def test_together_they_look_once_in_a_poll_interval(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    """Each follows its own clock, which is off by some time; the database's is common."""
    looks = []
    for place in range(workers):
        offset = 1000.3 * place
        now = 17.0 - offset
        for _ in range(3):
            monkeypatch.setattr("poller.services.poll_turns.monotonic", lambda now=now: now)
            now += Turn(workers, place, offset).wait(1.0)
            looks.append(now + offset)
    gaps = [later - sooner for sooner, later in pairwise(sorted(looks))]
    assert gaps == pytest.approx([1.0] * (3 * workers - 1))


def test_a_turn_that_has_just_been_taken_is_not_taken_again() -> None:
    """A wake-up a little before its time is not followed by another right after it."""
    turn = Turn(4, 0, -time.monotonic() - 0.3)  # its turn is in 0.3 s
    assert turn.wait(1.0) == pytest.approx(4.3, abs=0.05)


def test_the_beat_tells_a_worker_its_turn(project: Project, db: psycopg.Connection[Any]) -> None:
    """Three workers with one handler, and one that has another as well: only it can look for that."""
    ids = [
        db.execute(
            "insert into poller.worker (supervisor, host, pid, slots, handlers, lease)"
            " values (gen_random_uuid(), 'h', 1, 1, %s, '30s') returning id",
            [handlers],
        ).fetchone()[0]  # type: ignore[index]
        for handlers in ([1], [1, 2], [1], [2, 1])
    ]

    def turn(worker: int, *, stopping: bool = False) -> tuple[int, int]:
        row = db.execute(statement("beat"), {"worker": worker, "stopping": stopping}).fetchone()
        assert row is not None
        assert abs(row[2] - time.time()) < 60
        return row[:2]

    assert [turn(each) for each in ids] == [(4, 0), (2, 0), (4, 2), (2, 1)]
    assert turn(ids[0], stopping=True) == (4, 0)
    assert turn(ids[2]) == (3, 1), "one that stops takes no more turns"
    db.execute("update poller.worker set died_at = now() where id = %s", [ids[3]])
    assert turn(ids[1]) == (1, 0)
    assert db.execute(statement("beat"), {"worker": ids[3], "stopping": False}).fetchone() is None


def test_who_has_no_room_in_its_turn_wakes_those_that_have_most(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Once, and only in its turn: woken ones that have none do not wake each other without end."""
    db.execute("create table thing (id int primary key, status text not null default 'pending')")
    binding = bind(db, moves("thing"))
    link = Link(url, "test")
    register_handlers(link.connection, [binding])
    executor = Executor(slots=0, report=lambda _: None)
    looking = Claimer(
        link=link,
        bindings=[binding],
        executor=executor,
        worker=lambda: 99,
        mean_seconds={},
        give_back=lambda _: None,
        held=list,
        unwritten=lambda: 0,
        postponed=Postponed(link, lambda *_: None, lambda *_: None),
        poll=60.0,
    )
    full, roomy, roomier, _ = [
        db.execute(
            f"{REGISTER} values (gen_random_uuid(), 'h', 1, %s, %s, '1m') returning id", each
        ).fetchone()
        for each in ((1, [binding.id]), (2, [binding.id]), (3, [binding.id]), (9, []))
    ]
    assert full
    assert roomy
    assert roomier
    db.execute(
        "insert into poller.claim (handler_id, worker_id, keys) values (%s, %s, '{7,8}')",
        [binding.id, full[0]],
    )
    woken = {f"worker {worker} {binding.id}" for (worker,) in (roomy, roomier)}
    assert looking.run_once() > 50
    db.execute("insert into thing values (1)")
    db.execute("listen poller")
    for its_turn in (False, True, False):
        looking.look()
        if its_turn:
            looking._looks._turn_at = 0.0
        looking.run_once()
        assert {each.payload for each in db.notifies(timeout=0.2)} == (woken if its_turn else set())
    link.close()


# --- bells ------------------------------------------------------------------------------------------


def test_a_bell_that_is_rung_by_many_is_missed_by_nobody() -> None:
    """Whatever was changed before it was rung is seen; it need not ring for each change."""
    bell, changes, seen = Bell(), [0] * 4, 0

    def ring(who: int) -> None:
        for _ in range(20_000):
            changes[who] += 1
            bell.ring()

    threads = [threading.Thread(target=ring, args=(each,)) for each in range(4)]
    for each in threads:
        each.start()
    while seen < 80_000:
        began = time.monotonic()
        bell.wait(10)
        assert time.monotonic() - began < 5, f"{sum(changes)} changes, {seen} seen"
        seen = sum(changes)
    for each in threads:
        each.join()


# Signals are sent just as the main thread goes to sleep; it prints how many it has slept through.
SIGNALS = """
import os, signal, threading, time
from poller.runtime.bell import Bell

COUNT = 2000
bell, heard, slept_through = Bell(), 0, 0
bell.ring_at_signals()

def hear(*_):
    global heard
    heard += 1

def send():
    for number in range(COUNT):
        go.acquire()
        for _ in range(number % 200):  # so that they come at all moments
            pass
        os.kill(os.getpid(), signal.SIGUSR1)

signal.signal(signal.SIGUSR1, hear)
go = threading.Semaphore(0)
threading.Thread(target=send, daemon=True).start()
for number in range(COUNT):
    go.release()
    began = time.monotonic()
    while heard <= number:
        bell.wait(10)
    slept_through += time.monotonic() - began > 9
print(slept_through)
"""


def test_no_signal_is_slept_through() -> None:
    """Python runs handlers between two steps of its own: one that comes after the last of them must ring, too."""
    ended = subprocess.run(
        [sys.executable, "-c", SIGNALS], capture_output=True, text=True, check=True, timeout=120
    )
    assert ended.stdout == "0\n"


def test_a_bell_waits_again_once_it_has_been_heard_or_put_back() -> None:
    """It rings once, however often it was rung."""
    bell = Bell()
    for put_back in (lambda: bell.wait(10), bell.clear):
        bell.ring()
        bell.ring()
        put_back()
        began = time.monotonic()
        bell.wait(0.05)
        assert time.monotonic() - began >= 0.05


# --- what supervisors hear ---------------------------------------------------------------------------


@pytest.fixture
def listening(url: str) -> Iterator[tuple[Listener, list[float]]]:
    """A listener that listens, and when it heard something."""
    heard: list[float] = []
    listener = Listener(Link(url, "listener"), lambda _: heard.append(time.monotonic()))
    loop = Loop("listener", listener.run_once, listener.recover, sleep=listener.sleep)
    loop.start()
    wait_until("it listens", listener.hears)
    heard.clear()
    yield listener, heard
    loop.stop()
    loop.join(5)
    listener.recover()


@pytest.mark.parametrize(
    "change",
    [
        f"{REGISTER} values (gen_random_uuid(), 'h', 1, 1, '{{}}', '1m')",
        "insert into poller.job (name, function, schedule, declared) values ('j', 'f', '@every 1m', true)",
    ],
    ids=["worker", "job"],
)
def test_a_supervisor_hears_of_what_it_has_not_asked_for(
    db: psycopg.Connection[Any], listening: tuple[Listener, list[float]], change: str
) -> None:
    """Of a worker that registers, and of a job that is added."""
    _, heard = listening
    db.execute(change)
    wait_until("it has heard", lambda: heard, timeout=5)


def test_after_a_cut_it_hears_nothing_and_says_so_until_it_listens_again(
    db: psycopg.Connection[Any], listening: tuple[Listener, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And whoever waits is woken both times: it may have missed something."""
    listener, heard = listening
    before = db.execute(
        "select pid from pg_stat_activity"
        " where application_name = 'poller listener' and datname = current_database()"
    ).fetchone()
    assert before is not None
    db.execute("select pg_terminate_backend(%s)", before)
    wait_until("it has noticed, and listens again", lambda: len(heard) >= 2 and listener.hears())
    db.execute("notify poller_supervisor")
    wait_until("it has heard", lambda: len(heard) >= 3)


def test_the_sweeper_looks_seldom_only_while_it_would_see_every_death(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Not if others' workers live, nor if it would not hear of them; and in time for a heartbeat that lapses."""
    me, hears = uuid4(), [True]
    link = Link(url, "sweeper")
    sweeping = Sweeper(link, [], me, lambda: hears[0])

    def worker(supervisor: Any, lease: str) -> None:
        db.execute(
            "insert into poller.worker (supervisor, host, pid, slots, handlers, lease) values (%s, 'h', 1, 1, '{}', %s)",
            [supervisor, lease],
        )

    assert sweeping.run_once() == IDLE_LOOK_SECONDS
    worker(me, "30s")
    assert sweeping.run_once() == IDLE_LOOK_SECONDS
    worker(me, "4s")
    assert 3.0 < sweeping.run_once() < 4.1
    hears[0] = False
    assert sweeping.run_once() == sweeper.PERIOD_SECONDS
    hears[0] = True
    worker(uuid4(), "30s")
    assert sweeping.run_once() == sweeper.PERIOD_SECONDS
    link.close()


def test_a_job_that_is_added_begins_at_once_though_the_planner_sleeps_for_long(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """It hears of it: there is nothing else to plan for hours."""
    project.handlers(
        """
from poller import Run, cron

@cron("0 3 1 1 *")
def yearly(run: Run): print("ran")
"""
    )
    project.start("run")
    wait_until("the fleet is there", lambda: workers_of(db))
    done = project.run("jobs", "add", "often", "yearly", "--every", "1s")
    assert done.returncode == 0, done.stderr
    began = time.monotonic()
    wait_until("it ran", lambda: db.execute("select from poller.run where job = 'often'").rowcount, timeout=8)
    assert time.monotonic() - began < 6
