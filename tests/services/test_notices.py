"""Which worker looks at a notification: one of all that hear it, so that a fleet asks no more than one worker does."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import fixed_rate
from poller.client.triggers import add_triggers
from poller.db.connection import Link, OwnConnection, opener
from poller.jobs import job_store
from poller.jobs.run import handler_of
from poller.services.loop import Loop
from poller.services.pipeline import Pipeline, Wakes
from poller.services.poll_turns import Turn
from poller.services.scheduler import Scheduler
from poller.services.sweeper import Sweeper
from poller.store.binding import bind_all
from poller.store.claims import Claims
from poller.store.liveness import register_handlers
from tests.claiming import heartbeat
from tests.engines import moves
from tests.harness import wait_until, workers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from poller.model.handler import Handler
    from poller.store.binding import Binding

JOBS = [fixed_rate("1s", name=f"job {number}")(lambda: None) for number in range(10)]
SAID = [f"table 16402 {transaction}" for transaction in range(7000, 7000 + 3 * 1000, 3)]

# --- whose it is --------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_each_notification_is_for_one_worker_and_all_have_a_like_share(workers: int) -> None:
    """Whatever the step between the transactions' numbers is."""
    turns = [Turn(workers, place) for place in range(workers)]
    share = Counter(place for said in SAID for place, turn in enumerate(turns) if turn.answers(said))
    assert share.total() == len(SAID)
    assert min(share.values()) > 0.7 * len(SAID) / workers
    assert len(share) == workers


def test_of_workers_that_differ_one_that_knows_the_handler_looks_at_it() -> None:
    """Fleets at random, of programs with some handlers each; places as a beat tells them (beat.sql)."""
    for seed in range(200):
        at_random = random.Random(seed)
        fleet = [
            frozenset(at_random.sample(range(4), at_random.randint(1, 4)))
            for _ in range(at_random.randint(1, 9))
        ]
        turns = []
        for mine, known in enumerate(fleet):
            peers = [number for number, others in enumerate(fleet) if others >= known]
            turns.append(Turn(len(peers), peers.index(mine)))
        for said in SAID[:20]:
            looking = [known for known, turn in zip(fleet, turns, strict=True) if turn.answers(said)]
            assert frozenset().union(*looking) == frozenset().union(*fleet), f"seed {seed}"


# --- fleets -------------------------------------------------------------------------------------------


class Member:
    """A worker of a fleet, with its claimer, settler and heartbeat."""

    def __init__(self, url: str, bindings: Sequence[Binding], slots: int, poll: float) -> None:
        self._links = [Link(url, name) for name in ("beat", "claim", "settle")]
        self.heartbeat = heartbeat(self._links[0], bindings, slots=slots, on_join=self._look)
        self.pipeline = Pipeline(
            claims=self._links[1],
            settles=self._links[2],
            bindings=bindings,
            slots=slots,
            poll=poll,
            heartbeat=self.heartbeat,
            transactions=None,
            wakes=Wakes(claimer=self._wake_claimer, heartbeat=self._wake_heartbeat),
        )
        claimer, settler = self.pipeline.claimer, self.pipeline.settler
        self.claiming = Loop("claimer", claimer.run_once, claimer.recover, sleep=claimer.sleep)
        self._settling = Loop("settler", settler.run_once, settler.recover)
        self._beating = Loop("heartbeat", self.heartbeat.run_once, sleep=self.heartbeat.sleep)

    def _look(self) -> None:
        self.pipeline.claimer.notice()
        self.claiming.wake()

    def _wake_claimer(self) -> None:
        self.claiming.wake()

    def _wake_heartbeat(self) -> None:
        self._beating.wake()

    def start(self) -> None:
        """Join the fleet, and claim."""
        for loop in (self._beating, self.claiming, self._settling):
            loop.start()

    def vanish(self) -> None:
        """End without a word, as a process does that is killed."""
        for loop in (self._beating, self.claiming, self._settling):
            loop.stop()
        self.pipeline.settler.wake()
        for loop in (self._beating, self.claiming, self._settling):
            loop.join(10)
        self.pipeline.executor.close()
        for link in self._links:
            link.close()


@pytest.fixture
def bindings(url: str, db: psycopg.Connection[Any]) -> list[Binding]:
    """A handler of a table with a trigger, and jobs."""
    db.execute(
        "create table thing (id int generated always as identity primary key, status text not null default 'pending')"
    )
    handlers: list[Handler] = [moves("thing")]
    add_triggers(db, handlers)
    job_store.declare(db, JOBS)
    bound = bind_all(db, [*handlers, *(handler_of(job, opener(url)) for job in JOBS)])
    register_handlers(db, bound)
    return bound


@contextlib.contextmanager
def gathered(
    url: str, bindings: Sequence[Binding], workers: int, *, slots: int = 4, poll: float = 1.0
) -> Iterator[list[Member]]:
    """Have so many workers join, each of which knows of all others."""
    members = [Member(url, bindings, slots, poll) for _ in range(workers)]
    try:
        for member in members:
            member.start()
        wait_until("all listen", lambda: all(each.pipeline.claimer.asked_at for each in members))
        wait_until("all know of all", lambda: {each.heartbeat.turn.workers for each in members} == {workers})
        places = {each.heartbeat.turn.place for each in members}
        assert places == set(range(workers))
        yield members
    finally:
        for member in members:
            member.vanish()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many statements the claimers of this process have executed, and how many claims of theirs were answered."""
    counted: Counter[str] = Counter()
    plain = OwnConnection.find_own_names

    def find_own_names(self: OwnConnection, query: Any) -> None:
        counted[self.info.parameter_status("application_name") or ""] += 1
        plain(self, query)

    monkeypatch.setattr(OwnConnection, "find_own_names", find_own_names)
    claims = Claims.claim

    def claim(self: Claims, *asked: Any, **options: Any) -> Any:
        counted["claims"] += 1
        found = claims(self, *asked, **options)
        counted["answers"] += 1
        return found

    monkeypatch.setattr(Claims, "claim", claim)
    return counted


def moved(db: psycopg.Connection[Any]) -> int:
    """Return how many rows have moved."""
    return db.execute("select from thing where status = 'normal'").rowcount


def rows(_: str, db: psycopg.Connection[Any]) -> int:
    """Insert rows one by one, and wait for each."""
    for number in range(40):
        db.execute("insert into thing default values")
        wait_until("it is moved", lambda: moved(db) > number)  # noqa: B023 - it is called at once
    return 40


def runs(url: str, db: psycopg.Connection[Any]) -> int:
    """Plan the jobs' slots, and wait for their runs."""
    link = Link(url, "planner")
    scheduler = Scheduler(link, JOBS)
    succeeded = "select from poller.run where status = 'succeeded'"

    def done() -> bool:
        scheduler.run_once()
        return db.execute(succeeded).rowcount >= 40

    wait_until("they have run", done)
    link.close()
    return db.execute(succeeded).rowcount


@pytest.mark.thorough
@pytest.mark.parametrize("arrive", [rows, runs])
def test_what_arrives_costs_as_many_claims_in_a_fleet_as_in_one_worker(
    url: str,
    db: psycopg.Connection[Any],
    bindings: list[Binding],
    asked: Counter[str],
    arrive: Callable[[str, psycopg.Connection[Any]], int],
) -> None:
    """Turns are far apart: what no worker answers would wait for one."""
    cost = {}
    for workers in (1, 4):
        db.execute("truncate thing, poller.run")
        with gathered(url, bindings, workers, poll=60.0):
            asked.clear()
            arrived = arrive(url, db)
            cost[workers] = asked["claims"] / arrived
        # They vanished, and gave nothing back.
        db.execute("delete from poller.claim; delete from poller.worker")
    assert cost[4] < 2 * cost[1], cost  # four times, if all of them looked
    assert cost[1] < 2, cost


def test_g1_what_a_worker_that_has_vanished_was_to_look_for_is_found_by_the_others_turns(
    url: str, db: psycopg.Connection[Any], bindings: list[Binding]
) -> None:
    """Nobody has noticed that it is gone; once somebody has, the others look at all notifications."""
    with gathered(url, bindings, 2, poll=0.5) as members:
        members[1].vanish()
        began = time.monotonic()
        for _ in range(12):
            db.execute("insert into thing default values")
        wait_until("all are moved", lambda: moved(db) == 12)
        assert time.monotonic() - began < 4, "two turns, of which one is missing"
        link = Link(url, "sweeper")
        sweeper = Sweeper(link, bindings)
        wait_until(
            "it is declared dead",
            lambda: sweeper.run_once() and len(workers_of(db)) == 1,
        )
        link.close()
        wait_until("it is not counted", lambda: members[0].heartbeat.turn.workers == 1)


def test_a_worker_that_stops_is_not_counted_while_its_handlers_end(
    url: str, db: psycopg.Connection[Any], bindings: list[Binding]
) -> None:
    """The others hear of it, and do not wait for their next beats."""
    with gathered(url, bindings, 3) as members:
        members[2].heartbeat.stop()
        members[2]._beating.wake()
        wait_until("the others know", lambda: [each.heartbeat.turn.workers for each in members[:2]] == [2, 2])


def test_what_one_worker_has_no_room_for_is_done_by_all(
    url: str, db: psycopg.Connection[Any], bindings: list[Binding]
) -> None:
    """One notification, of more rows than a worker has slots; nobody's turn comes in time for it."""
    with gathered(url, bindings, 4, slots=1, poll=60.0):
        db.execute("insert into thing select from generate_series(1, 30)")
        wait_until("all are moved", lambda: moved(db) == 30, timeout=20)
        assert db.execute("select distinct worker_id from poller.history").rowcount > 1


def test_rows_that_a_limit_has_turned_away_do_not_wait_for_a_turn(
    url: str, db: psycopg.Connection[Any], asked: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker whose row was in the way looks when that is done, though another one was turned away."""
    db.execute(
        "create table thing (id int generated always as identity primary key, status text not null default 'pending')"
    )
    # As after a while, in which those that are turned away have come to ask seldom.
    monkeypatch.setattr("poller.services.claim_cursor.FIRST_MISS_SECONDS", 30.0)
    go_on: dict[int, threading.Event] = defaultdict(threading.Event)
    begun: list[int] = []

    def work(row: Any) -> None:
        begun.append(row.id)
        go_on[row.id].wait(30)

    def arrive(rows: int) -> None:
        db.execute("insert into thing default values")
        wait_until("it has begun", lambda: len(begun) == rows)

    handlers = [moves("thing", work, limit=2)]
    add_triggers(db, handlers)
    bound = bind_all(db, handlers)
    register_handlers(db, bound)
    with gathered(url, bound, 3, poll=60.0) as members:
        for first in range(1, 19, 3):
            arrive(first)
            arrive(first + 1)
            asked.clear()
            db.execute("insert into thing default values")
            wait_until("a worker has been turned away", lambda: asked["answers"] > 0)
            for member in members:  # the one that has the first has not been turned away itself
                cursor = member.pipeline.claimer._looks.cursors[bound[0]]
                cursor.until_settled, cursor.held_until = False, 0.0
            go_on[first].set()
            wait_until("the third has begun", lambda: len(begun) == first + 2, timeout=20)  # noqa: B023 - at once
            go_on[first + 1].set()
            go_on[first + 2].set()
            wait_until("all are moved", lambda: moved(db) == first + 2)  # noqa: B023 - at once


def test_a_row_that_is_locked_is_asked_for_seldom_and_taken_soon_after(
    url: str, db: psycopg.Connection[Any], bindings: list[Binding], asked: Counter[str]
) -> None:
    """A claim that brings nothing of what is due is not repeated at once, and for ever."""
    db.execute("alter table thing disable trigger poller_wake")
    with gathered(url, bindings, 1, poll=60.0):
        with psycopg.connect(url) as person:
            key = locked(db, person)
            asked.clear()
            db.execute("notify poller")
            wait_until("it is looked for again and again", lambda: asked["poller claim"] > 6)
            time.sleep(0.5)  # in which it would be looked for hundreds of times
            assert asked["poller claim"] < 40
        taken = "select from thing where id = %s and status = 'normal'"
        wait_until("it is taken", lambda: db.execute(taken, [key]).rowcount == 1, timeout=20)


def locked(db: psycopg.Connection[Any], person: psycopg.Connection[Any]) -> int:
    """Insert a row that a person locks before the worker has it, which may look at any moment; return its key."""
    while True:
        row = db.execute("insert into thing default values returning id").fetchone()
        assert row is not None
        found = person.execute("select from thing where id = %s and status = 'pending' for update", row)
        if found.rowcount == 1 and db.execute("select from poller.claim").rowcount == 0:
            return int(row[0])
        person.rollback()
        wait_until("it is moved", lambda: db.execute("select from poller.claim").rowcount == 0)
