"""Random actions on the real statements, beside a model of what the contract says of them.

Some in the suite, ten times as many in `make test-thorough`.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from poller import Fail, Snooze, handler
from poller.services.sweeper import Sweeper
from poller.store import settlements
from poller.store.binding import bind
from poller.store.lease import Result
from poller.store.outcomes import of_answer, of_error, released
from tests.claiming import HandWorker
from tests.times import TIMES

if TYPE_CHECKING:
    from poller.model.outcome import Outcome
    from poller.store.lease import Task

EXAMPLES = 25 * TIMES
ATTEMPTS = 3
WORKERS = 3


@handler("thing", status="pending", to="normal", attempts=ATTEMPTS, wait=lambda _: 0.0)
def work(row: Any) -> None: ...


@dataclass
class ContractModel:
    """What the contract says of a row: where it is, how often it was tried, who holds it."""

    status: str = "pending"
    attempts: int = 0
    trouble: str | None = None  # waiting or parked
    visit: str | None = None  # the lease of the attempt that brought the trouble
    crashes: int = 0  # in a row
    company: int = 0  # of how many rows one killed their worker
    lease: str | None = None
    moves: int = 0

    def settle(self, trouble: str | None, lease: str) -> None:
        """Begin, keep or end the trouble."""
        self.visit = (self.visit or lease) if trouble else None
        self.trouble, self.crashes, self.company = trouble, 0, 0

    def crash(self, held: int, of_lease: int) -> None:
        """End an attempt with its worker, which held so many rows, so many of them under the same lease."""
        assert self.lease is not None
        crashes, company, suspected = self.crashes + 1, self.company, self.company > 0
        alone, last = held == 1 or company == 1, self.attempts + 1 >= ATTEMPTS
        spared = not alone and (suspected or last)
        self.settle("parked" if last and not spared else "waiting", self.lease)
        self.attempts += not spared
        company = 1 if alone else of_lease if suspected else held
        self.crashes, self.company = crashes, company if crashes > 1 else max(2, company)


@dataclass
class Fleet:
    """The workers of one example, what they were given, and the model."""

    url: str
    db: psycopg.Connection[Any]
    rows: dict[str, ContractModel] = field(default_factory=dict)
    given: list[tuple[int, Task]] = field(default_factory=list)
    workers: list[HandWorker] = field(default_factory=list)
    number: int = 0


class ModelMachine(RuleBasedStateMachine):
    """Anybody may do anything at any time; what was given may be settled late, or twice."""

    url = ""

    @initialize()
    def begin(self) -> None:
        db = psycopg.connect(self.url, autocommit=True)
        db.execute("truncate thing, poller.claim, poller.attempt, poller.event, poller.move, poller.tally")
        self.fleet = Fleet(self.url, db)
        self.binding = bind(db, work)
        self.fleet.workers = [HandWorker(self.url, self.binding) for _ in range(WORKERS)]

    def teardown(self) -> None:
        if hasattr(self, "fleet"):
            self.what_nobody_has_can_be_had()
            for worker in self.fleet.workers:
                worker.link.close()
            self.fleet.db.close()

    # --- what people do ---

    @rule(count=st.integers(1, 3))
    def rows_are_added(self, count: int) -> None:
        for _ in range(count):
            self.fleet.number += 1
            self.fleet.db.execute("insert into thing values (%s)", [self.fleet.number])
            self.fleet.rows[str(self.fleet.number)] = ContractModel()

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
        claimed = worker.claims.claim_retries(self.binding, worker.id, limit)
        for task in claimed.tasks:
            row = self.fleet.rows[task.key]
            assert (row.status, row.trouble, row.lease) == ("pending", "waiting", None)
            assert (task.attempt, task.visit, task.company) == (row.attempts + 1, row.visit, row.company)
        _are_of_one_kind(claimed.tasks)
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

    @rule(data=st.data(), how=st.sampled_from(["move", "move", "raise", "fail", "snooze", "release", "undo"]))
    def some_are_settled(self, data: st.DataObject, how: str) -> None:
        if not self.fleet.given:
            return
        places = data.draw(
            st.lists(st.integers(0, len(self.fleet.given) - 1), min_size=1, max_size=4, unique=True)
        )
        number = self.fleet.given[places[0]][0]
        tasks = list({task.key: task for _, task in (self.fleet.given[at] for at in places)}.values())
        results = [Result(task, _outcome(how, task), 0.001) for task in tasks]
        became = self.fleet.workers[number].settlements.settle(results).became
        assert became == [self._expected(result) for result in results]

    def _expected(self, result: Result) -> str:
        """Say what becomes of an outcome, and of the row, by the contract."""
        task, outcome = result.task, result.outcome
        row = self.fleet.rows[task.key]
        if row.lease != task.lease.id:
            return "late"
        row.lease = None
        if outcome.verdict == "released":
            if outcome.begun and row.trouble is None:
                row.settle("waiting", task.lease.id)
            return "released"
        if row.status != "pending":
            if task.retaken:
                row.attempts = 0
                row.settle(None, task.lease.id)
            return "gone" if row.status == "gone" else "superseded"
        if outcome.to is not None:
            row.status, row.moves = outcome.to, row.moves + 1
        trouble = {"retrying": "waiting", "snoozed": "waiting", "parked": "parked"}.get(outcome.verdict)
        row.settle(trouble, task.lease.id)
        row.attempts = outcome.attempt if row.trouble else 0
        return str(outcome.verdict)

    @rule(number=st.integers(0, WORKERS - 1))
    def a_worker_dies_and_is_swept(self, number: int) -> None:
        """It comes back as another; what it was given stays in the hands of its ghost."""
        worker = self.fleet.workers[number]
        self.fleet.db.execute("update poller.worker set died_at = now() where id = %s", [worker.id])
        Sweeper(worker.link, [self.binding]).sweep()
        leases = {task.lease.id for at, task in self.fleet.given if at == number}
        held = [row for row in self.fleet.rows.values() if row.lease in leases]
        of_lease = Counter(row.lease for row in held)
        for row in held:
            if row.status == "pending":
                row.crash(len(held), of_lease[row.lease])
            elif row.trouble:
                row.attempts = 0
                row.settle(None, "")
        for row in held:
            row.lease = None
        self.fleet.workers[number] = HandWorker(self.url, self.binding)
        worker.link.close()

    # --- what must hold ---

    def what_nobody_has_can_be_had(self) -> None:
        """Whatever has come before: each row that is neither leased nor parked nor final is claimed in the end."""
        worker, had = HandWorker(self.url, self.binding), set()
        while tasks := worker.claim(3):
            had |= {task.key for task in tasks}
        for _ in range(
            2
        ):  # rows that are gone may hide others, until the claimer that finds nothing tidies up
            while tasks := worker.claims.claim_retries(self.binding, worker.id, 3).tasks:
                had |= {task.key for task in tasks}
            worker.claims.tidy_retries(self.binding)
        worker.link.close()
        rows = self.fleet.rows.items()
        free = {key for key, row in rows if (row.status, row.lease) == ("pending", None)}
        assert had == {key for key in free if self.fleet.rows[key].trouble != "parked"}

    @invariant()
    def no_row_is_in_a_state_that_no_command_shows(self) -> None:
        """A row that its handler is for is due, leased by a living worker, waiting or parked: one of these."""
        if not hasattr(self, "fleet"):
            return
        states = self.fleet.db.execute(
            "select t.id::text, count(w.id), count(c.lease), max(a.state) from thing as t"
            " left join poller.claim as c on t.id::text = any(c.keys)"
            " left join poller.worker as w on w.id = c.worker_id and w.died_at is null"
            " left join poller.attempt as a on a.key = t.id::text"
            " where t.status = 'pending' group by t.id"
        )
        for key, living, leases, state in states:
            assert living == leases <= 1, key
            assert state in (None, "waiting", "snoozed", "parked"), key
            assert not (leases and state == "parked"), key

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
            "select key, attempt, crashes, company, case state when 'parked' then state else 'waiting' end"
            " from poller.attempt"
        ).fetchall()
        assert sorted(trouble) == sorted(
            (key, row.attempts, row.crashes, row.company, row.trouble)
            for key, row in rows.items()
            if row.trouble
        )
        moves = db.execute("select key, count(*) from poller.history where verdict = 'moved' group by 1")
        assert dict(moves.fetchall()) == {key: row.moves for key, row in rows.items() if row.moves}


def _are_of_one_kind(tasks: list[Task]) -> None:
    """Suspects come under one lease, of one company, half as many; others each under a lease of its own."""
    companies, leases = {task.company for task in tasks}, {task.lease.id for task in tasks}
    assert len(companies) <= 1
    for company in companies:
        assert len(leases) == (1 if company else len(tasks))
        assert not company or len(tasks) <= max(1, company // 2)


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
        case "undo":
            return released(work, task.attempt, begun=True)
        case _:
            return released(work, task.attempt)


@pytest.mark.fault("F1", "F3", "F4", "F20", "F21", "F31")
@pytest.mark.parametrize("many", [1, 1000], ids=["settle_moved", "settle"])
def test_g1_g2_g3_g4_g6_whatever_anybody_does_in_whatever_order(
    url: str, db: psycopg.Connection[Any], many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With either statement that settles."""
    monkeypatch.setattr(settlements, "SIMPLE_BATCH_ROWS", many)
    db.execute("create table thing (id int primary key, status text not null default 'pending')")
    monkeypatch.setattr(ModelMachine, "url", url)
    run_state_machine_as_test(
        ModelMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate] if os.environ.get("POLLER_FIRST_FAILURE") else list(Phase),
        ),
    )
