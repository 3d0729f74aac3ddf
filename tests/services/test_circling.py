"""A row that is moved again and again is told of, and slowed down; rows that pass a few times are not."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from poller import handler
from poller.model.outcome import Became, Outcome
from poller.services import circling
from poller.services.circling import (
    CELLS,
    LONGEST_WAIT_SECONDS,
    MOST_KEPT_KEYS,
    MOST_MOVES,
    MOST_MOVES_WITH_DUE,
    WINDOW_SECONDS,
    Circling,
)
from poller.store.binding import Binding
from poller.store.lease import Lease, Result, Settled, Task
from tests.engines import column, do_nothing
from tests.harness import wait_until
from tests.times import one_in

if TYPE_CHECKING:
    import psycopg

    from tests.harness import Project

MOVED = Outcome(Became.MOVED, to="normal")


class Clock:
    """The monotonic clock, as the module reads it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(circling, "monotonic", made)
    return made


def _binding(status: str = "pending", **options: Any) -> Binding:
    made = handler("thing", status=status, to="normal", **options)(do_nothing)
    return Binding(made, table="thing")  # type: ignore[arg-type]


def _task(binding: Binding, key: str = "1", **known: Any) -> Task:
    return Task(Lease("lease", 1, binding, None, 0.0), key, (), **known)


def _move(
    rounds: Circling, binding: Binding, times: int, key: str = "1", became: Became = Became.MOVED
) -> None:
    for _ in range(times):
        rounds.note(Settled([Result(_task(binding, key), MOVED, 0.0)], [became]))


def _wait(rounds: Circling, task: Task) -> float:
    """Return for how long a task is put off; 0 if it may begin."""
    able, put_off = rounds.part([task])
    assert len(able) + len(put_off) == 1
    return 0.0 if able else put_off[0].outcome.delay or 0.0


@pytest.mark.parametrize("became", circling.MOVES)
def test_the_next_attempt_waits_longer_with_each_move_of_a_row_that_goes_round(
    clock: Clock, became: str
) -> None:
    """From one second to a minute; and once it has waited, it may begin. No attempt is counted meanwhile."""
    rounds, binding = Circling(), _binding()
    _move(rounds, binding, MOST_MOVES, became=became)
    assert _wait(rounds, _task(binding)) == 0
    waits = []
    for _ in range(9):
        _move(rounds, binding, 1, became=became)
        waits.append(_wait(rounds, _task(binding)))
        clock.now += waits[-1]
        assert _wait(rounds, _task(binding)) == 0
    assert waits == [1, 2, 4, 8, 16, 32, LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS]
    _move(rounds, binding, 1)
    _, [put_off] = rounds.part([_task(binding, attempt=3, retaken=True)])
    assert (put_off.outcome.verdict, put_off.outcome.attempt) == (Became.SNOOZED, 2)


def test_rows_that_pass_a_few_times_are_not_slowed(clock: Clock) -> None:
    """Ten times a minute, for an hour; nor does a chain over twenty statuses, whose handlers count apart."""
    rounds, chain = Circling(), [_binding(f"s{number}") for number in range(20)]
    for _ in range(60):
        _move(rounds, chain[0], MOST_MOVES)
        clock.now += WINDOW_SECONDS + 1
    for _ in range(MOST_MOVES):
        for each in chain:
            _move(rounds, each, 1)
    assert [_wait(rounds, _task(each)) for each in chain] == [0] * 20


def test_snoozes_and_failures_are_no_moves(clock: Clock) -> None:
    """They have their own delays."""
    rounds, binding = Circling(), _binding()
    for became in set(Became) - {Became.MOVED, Became.FAILED}:
        _move(rounds, binding, 100, became=became)
    assert _wait(rounds, _task(binding)) == 0


def test_a_handler_with_a_due_may_have_its_rows_come_round_twice_a_second(clock: Clock) -> None:
    """It sets the time itself; one that leaves it in the past is slowed down like any other."""
    rounds, binding = Circling(), _binding(due="at")
    _move(rounds, binding, MOST_MOVES_WITH_DUE)
    assert _wait(rounds, _task(binding)) == 0
    _move(rounds, binding, 1)
    assert _wait(rounds, _task(binding)) == 1


def test_a_row_that_has_stopped_going_round_is_not_slowed_any_more(clock: Clock) -> None:
    """Three minutes after its last move; its neighbours never were."""
    rounds, binding = Circling(), _binding()
    _move(rounds, binding, 3 * MOST_MOVES)
    assert _wait(rounds, _task(binding, "2")) == 0
    assert _wait(rounds, _task(binding, company=4)) == 0, "a suspect is on trial"
    clock.now += circling.KEPT_SECONDS + 1
    _move(rounds, binding, 1)
    assert _wait(rounds, _task(binding)) == 0


def test_a_handler_is_told_of_once_a_minute(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """With the table, the key, how often, and what to look for."""
    rounds, one, other = Circling(), _binding(), _binding("other")
    for each in (one, other):
        for key in ("1", "2"):
            _move(rounds, each, 2 * MOST_MOVES, key)
    assert len(caplog.records) == 2
    said = caplog.records[0].getMessage()
    assert "thing:pending: row 1 circles: it was moved 11 times within" in said
    assert "a trigger, another program, a handler that moves it back" in said
    clock.now += WINDOW_SECONDS
    _move(rounds, one, 1)
    assert "moved 21 times within 60s, and 1 other rows" in caplog.records[2].getMessage()


def test_g12_what_is_counted_is_bounded(clock: Clock) -> None:
    """However many rows go round, and however many pass."""
    rounds, binding = Circling(), _binding()
    results = [Result(_task(binding, str(key)), MOVED, 0.0) for key in range(MOST_KEPT_KEYS + 5000)]
    settled = Settled(results, [Became.MOVED] * len(results))
    for _ in range(MOST_MOVES + 2):
        rounds.note(settled)
    assert len(rounds._circles) == MOST_KEPT_KEYS
    assert len(rounds._cells) == CELLS


def test_moves_are_counted_by_many_threads(clock: Clock) -> None:
    """Those of transactional handlers, and the settler's."""
    rounds, binding = Circling(), _binding()
    threads = [threading.Thread(target=_move, args=(rounds, binding, 200)) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert rounds._circles[binding, "1"].moves >= 790


# --- in a fleet ---------------------------------------------------------------------------------------

BEFORE = """
create function flag() returns trigger language plpgsql as $$
begin update thing set status = 'pending' where id = new.id; return null; end $$;
create trigger flag after update of status on thing for each row
    when (new.status <> 'pending') execute function flag()
"""
WAYS = {
    "thread": ("def work(row): pass", ""),
    "coroutine": ("async def work(row): pass", ""),
    "batch": ("def work(rows): pass", ", batch=10"),
    "process": ("def work(row): pass", ', executor="process"'),
    "transactional": ("def work(row): pass", ", transactional=True"),
}


@pytest.mark.fault("F72")
@pytest.mark.parametrize("way", one_in(3, WAYS))
def test_g11_rows_whose_status_a_trigger_sets_back_are_slowed_down_and_told_of(
    project: Project, db: psycopg.Connection[Any], way: str
) -> None:
    """In whatever way the handler is run. A row that comes meanwhile is taken at once."""
    db.execute("create table thing (id int primary key, status text not null default 'pending', note text)")
    db.execute(BEFORE)
    db.execute("insert into thing select generate_series(1, 5)")
    function, options = WAYS[way]
    project.handlers(f'@handler("thing", status="pending", to="normal"{options})\n{function}\n')
    fleet = project.start("run", "--workers", "1", "--poll", "100ms")
    fleet.wait_for_log("circles: it was moved 11 times", timeout=60)
    wait_until(
        "each of them waits",
        lambda: column(db, "select count(*) from poller.attempt where state = 'snoozed'") == [5],
    )
    moves = _moves(db)
    assert moves < 5 * 2 * MOST_MOVES
    time.sleep(3)  # what would be hundreds of moves
    assert _moves(db) - moves <= 5 * 4
    assert fleet.log.count(" circles: ") == 1
    db.execute("drop trigger flag on thing")
    db.execute("insert into thing values (100)")
    wait_until(
        "it is done", lambda: column(db, "select status from thing where id = 100") == ["normal"], timeout=5
    )


def _moves(db: psycopg.Connection[Any]) -> int:
    [count] = column(db, "select coalesce(sum(moved), 0)::int from poller.tally")
    return int(count)


@pytest.mark.thorough
def test_g11_two_handlers_that_move_a_row_to_and_fro_are_slowed_down(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """By each of the workers, once it has seen enough."""
    db.execute("create table thing (id int primary key, status text not null default 'a')")
    db.execute("insert into thing values (1)")
    project.handlers(
        """
@handler("thing", status="a", to="b")
def ping(row): pass

@handler("thing", status="b", to="a")
def pong(row): pass
"""
    )
    fleet = project.start("run", "--workers", "2")
    fleet.wait_for_log(" circles: ")
    wait_until("it waits", lambda: column(db, "select state from poller.attempt") == ["snoozed"])
    time.sleep(5)  # what would be thousands of moves
    assert _moves(db) <= 2 * 2 * 2 * MOST_MOVES
