"""Handlers that take batches: what they are given, what they may answer, and what one bad row does."""

from __future__ import annotations

import asyncio
import threading
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import text

from poller import Context, Fail, PollerError, Retry, Row, Snooze, Transition, handler
from poller.errors import ConfigurationError
from poller.testing import Engine
from tests.engines import do_nothing, moves

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller import Handler
    from poller.testing import Done

ROWS = 10


@pytest.fixture
def url(url: str) -> str:
    """A database with ten tasks."""
    with psycopg.connect(url) as db:
        db.execute("create table task (id int primary key, status text, note text)")
        db.execute("insert into task select i, 'pending' from generate_series(1, %s) as i", [ROWS])
        db.execute("create table ledger (task int primary key)")
    return url


class Calls:
    """A handler's function that keeps what it was called with."""

    def __init__(self, step: Callable[..., Any] = lambda _: None) -> None:
        self.keys: list[list[int]] = []
        self._step = step

    def __call__(self, rows: list[Row]) -> Any:
        self.keys.append([row.id for row in rows])
        return self._step(rows)


def run(url: str, step: Handler, hours: int = 0) -> list[Done]:
    """Run the tasks on one thread, so that batches come one after the other."""
    with Engine(url, step, concurrency=1) as engine:
        done = engine.run_due()
        for _ in range(hours):
            engine.advance("1h")
            done += engine.run_due()
    return done


def statuses(db: psycopg.Connection[Any]) -> dict[str, list[int]]:
    """Return the tasks by their status."""
    rows = db.execute("select status, array_agg(id order by id) from task group by status").fetchall()
    return dict(rows)


ALL = list(range(1, ROWS + 1))


def test_a_handler_gets_lists_of_up_to_so_many_rows(db: psycopg.Connection[Any], url: str) -> None:
    """In order; the last is as long as it is. They are one call each, and settled together."""
    calls = Calls()
    done = run(url, moves("task", calls, batch=4))
    assert calls.keys == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
    assert statuses(db) == {"normal": ALL}
    assert {(each.became, each.to, each.attempt) for each in done} == {("moved", "normal", 1)}
    assert len(done) == ROWS


def test_a_coroutine_gets_lists_too(db: psycopg.Connection[Any], url: str) -> None:
    """On the worker's event loop."""
    seen: list[int] = []

    async def step(rows: list[Row]) -> list[str]:
        await asyncio.sleep(0)
        seen.append(len(rows))
        if len(rows) > 2:
            raise ValueError("too many")
        return ["normal"] * len(rows)

    run(url, moves("task", step, batch=4))
    assert seen == [4, 2, 2, 4, 2, 2, 2]
    assert statuses(db) == {"normal": ALL}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda _: "other", {"other": ALL}),
        (lambda _: Transition("other", note="x"), {"other": ALL}),
        (lambda rows: ["other" if row.id % 2 else "normal" for row in rows], {"other": [1, 3, 5, 7, 9]}),
        (lambda rows: tuple("other" for _ in rows), {"other": ALL}),
        (lambda rows: {row.key: Transition("other") for row in rows}, {"other": ALL}),
        (lambda rows: {row.key: "normal" for row in rows} | {3: "other"}, {"other": [3]}),
    ],
)
def test_it_answers_for_all_or_for_each(
    db: psycopg.Connection[Any], url: str, answer: Any, expected: dict[str, list[int]]
) -> None:
    """One answer, a list in order, or a dict by key."""
    run(url, moves("task", Calls(answer), batch=100, to=("normal", "other")))
    assert statuses(db)["other"] == expected["other"]
    assert len(statuses(db).get("normal", [])) == ROWS - len(expected["other"])


def test_what_a_dict_leaves_out_is_none(db: psycopg.Connection[Any], url: str) -> None:
    """And moves on, as None does everywhere."""
    run(url, moves("task", Calls(lambda _: {2: Fail("not this one")}), batch=100))
    assert statuses(db) == {"normal": [1, *ALL[2:]], "pending": [2]}


def test_an_exception_among_the_answers_is_its_rows(db: psycopg.Connection[Any], url: str) -> None:
    """Any that a handler of one row could have raised."""

    def step(rows: list[Row]) -> list[Any]:
        answers: list[Any] = [None] * len(rows)
        answers[:4] = [Fail("a"), Snooze("1h"), Retry("1h", "c"), ValueError("d")]
        return answers

    done = run(url, moves("task", step, batch=100))
    assert [(each.became, each.error) for each in done[:4]] == [
        ("parked", "a"),
        ("snoozed", None),
        ("retrying", "c"),
        ("retrying", "ValueError: d"),
    ]
    assert statuses(db) == {"pending": [1, 2, 3, 4], "normal": ALL[4:]}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda _: ["normal"], "the handler returned 1 answers for 10 rows"),
        (lambda _: {77: "normal"}, "the handler answered for 77, which is not one of its 10 rows"),
        (lambda _: 3.5, "the handler returned float; it may return 'normal'"),
        (lambda rows: ["nowhere"] * len(rows), "the handler returned 'nowhere'; it may return 'normal'"),
    ],
)
def test_an_answer_that_fits_nothing_fails_all_of_it(
    db: psycopg.Connection[Any], url: str, answer: Any, error: str
) -> None:
    """The function has done its work, so it is not called again for that at once."""
    calls = Calls(answer)
    done = run(url, moves("task", calls, batch=100, attempts=1))
    assert [each.became for each in done] == ["parked"] * ROWS
    assert all(error in str(each.error) for each in done)
    assert len(calls.keys) == 1
    assert statuses(db) == {"pending": ALL}


@pytest.mark.parametrize("raised", [Fail("no"), Retry("1h", "no"), Snooze("1h")], ids=str)
def test_an_answer_that_is_raised_is_for_all(url: str, raised: Exception) -> None:
    """It says what is to become of them, so nobody looks for the one whose fault it is."""

    def step(rows: list[Row]) -> None:
        raise raised

    calls = Calls(step)
    done = run(url, moves("task", calls, batch=100))
    assert len({each.became for each in done}) == 1
    assert len(done) == ROWS
    assert len(calls.keys) == 1


def _no_seven(rows: list[Row]) -> None:
    if any(row.id == 7 for row in rows):
        raise ValueError("seven")


def test_one_bad_row_does_not_fail_its_neighbours(db: psycopg.Connection[Any], url: str) -> None:
    """What fails as a whole is tried again in halves, at once; so it costs the one row an attempt, and no other."""
    calls = Calls(_no_seven)
    done = run(url, moves("task", calls, batch=100))
    assert calls.keys == [ALL, [1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [6, 7, 8], [6, 7], [6], [7], [8, 9], [10]]
    assert statuses(db) == {"normal": [each for each in ALL if each != 7], "pending": [7]}
    assert [(each.became, each.attempt) for each in done if each.key == "7"] == [("retrying", 1)]
    history = db.execute("select attempt from poller.history where verdict = 'moved'").fetchall()
    assert history == [(1,)] * 9


def test_further_attempts_are_at_batches_half_as_large(db: psycopg.Connection[Any], url: str) -> None:
    """The last one at single rows: what no exception could tell apart, such as a time-out, ends so."""
    calls = Calls(lambda rows: [ValueError("no")] * len(rows))
    run(url, moves("task", calls, batch=8, attempts=4), hours=9)
    sizes = [len(keys) for keys in calls.keys]
    assert sizes == [8, 2] + [4, 4, 2] + [2] * 5 + [1] * ROWS
    assert statuses(db) == {"pending": ALL}


def test_a_timeout_is_of_the_whole(db: psycopg.Connection[Any], url: str) -> None:
    """Each of its rows has had an attempt."""
    ended = threading.Event()

    def step(rows: list[Row], ctx: Context) -> None:
        assert ctx.cancelled.wait(30)
        ended.set()

    done = run(url, moves("task", step, batch=100, timeout="200ms", attempts=1))
    assert {(each.became, each.error) for each in done} == {("parked", "timed out after 0.2s")}
    assert len(done) == ROWS
    assert ended.wait(30)


def test_the_context_has_a_key_for_each_row(db: psycopg.Connection[Any], url: str) -> None:
    """The same at each attempt; and nothing that is of one row only."""
    seen: list[dict[int, str]] = []

    def step(rows: list[Row], ctx: Any) -> list[Any]:
        seen.append(dict(ctx.keys))
        assert ctx.attempt == len(seen)
        assert list(ctx.keys) == [row.key for row in rows]
        assert (
            len(set(ctx.tokens.values()))
            == len({uuid.UUID(ctx.tokens[row.key]) for row in rows})
            == len(rows)
        )
        with pytest.raises(PollerError, match=r"ctx\.keys\[row\.key\]"):
            _ = ctx.key
        with pytest.raises(PollerError, match=r"ctx\.tokens\[row\.key\]"):
            _ = ctx.token
        with pytest.raises(PollerError, match=r"ctx\.settle does not work with batches"):
            ctx.settle(None, "normal")
        return [Retry("1m") if len(seen) == 1 else None for _ in rows]

    run(url, moves("task", step, batch=100, attempts=2, stop=None), hours=1)
    assert len(set(seen[0].values())) == ROWS
    assert {key: each for later in seen[1:] for key, each in later.items()} == seen[0]
    assert all(f"public.task:pending:{key}:" in each for key, each in seen[0].items())


def by_key(rows: list[Row], ctx: Any) -> list[Any]:
    """Find each row's idempotency key and token."""
    names = [(ctx.keys[row.key], ctx.tokens[row.key]) for row in rows]
    assert len(set(names)) == len(ctx.keys) == len(rows)
    with pytest.raises(KeyError):
        ctx.keys["of no row"]
    with pytest.raises(KeyError):
        ctx.keys[["of", "no", "row"]]
    return [None for _ in rows]


@pytest.mark.parametrize("options", [{}, {"executor": "process"}, {"transactional": True}], ids=str)
@pytest.mark.parametrize(
    ("kind", "values"),
    {
        "int[]": "('{1,2}'), ('{2,1}'), ('{}')",
        "jsonb": """('{"a": 1}'), ('[1]'), ('1'), ('null')""",
        "int4multirange": "('{[1,2),[5,7)}'), ('{}')",
        "int[], part int": "('{1,2}', 1), ('{1,2}', 2)",
    }.items(),
    ids=str,
)
def test_a_key_may_be_what_no_dict_takes(
    db: psycopg.Connection[Any], url: str, kind: str, values: str, options: dict[str, Any]
) -> None:
    """An array, JSON, several ranges: in a batch as one by one."""
    key = "id, part" if "part" in kind else "id"
    db.execute(f"create table thing (id {kind}, status text default 'pending', primary key ({key}))")
    db.execute(f"insert into thing values {values}")
    done = run(url, moves("thing", by_key, batch=100, **options))
    assert {(each.became, each.error) for each in done} == {("moved", None)}


def test_who_answers_by_such_keys_is_told_how(db: psycopg.Connection[Any], url: str) -> None:
    """No dict can have them all: nothing moves by accident."""
    db.execute("create table thing (id jsonb primary key, status text default 'pending')")
    db.execute("insert into thing values ('[1]'), ('2')")
    step = moves("thing", lambda rows: {2: "normal"} if len(rows) > 1 else {}, batch=100, attempts=1)
    done = run(url, step)
    assert [each.became for each in done if each.key == "[1]"] == ["parked"]
    assert any("return a list" in str(each.error) for each in done)


def test_two_workers_threads_share_the_batches(db: psycopg.Connection[Any], url: str) -> None:
    """Each slot has a batch of its own: two calls are under way at once."""
    together = threading.Barrier(2, timeout=30)

    def step(_: list[Row]) -> None:
        together.wait()

    with Engine(url, moves("task", step, batch=5), concurrency=2) as engine:
        engine.run_due()
    assert statuses(db) == {"normal": ALL}


def test_batches_of_handlers_do_not_mix(db: psycopg.Connection[Any], url: str) -> None:
    """Their rows wait side by side in one queue."""
    db.execute("update task set status = 'other' where id % 2 = 0")
    first, second = Calls(), Calls()
    with Engine(
        url, moves("task", first, batch=100), moves("task", second, status="other", batch=100), concurrency=1
    ) as engine:
        engine.run_due()
    assert (first.keys, second.keys) == ([[1, 3, 5, 7, 9]], [[2, 4, 6, 8, 10]])


# --- in a transaction ----------------------------------------------------------------------------------


def _write(rows: list[Row], ctx: Context) -> None:
    ctx.connection.execute(
        text("insert into ledger select unnest(cast(:tasks as int[]))"), {"tasks": [row.id for row in rows]}
    )


def _ledger(db: psycopg.Connection[Any]) -> list[int]:
    return [row[0] for row in db.execute("select task from ledger order by task")]


def test_g5_a_batch_and_its_moves_commit_together(db: psycopg.Connection[Any], url: str) -> None:
    """One statement writes for all of them; they share one transaction."""
    seen: list[list[int]] = []

    def step(rows: list[Row], ctx: Context) -> None:
        _write(rows, ctx)
        seen.append(_ledger(db))

    run(url, moves("task", step, batch=100, transactional=True))
    assert seen == [[]]
    assert _ledger(db) == ALL
    assert statuses(db) == {"normal": ALL}
    assert db.execute("select count(distinct xmin::text) from task").fetchone() == (1,)


@pytest.mark.parametrize("answer", ["raise", Fail("seven"), "nowhere"], ids=str)
def test_g5_nothing_of_a_row_that_fails_is_kept(db: psycopg.Connection[Any], url: str, answer: Any) -> None:
    """The others are tried again without it, in halves; each is written once."""

    def step(rows: list[Row], ctx: Context) -> Any:
        _write(rows, ctx)
        if answer == "raise":
            return _no_seven(rows)
        return {7: answer} if 7 in [row.key for row in rows] else None

    done = run(url, moves("task", step, batch=100, transactional=True, attempts=1))
    assert _ledger(db) == [each for each in ALL if each != 7]
    assert statuses(db) == {"normal": _ledger(db), "pending": [7]}
    assert sorted(each.became for each in done) == ["moved"] * 9 + ["parked"]


def test_g5_an_error_at_the_commit_is_the_rows_whose_it_is(db: psycopg.Connection[Any], url: str) -> None:
    """A deferred constraint: all is rolled back and tried again in halves."""
    db.execute("create table parent (id int primary key)")
    db.execute("insert into parent select generate_series(1, 20) except select 7")
    db.execute("alter table ledger add foreign key (task) references parent deferrable initially deferred")
    done = run(url, moves("task", _write, batch=100, transactional=True, attempts=1))
    assert _ledger(db) == [each for each in ALL if each != 7]
    assert [each.key for each in done if each.became == "parked"] == ["7"]


# --- a worker that dies --------------------------------------------------------------------------------


def test_rows_of_a_batch_that_crashed_are_tried_in_halves(db: psycopg.Connection[Any], url: str) -> None:
    """As the sweeper leaves them: one of them may be the killer, and is not to take all others along again."""
    calls = Calls()
    step = moves("task", calls, batch=100)
    with Engine(url, step, concurrency=1) as engine:
        db.execute(
            "insert into poller.attempt (handler_id, key, state, attempt, crashes, company, visit)"
            " select h.id, t.id::text, 'waiting', 1, 1, 4, gen_random_uuid() from poller.handler h, task t"
            " where t.id <= 4"
        )
        engine.run_due()
    assert sorted(map(len, calls.keys)) == [2, 2, 6]
    assert [5, 6, 7, 8, 9, 10] in calls.keys


# --- options -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, -1, 10_001, True, "5", 2.0, None], ids=repr)
def test_a_size_that_cannot_be_is_refused(size: Any) -> None:
    """In one line, with the place."""
    with pytest.raises(
        ConfigurationError, match=r"engines\.py:\d+ .*batch must be a whole number from 1 to 10000"
    ):
        handler("task", status="pending", to="normal", batch=size)(do_nothing)
