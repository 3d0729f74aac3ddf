"""Random actions on the real store, beside a model of what the contract says of them.

Some in the suite; for 10,000 examples: POLLER_EXAMPLES=10000 pytest tests/faults/test_stateful.py
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from poller import Fail, Snooze, handler, store
from poller.binding import bind
from poller.lease import Result
from poller.outcome import of_answer, of_error, released
from poller.sweeper import Sweeper
from tests.claiming import Worker

if TYPE_CHECKING:
    from poller.lease import Task
    from poller.outcome import Outcome

EXAMPLES = int(os.environ.get("POLLER_EXAMPLES", "100"))
ATTEMPTS = 3
WORKERS = 3


@handler("thing", status="pending", to="normal", attempts=ATTEMPTS, wait=lambda _: 0.0)
def work(row: Any) -> None: ...


@dataclass
class Model:
    """What the contract says of a row: where it is, how often it was tried, who holds it."""

    status: str = "pending"
    attempts: int = 0
    trouble: str | None = None  # waiting or parked
    lease: str | None = None
    moves: int = 0


@dataclass
class Fleet:
    """The workers of one example, what they were given, and the model."""

    url: str
    db: psycopg.Connection[Any]
    rows: dict[str, Model] = field(default_factory=dict)
    given: list[tuple[int, Task]] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    number: int = 0


class Machine(RuleBasedStateMachine):
    """Anybody may do anything at any time; what was given may be settled late, or twice."""

    url = ""

    @initialize()
    def begin(self) -> None:
        db = psycopg.connect(self.url, autocommit=True)
        db.execute("truncate thing, poller.claim, poller.attempt, poller.event, poller.move, poller.tally")
        self.fleet = Fleet(self.url, db)
        self.binding = bind(db, work)
        self.fleet.workers = [Worker(self.url, self.binding) for _ in range(WORKERS)]

    def teardown(self) -> None:
        if hasattr(self, "fleet"):
            for worker in self.fleet.workers:
                worker.link.close()
            self.fleet.db.close()

    # --- what people do ---

    @rule(count=st.integers(1, 3))
    def rows_are_added(self, count: int) -> None:
        for _ in range(count):
            self.fleet.number += 1
            self.fleet.db.execute("insert into thing values (%s)", [self.fleet.number])
            self.fleet.rows[str(self.fleet.number)] = Model()

    @rule(data=st.data(), status=st.sampled_from(["pending", "held", "normal"]))
    def a_row_is_edited(self, data: st.DataObject, status: str) -> None:
        there = sorted(key for key, row in self.fleet.rows.items() if row.status != "gone")
        if there:
            key = data.draw(st.sampled_from(there))
            self.fleet.db.execute("update thing set status = %s where id = %s", [status, key])
            self.fleet.rows[key].status = status

    @rule(data=st.data())
    def a_row_is_deleted(self, data: st.DataObject) -> None:
        free = [key for key, row in self.fleet.rows.items() if row.status != "gone"]
        if free:
            key = data.draw(st.sampled_from(sorted(free)))
            self.fleet.db.execute("delete from thing where id = %s", [key])
            self.fleet.rows[key].status = "gone"

    # --- what workers do ---

    @rule(number=st.integers(0, WORKERS - 1), limit=st.integers(1, 4))
    def a_worker_claims(self, number: int, limit: int) -> None:
        worker = self.fleet.workers[number]
        free = [
            key
            for key, row in self.fleet.rows.items()
            if row.status == "pending" and row.lease is None and row.trouble is None
        ]
        tasks = worker.claim(limit)
        assert [task.key for task in tasks] == sorted(free, key=int)[:limit]
        self._hold(number, tasks)

    @rule(number=st.integers(0, WORKERS - 1), limit=st.integers(1, 4))
    def a_worker_claims_retries(self, number: int, limit: int) -> None:
        worker = self.fleet.workers[number]
        claimed = worker.store.claim_retries(self.binding, worker.id, limit, isolated=True)
        for task in claimed.tasks:
            row = self.fleet.rows[task.key]
            assert (row.status, row.trouble, row.lease) == ("pending", "waiting", None)
            assert task.attempt == row.attempts + 1
        due = [
            row
            for row in self.fleet.rows.values()
            if (row.status, row.trouble, row.lease) == ("pending", "waiting", None)
        ]
        assert bool(claimed.tasks) == bool(due) or len(self.fleet.rows) > limit
        self._hold(number, claimed.tasks)

    def _hold(self, number: int, tasks: list[Task]) -> None:
        for task in tasks:
            self.fleet.rows[task.key].lease = task.lease.id
            self.fleet.given.append((number, task))

    @rule(data=st.data(), how=st.sampled_from(["move", "move", "raise", "fail", "snooze", "release"]))
    def some_are_settled(self, data: st.DataObject, how: str) -> None:
        if not self.fleet.given:
            return
        places = data.draw(
            st.lists(st.integers(0, len(self.fleet.given) - 1), min_size=1, max_size=4, unique=True)
        )
        number = self.fleet.given[places[0]][0]
        tasks = list({task.key: task for _, task in (self.fleet.given[at] for at in places)}.values())
        results = [Result(task, _outcome(how, task), 0.001) for task in tasks]
        became = self.fleet.workers[number].store.settle(results)
        assert became == [self._expected(result) for result in results]

    def _expected(self, result: Result) -> str:
        """Say what becomes of an outcome, and of the row, by the contract."""
        task, outcome = result.task, result.outcome
        row = self.fleet.rows[task.key]
        if row.lease != task.lease.id:
            return "late"
        row.lease = None
        if outcome.verdict == "released":
            return "released"
        if row.status != "pending":
            if task.retaken:
                row.attempts, row.trouble = 0, None
            return "gone" if row.status == "gone" else "superseded"
        if outcome.to is not None:
            row.status, row.moves = outcome.to, row.moves + 1
        row.trouble = {"retrying": "waiting", "snoozed": "waiting", "parked": "parked"}.get(outcome.verdict)
        row.attempts = outcome.attempt if row.trouble else 0
        return str(outcome.verdict)

    @rule(number=st.integers(0, WORKERS - 1))
    def a_worker_dies_and_is_swept(self, number: int) -> None:
        """It comes back as another; what it was given stays in the hands of its ghost."""
        worker = self.fleet.workers[number]
        self.fleet.db.execute("update poller.worker set died_at = now() where id = %s", [worker.id])
        Sweeper(worker.store, [self.binding]).sweep()
        leases = {task.lease.id for at, task in self.fleet.given if at == number}
        for row in self.fleet.rows.values():
            if row.lease in leases:
                row.lease = None
                if row.status == "pending":
                    row.attempts += 1
                    row.trouble = "parked" if row.attempts >= ATTEMPTS else "waiting"
                elif row.trouble:
                    row.attempts, row.trouble = 0, None
        self.fleet.workers[number] = Worker(self.url, self.binding)
        worker.link.close()

    # --- what must hold ---

    @invariant()
    def the_database_says_what_the_model_says(self) -> None:
        if not hasattr(self, "fleet"):
            return
        db, rows = self.fleet.db, self.fleet.rows
        there = dict(db.execute("select id::text, status from thing").fetchall())
        assert there == {key: row.status for key, row in rows.items() if row.status != "gone"}
        held = db.execute("select k, lease::text from poller.claim, unnest(keys) as k").fetchall()
        assert sorted(held) == sorted((key, row.lease) for key, row in rows.items() if row.lease)
        trouble = db.execute(
            "select key, attempt, case state when 'parked' then state else 'waiting' end from poller.attempt"
        ).fetchall()
        assert sorted(trouble) == sorted(
            (key, row.attempts, row.trouble) for key, row in rows.items() if row.trouble
        )
        moves = db.execute("select key, count(*) from poller.history where verdict = 'moved' group by 1")
        assert dict(moves.fetchall()) == {key: row.moves for key, row in rows.items() if row.moves}


def _outcome(how: str, task: Task) -> Outcome:
    match how:
        case "move":
            return of_answer(work, None, task.attempt)
        case "raise":
            return of_error(work, ValueError("no"), task.attempt)
        case "fail":
            return of_error(work, Fail("for good"), task.attempt)
        case "snooze":
            return of_error(work, Snooze("0s"), task.attempt)
        case _:
            return released(work, task.attempt)


@pytest.mark.fault("F1", "F3", "F4", "F20", "F21", "F31")
@pytest.mark.parametrize("many", [1, 1000], ids=["settle_moved", "settle"])
def test_g1_g2_g3_g4_g6_whatever_anybody_does_in_whatever_order(
    url: str, db: psycopg.Connection[Any], many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With either statement that settles."""
    monkeypatch.setattr(store, "MANY", many)
    db.execute("create table thing (id int primary key, status text not null default 'pending')")
    monkeypatch.setattr(Machine, "url", url)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate] if os.environ.get("POLLER_FIRST_FAILURE") else list(Phase),
        ),
    )
