"""What a handler answers, and what its options do: the contract's tables, on the real engine."""

from __future__ import annotations

import asyncio
import enum
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tenacity import retry_if_exception_type, stop_after_delay, wait_fixed

from poller import Context, Fail, PollerError, Retry, Row, Snooze, Transition, handler
from poller.testing import Engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.testing import Done


@pytest.fixture(autouse=True)
def table(db: psycopg.Connection[Any]) -> None:
    """Three rows that are pending."""
    db.execute(
        "create table task (id int primary key, status text default 'pending', priority int, at timestamptz)"
    )
    db.execute("insert into task (id, priority) select n, n from generate_series(1, 3) as n")


def run(url: str, function: Callable[..., Any], **options: Any) -> list[Done]:
    """Run a handler on all that is due."""
    given = {"status": "pending", "to": "normal", **options}
    with Engine(url, handler("task", **given)(function)) as engine:
        return engine.run_due()


def became(done: list[Done]) -> set[tuple[str, str | None]]:
    """Return what became of the rows, and where they went."""
    return {(each.became, each.to) for each in done}


def raising(error: BaseException) -> Callable[[Row], None]:
    """Return a handler that raises."""

    def work(row: Row) -> None:
        raise error

    return work


def test_none_moves_to_the_single_next_status(url: str) -> None:
    """A handler that returns nothing moves its row to `to`."""
    assert became(run(url, lambda _: None)) == {("moved", "normal")}


def test_a_returned_status_is_where_the_row_goes(url: str) -> None:
    """One of several next statuses, chosen by the handler."""
    assert became(run(url, lambda _: "no", to=("yes", "no"))) == {("moved", "no")}


@pytest.mark.parametrize("answer", ["elsewhere", 3, object])
def test_an_answer_that_is_not_in_to_is_a_failed_attempt(url: str, answer: object) -> None:
    """It is the handler's error, and counts."""
    done = run(url, lambda _: answer, attempts=1)
    assert became(done) == {("parked", None)}
    assert "it may return 'normal'" in (done[0].error or "")


def test_a_transition_sets_columns_in_the_same_update(url: str, db: psycopg.Connection[Any]) -> None:
    """Status and columns come together."""
    run(url, lambda row: Transition("normal", priority=row.id * 10))
    assert db.execute("select priority, status from task order by id").fetchall() == [
        (10, "normal"),
        (20, "normal"),
        (30, "normal"),
    ]


@pytest.mark.parametrize("column", ["missing", "id", "status"])
def test_a_transition_of_a_column_that_cannot_be_set_is_a_failed_attempt(url: str, column: str) -> None:
    """An unknown column, the key and the status itself."""
    done = run(url, lambda _: Transition("normal", **{column: 1}), attempts=1)
    assert became(done) == {("parked", None)}


def test_a_snooze_counts_no_attempt_and_is_looked_at_again(url: str) -> None:
    """However often; then the row moves as if nothing had been."""
    answers = [Snooze("30s")] * 4

    def work(row: Row, ctx: Context) -> None:
        assert ctx.attempt == 1
        if answers:
            raise answers.pop()

    with Engine(
        url, handler("task", status="pending", to="normal", where="id = 1", attempts=2)(work)
    ) as engine:
        for _ in range(4):
            assert became(engine.run_due()) == {("snoozed", None)}
            assert engine.run_due() == []
            engine.advance("31s")
        assert became(engine.run_due()) == {("moved", "normal")}


def test_a_retry_waits_as_long_as_it_says(url: str) -> None:
    """Whatever the wait policy says; the attempt counts."""
    work = raising(Retry("1h", "later"))
    with Engine(
        url, handler("task", status="pending", to="normal", where="id = 1", attempts=2)(work)
    ) as engine:
        assert became(engine.run_due()) == {("retrying", None)}
        engine.advance("59m")
        assert engine.run_due() == []
        engine.advance("2m")
        assert became(engine.run_due()) == {("parked", None)}


def test_a_fail_is_for_good(url: str) -> None:
    """No further attempt, with the reason as it was given."""
    assert {(each.became, each.error) for each in run(url, raising(Fail("no such carrier")))} == {
        ("parked", "no such carrier")
    }


@pytest.mark.parametrize("error", [ValueError("x\0y"), SystemExit(3), RuntimeError("long " * 5000)])
def test_any_exception_is_a_failed_attempt(url: str, error: BaseException) -> None:
    """NUL, the end of the process, and text without end."""
    done = run(url, raising(error), on_failure="broken", attempts=1)
    assert became(done) == {("failed", "broken")}
    assert len(done[0].error or "") < 2100


def test_attempts_wait_by_tenacitys_policy(url: str) -> None:
    """wait_fixed, over the database and a moved clock."""
    made = handler("task", status="pending", to="normal", where="id = 1", attempts=3, wait=wait_fixed(10))
    with Engine(url, made(raising(ValueError("no")))) as engine:
        for attempt in (1, 2):
            assert [(each.became, each.attempt) for each in engine.run_due()] == [("retrying", attempt)]
            assert engine.run_due() == []
            engine.advance("11s")
        assert [(each.became, each.attempt) for each in engine.run_due()] == [("parked", 3)]


def test_stop_after_delay_counts_from_the_first_attempt(url: str) -> None:
    """The age is kept in the database between attempts."""
    made = handler(
        "task", status="pending", to="normal", where="id = 1", stop=stop_after_delay(60), wait=wait_fixed(40)
    )
    with Engine(url, made(raising(ValueError("no")))) as engine:
        assert became(engine.run_due()) == {("retrying", None)}
        engine.advance("41s")
        assert became(engine.run_due()) == {("retrying", None)}
        engine.advance("41s")
        assert became(engine.run_due()) == {("parked", None)}


def test_an_error_that_is_not_worth_a_retry_parks_at_once(url: str) -> None:
    """tenacity's predicate decides."""
    done = run(url, raising(ValueError("no")), retry=retry_if_exception_type(OSError))
    assert became(done) == {("parked", None)}


def test_where_may_hold_any_sql(url: str) -> None:
    """Percent signs, braces and quotes come through."""
    done = run(url, lambda _: None, where="status like 'p%' and '{x}' <> '%s' and id = 2")
    assert [each.key for each in done] == ["2"]


def test_order_by_decides_what_comes_first(url: str) -> None:
    """The highest priority first."""
    order: list[int] = []
    given = handler("task", status="pending", to="normal", order_by="priority desc, id")
    with Engine(url, given(lambda row: order.append(row.id)), concurrency=1) as engine:
        engine.run_due()
    assert order == [3, 2, 1]


def test_due_holds_a_row_back_until_its_time(url: str, db: psycopg.Connection[Any]) -> None:
    """Not while it is null, not before; then at once."""
    db.execute("update task set at = poller.now() + interval '1 hour' where id = 1")
    with Engine(url, handler("task", status="pending", to="normal", due="at")(lambda _: None)) as engine:
        assert engine.run_due() == []
        engine.advance("61m")
        assert [each.key for each in engine.run_due()] == ["1"]


def test_during_shows_while_the_row_is_leased(url: str, db: psycopg.Connection[Any]) -> None:
    """And the row gets its own status back when the attempt fails."""
    seen: list[Any] = []

    def work(row: Row) -> None:
        seen.extend(db.execute("select status from task where id = 1").fetchall())
        raise Fail

    assert became(run(url, work, where="id = 1", during="working")) == {("parked", None)}
    assert seen == [("working",)]
    assert db.execute("select status from task where id = 1").fetchone() == ("pending",)


@pytest.mark.parametrize(("history", "kept"), [("all", 3), ("failures", 1), ("off", 0)])
def test_history_keeps_what_it_says(url: str, db: psycopg.Connection[Any], history: str, kept: int) -> None:
    """All, failures only, or nothing."""

    def work(row: Row) -> None:
        if row.id == 1:
            raise Fail

    run(url, work, history=history)
    assert db.execute("select count(*) from poller.history").fetchone() == (kept,)


def test_a_coroutine_is_run_on_the_event_loop(url: str) -> None:
    """Many at once, each to its end."""

    async def work(row: Row) -> str:
        await asyncio.sleep(0.01)
        return "normal"

    assert became(run(url, work)) == {("moved", "normal")}


@pytest.mark.parametrize("is_coroutine", [False, True])
def test_a_timeout_is_a_failed_attempt(url: str, is_coroutine: bool) -> None:  # noqa: FBT001
    """The row is given back on time; the handler is told."""

    async def coroutine(row: Row) -> None:
        await asyncio.sleep(30)

    def plain(row: Row, ctx: Context) -> None:
        ctx.cancelled.wait(30)

    done = run(url, coroutine if is_coroutine else plain, timeout="100ms", attempts=1, where="id = 1")
    assert [(each.became, each.error) for each in done] == [("parked", "timed out after 0.1s")]


def test_the_idempotency_key_is_one_for_all_attempts_and_new_for_a_new_visit(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """A row that comes back to the status is another visit."""
    keys: list[str] = []

    def work(row: Row, ctx: Context) -> None:
        keys.append(ctx.key)
        if len(keys) == 1:
            raise ValueError

    made = handler("task", status="pending", to="normal", where="id = 1", wait=wait_fixed(1))(work)
    with Engine(url, made) as engine:
        engine.run_due()
        engine.advance("2s")
        engine.run_due()
        db.execute("update task set status = 'pending' where id = 1")
        engine.run_due()
    first, again, another = keys
    assert first == again != another


LONG = "a" * 2000


def test_the_token_is_safe_wherever_the_key_is_not(url: str, db: psycopg.Connection[Any]) -> None:
    """A UUID for each visit, whatever the row's own key holds: no cut makes two of them one."""
    db.execute("create table note (name text primary key, status text default 'pending')")
    db.execute("insert into note values (%s), (%s), (%s)", [f"{LONG}1", f"{LONG}2", "a: <b>\r\n@é"])
    tokens: dict[str, list[str]] = {}

    def work(note: Row, ctx: Context) -> None:
        tokens.setdefault(note.name, []).append(ctx.token)
        assert ctx.token == ctx.token
        if ctx.attempt == 1:
            raise ValueError

    with Engine(url, handler("note", status="pending", to="normal", wait=wait_fixed(1))(work)) as engine:
        engine.run_due()
        engine.advance("2s")
        engine.run_due()
    assert all(first == again for first, again in tokens.values())
    assert len({first for first, _ in tokens.values()}) == 3
    assert {str(uuid.UUID(first)) for first, _ in tokens.values()} == {first for first, _ in tokens.values()}


def test_statuses_may_be_members_of_an_enum(url: str) -> None:
    """For `status`, `to` and the answer."""

    class State(enum.Enum):
        PENDING = "pending"
        NORMAL = "normal"

    assert became(run(url, lambda _: State.NORMAL, status=State.PENDING, to=State.NORMAL)) == {
        ("moved", "normal")
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"to": ()}, "to is empty"),
        ({"to": "pending"}, "the status the row already has"),
        ({"attempts": 0}, "attempts must be a whole number from 1"),
        ({"attempts": 2, "stop": stop_after_delay(1)}, "not both"),
        ({"timeout": "soon"}, "is not a duration"),
        ({"history": "some"}, "history must be one of"),
        ({"where": " "}, "where is empty"),
        ({"order_by": ""}, "order_by is empty"),
        ({"during": "pending"}, "leave it out"),
        ({"during": "normal"}, "rows in progress and rows that are done would look alike"),
        ({"to": ("normal", "busy"), "during": "busy"}, "which is in to"),
        ({"on_failure": "pending"}, "taken again for ever"),
        ({"status": 1.5}, "a status is a string, an int, a bool"),
    ],
)
def test_g10_an_impossible_option_names_the_functions_place(options: dict[str, Any], says: str) -> None:
    """Refused when the module is imported, in one line."""
    given = {"status": "pending", "to": "normal", **options}
    with pytest.raises(PollerError, match=says) as caught:
        handler("task", **given)(raising(Fail()))
    assert "test_handlers.py:" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "moment", "late_moment"])
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_g8_a_due_time_is_read_in_the_zone_that_it_was_written_in(url: str, kind: str, zone: str) -> None:
    """A column without zone holds the database's: what `localtimestamp` wrote there is due on time. So does a domain."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"alter database {db.info.dbname} set timezone = '{zone}'".encode())
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("create domain moment as timestamp check (value > '2001-01-01')")
        db.execute("create domain instant as timestamptz; create domain late_moment as instant")
        db.execute(
            f"create table mail (id int primary key, status text default 'pending', at {kind})".encode()
        )
        db.execute(
            "insert into mail (id, at) values (1, localtimestamp - interval '1 minute'),"
            " (2, localtimestamp + interval '1 minute'), (3, localtimestamp - interval '7 hours')"
        )
    with Engine(url, handler("mail", status="pending", to="normal", due="at")(lambda _: None)) as engine:
        assert sorted(str(each.key) for each in engine.run_due()) == ["1", "3"]
