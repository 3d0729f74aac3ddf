"""What the author of a handler has for tests: an engine in the test's process, a clock to move, a row to call with."""

from __future__ import annotations

import threading
import uuid
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import Context, Fail, PollerError, Retry, Row, Run, Snooze, Transition, around, job, testing
from poller.testing import Done, Engine, context, row, run
from tests.engines import column, moves
from tests.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE = "create table task (id int primary key, status text default 'pending', note text)"


@pytest.fixture(autouse=True)
def table(db: psycopg.Connection[Any]) -> None:
    """Three rows that are pending."""
    db.execute(TABLE)
    db.execute("insert into task (id) select generate_series(1, 3)")


def raising(error: Exception) -> Callable[[Row], None]:
    """Return a handler that raises."""

    def work(_: Row) -> None:
        raise error

    return work


def first(url: str, function: Callable[..., Any], **options: Any) -> Done:
    """Return what becomes of the first row."""
    with Engine(url, moves("task", function, where="id = 1", **options)) as engine:
        [done] = engine.run_due()
    return done


# --- run_due ------------------------------------------------------------------------------------------


def test_what_becomes_due_by_it_is_run_too(url: str, db: psycopg.Connection[Any]) -> None:
    """A row goes all its way, through one handler after the other, and each step is told in order."""
    with Engine(
        url, moves("task", to="paid"), moves("task", status="paid", to="sent"), moves("task", status="sent")
    ) as engine:
        done = engine.run_due()
        assert engine.run_due() == []
    for key in ("1", "2", "3"):
        steps = [(each.status, each.to) for each in done if each.key == key]
        assert steps == [("pending", "paid"), ("paid", "sent"), ("sent", "normal")]
    assert column(db, "select distinct status from task") == ["normal"]


def test_a_row_that_a_handler_makes_is_run_too(url: str, db: psycopg.Connection[Any]) -> None:
    """Before or after those that there were."""

    def work(task: Row) -> None:
        if task.id == 2:
            db.execute("insert into task (id) values (0), (9)")

    with Engine(url, moves("task", work)) as engine:
        assert sorted(done.key for done in engine.run_due()) == ["0", "1", "2", "3", "9"]


def test_a_row_added_between_two_runs_is_found_wherever_it_is(url: str, db: psycopg.Connection[Any]) -> None:
    """Each run looks from the top, unlike a worker, which does so only as often as it can afford."""
    with Engine(url, moves("task", raising(Fail()))) as engine:
        assert len(engine.run_due()) == 3
        db.execute("insert into task (id) values (0)")
        assert [done.key for done in engine.run_due()] == ["0"]


def test_an_endless_circle_is_an_error_that_names_it(url: str) -> None:
    """After so many rounds; the engine can be closed as ever."""
    there, back = moves("task", to="odd"), moves("task", status="odd", to="pending")
    with (
        Engine(url, there, back) as engine,
        pytest.raises(
            PollerError,
            match=r"rows keep becoming due; the last one after 20 claims .*table='public\.task', status='",
        ),
    ):
        engine.run_due(rounds=20)


def test_as_many_run_at_a_time_as_are_asked_for(url: str) -> None:
    """All three wait for each other, and go on."""
    together = threading.Barrier(3, timeout=10)

    def work(_: Row) -> None:
        together.wait()

    with Engine(url, moves("task", work), concurrency=3) as engine:
        assert [done.became for done in engine.run_due()] == ["moved"] * 3


def test_transactions_that_end_within_the_claim_do_not_end_the_run(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be as quick as that; what is due still is claimed all the same."""
    with Engine(url, moves("task", transactional=True, limit=1)) as engine:
        claims = engine._claimer.run_once

        def claim_and_wait() -> float:
            delay = claims()
            wait_until("nothing is in flight", lambda: not engine._executor.busy)
            return delay

        monkeypatch.setattr(engine._claimer, "run_once", claim_and_wait)
        assert [done.became for done in engine.run_due()] == ["moved"] * 3


# --- what became of it --------------------------------------------------------------------------------


def test_a_move_is_told_in_full(url: str) -> None:
    """The table with its schema, and the key as text."""
    assert first(url, lambda _: Transition("normal", note="x")) == Done(
        table="public.task",
        status="pending",
        key="1",
        became="moved",
        to="normal",
        attempt=1,
        error=None,
    )


@pytest.mark.parametrize(
    ("error", "options", "told"),
    [
        (Snooze("1h"), {}, ("snoozed", None, 0, None)),
        (Retry("1h", "later"), {}, ("retrying", None, 1, "later")),
        (Fail("never"), {}, ("parked", None, 1, "never")),
        (Fail("never"), {"on_failure": "broken"}, ("failed", "broken", 1, "never")),
        (ValueError("no"), {"during": "busy"}, ("retrying", None, 1, "ValueError: no (test_testing.py:")),
    ],
    ids=["snoozed", "retrying", "parked", "failed", "an exception"],
)
def test_what_is_raised_is_told_in_full(
    url: str, error: Exception, options: dict[str, Any], told: tuple[str, str | None, int, str | None]
) -> None:
    """What became of the row, where it went if it was given a status, attempts counted, and the error's line."""
    done = first(url, raising(error), **options)
    assert (done.became, done.to, done.attempt) == told[:3]
    assert (done.error or "").startswith(told[3] or "")
    assert (done.error is None) == (told[3] is None)


@pytest.mark.parametrize(
    ("meanwhile", "became"),
    [("update task set status = 'hers' where id = 1", "superseded"), ("delete from task", "gone")],
)
def test_a_row_that_another_hand_took_went_nowhere(
    url: str, db: psycopg.Connection[Any], meanwhile: str, became: str
) -> None:
    """The handler's answer is not told as if it had counted."""
    done = first(url, lambda _: db.execute(meanwhile) and None)
    assert (done.became, done.to) == (became, None)


# --- the clock ----------------------------------------------------------------------------------------


def test_steps_of_the_clock_add_up(url: str) -> None:
    """As text or as a timedelta, to the second that a row is due."""
    with Engine(url, moves("task", raising(Snooze("30d")))) as engine:
        assert len(engine.run_due()) == 3
        engine.advance("29d")
        engine.advance(timedelta(hours=23, minutes=59))
        assert engine.run_due() == []
        engine.advance("60s")
        assert [done.became for done in engine.run_due()] == ["snoozed"] * 3


def test_the_clock_does_not_go_back(url: str) -> None:
    """What was due stays due."""
    with Engine(url) as engine, pytest.raises(PollerError, match="cannot be negative"):
        engine.advance(timedelta(seconds=-1))


def test_a_handler_sees_the_moved_clock(url: str) -> None:
    """Its deadline is told by it."""
    deadlines: list[datetime] = []

    def work(_: Row, ctx: Context) -> None:
        deadlines.append(ctx.deadline)

    with Engine(url, moves("task", work, timeout="1m")) as engine:
        engine.advance("1d")
        engine.run_due()
    for deadline in deadlines:
        ahead = deadline - datetime.now(tz=UTC)
        assert timedelta(days=1) < ahead < timedelta(days=1, minutes=1)
    assert len(deadlines) == 3


def test_the_clock_is_moved_for_this_engine_alone(url: str, db: psycopg.Connection[Any]) -> None:
    """Other sessions, and an engine that is made later, have the real time."""
    with Engine(url, moves("task", raising(Snooze("1h")))) as engine:
        engine.run_due()
        engine.advance("2h")
        assert column(db, "select poller.now() - clock_timestamp() < interval '1 s'") == [True]
        with Engine(url, moves("task")) as other:
            assert other.run_due() == []
        assert len(engine.run_due()) == 3


# --- making an engine ---------------------------------------------------------------------------------


def test_an_engine_makes_the_schema_that_it_needs(empty_url: str) -> None:
    """A test's database has the user's tables, and need have nothing else."""
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute(TABLE)
        connection.execute("insert into task (id) values (1)")
    assert first(empty_url, lambda _: None).became == "moved"


def test_g10_an_unfit_table_is_named_and_nothing_is_left_behind(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Nothing was run, and no connection stays open."""
    with (
        pytest.raises(PollerError, match=r"there is no table tusk"),
        Engine(url, moves("task"), moves("tusk")),
    ):
        pass
    assert column(db, "select distinct status from task") == ["pending"]
    others = "from pg_stat_activity where application_name like 'poller %' and datname = current_database()"
    # A backend ends a moment after its client has gone.
    wait_until("no connection is open", lambda: column(db, f"select count(*) {others}") == [0])


def test_g10_a_url_of_another_database_is_refused(url: str) -> None:
    """Before anything is connected to."""
    with pytest.raises(PollerError, match="needs postgres://"):
        Engine("sqlite:///here", moves("task"))


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_url_may_be_sqlalchemys(url: str, scheme: str) -> None:
    """A test has it at hand as its session was made from it."""
    with Engine(f"{scheme}://{url.partition('://')[2]}", moves("task")) as engine:
        assert len(engine.run_due()) == 3


# --- row ----------------------------------------------------------------------------------------------


def test_a_row_is_what_a_handler_is_called_with() -> None:
    """A handler is a plain function in a unit test: no database, no engine."""
    greet = moves("task", lambda task: f"{task.key}: {task.slug}, {task['size']}, {sorted(task)}")
    assert greet(row(id=7, slug="a", size=3)) == "7: a, 3, ['id', 'size', 'slug']"


@pytest.mark.parametrize(
    ("made", "key"),
    [
        (row(id=7, slug="a"), 7),
        (row("a", id=7, slug="a"), "a"),
        (row((7, "a"), id=7, slug="a"), (7, "a")),
        (row(0, id=7), 0),
        (row(key="k", id=7), "k"),
        (row(3, key="k", id=7), 3),
    ],
)
def test_a_rows_key_is_the_first_column_unless_it_is_given(made: Row, key: Any) -> None:
    """Also where a column is called key: that is `row["key"]`."""
    assert made.key == key
    assert made.get("key") in (None, "k")


def test_a_row_cannot_be_written_to() -> None:
    """As a handler finds it: what is to change is in the answer."""
    made: Any = row(id=7)
    with pytest.raises(AttributeError, match="it has id"):
        _ = made.slug
    with pytest.raises(TypeError):
        made["id"] = 8
    with pytest.raises(AttributeError):
        made.id = 8
    assert made.id == 7


# --- context, run, trigger ------------------------------------------------------------------------------


def test_a_context_is_what_a_handler_is_called_with() -> None:
    """No database, no engine: a move by `ctx.settle` is noted."""

    def ship(order: Row, ctx: Context) -> str:
        ctx.settle(None, "normal", label=order.id)
        return f"{ctx.attempt} {ctx.token} {ctx.cancelled.is_set()}"

    ctx = context(key="k", attempt=2)
    assert moves("task", ship)(row(id=7), ctx) == f"2 {uuid.uuid5(TOKENS, 'k')} False"
    assert ctx.settled is not None
    assert (ctx.settled.status, ctx.deadline > datetime.now(UTC)) == ("normal", True)
    with pytest.raises(PollerError, match="in transactional handlers only"):
        _ = ctx.connection


def test_a_contexts_connection_and_session_are_those_given() -> None:
    """For a transactional handler."""
    given: Any = object()
    made = context(connection=given, session=given)
    assert made.connection is made.session is given


def test_a_run_is_what_a_job_is_called_with() -> None:
    """With the slot, the last success and a connection of the test's."""

    @job()
    def clean(run: Run) -> Any:
        run.progress(1, 2)
        run.logger.info("cleaning")
        with run.connect() as connection:
            return run.job, run.previous_success, run.attempt, connection

    assert clean(run(clean, previous_success=NOON, connect=lambda: nullcontext("mine"))) == (
        "clean",
        NOON,
        1,
        "mine",
    )
    with pytest.raises(PollerError, match=r"poller\.testing\.run\(connect=…\)"):
        clean(run())


NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
TOKENS = uuid.UUID("6f1c7c0e-5a0b-4f8e-9d1c-7f6f0c2b8a51")


def test_a_job_with_arguments_is_triggered(url: str) -> None:
    """Of a plain function or a coroutine; the run is known by its number."""
    seen: list[Any] = []

    @job()
    async def report(tenant: str, run: Run, days: int = 1) -> None:
        seen.append((tenant, days, run.job))

    with Engine(url, report) as engine:
        assert engine.run_due() == []
        number = engine.trigger(report, tenant="a", days=3)
        [done] = engine.run_due()
        assert (done.key, done.to) == (str(number), "succeeded")
        engine.trigger("report", tenant="b")
        engine.run_due()
    assert seen == [("a", 3, "report"), ("b", 1, "report")]


def test_g10_what_cannot_be_triggered_is_said(url: str) -> None:
    """An unknown job, and arguments that the function does not take."""

    @job()
    def report(tenant: str) -> None: ...

    with Engine(url, report) as engine:
        with pytest.raises(PollerError, match="the engine has no job 'sync'; it has report"):
            engine.trigger("sync")
        with pytest.raises(PollerError, match="missing a required argument: 'tenant'"):
            engine.trigger(report)


@around
def measured(_: Any) -> Any:
    """Let the handler run."""
    yield


def same(_: Row) -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("work", "given", "says"),
    [
        (
            [same],
            {},
            "an engine takes handlers and jobs, as @handler(…) or @cron(…) make them; got <function same",
        ),
        (
            [moves("task")],
            {"around": [same]},
            "around= takes a list of what @poller.around has marked; got <func",
        ),
        ([moves("task")], {"around": measured}, "around= takes a list: around=[tests.test_testing.measured]"),
        ([job(name="x")(same), job(name="x")(same)], {}, "two jobs named 'x': "),
    ],
)
def test_g10_what_an_engine_cannot_run_is_said(
    url: str, work: list[Any], given: dict[str, Any], says: str
) -> None:
    """It was left out, so that a test saw nothing happen and passed; or it failed each attempt."""
    with pytest.raises(PollerError) as refused:
        Engine(url, *work, **given)
    assert str(refused.value).startswith(says)


def test_a_handler_that_is_given_twice_is_one(url: str) -> None:
    """As in a package, where two modules have it."""
    step = moves("task")
    with Engine(url, step, step, around=[measured]) as engine:
        assert len(engine.run_due()) == 3


def test_g10_an_engine_works_within_its_block_only(url: str) -> None:
    """Before it, and after it, one line says so."""
    engine = Engine(url, moves("task"), job(name="x")(same))
    for _ in range(2):
        for act in (engine.run_due, lambda: engine.advance("1m"), lambda: engine.trigger("x")):
            with pytest.raises(PollerError, match="use it within: with Engine"):
                act()
        with engine:
            engine.run_due()


def test_a_row_that_is_not_committed_is_told_of(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """In the log of the test: a fixture that rolls back hides its rows from the engine."""
    with psycopg.connect(url) as connection, Engine(url, moves("task")) as engine:
        engine.run_due()
        connection.execute("insert into task (id) values (9)")
        assert engine.run_due() == []
        assert (
            f"the session {connection.info.backend_pid} has written what it has not committed" in caplog.text
        )
        connection.rollback()


def test_all_of_it_is_public() -> None:
    """And nothing else."""
    assert testing.__all__ == ["Done", "Engine", "context", "row", "run"]


def test_the_clock_of_transactions_is_moved_too(url: str, db: psycopg.Connection[Any]) -> None:
    """Also of sessions that were open before: a row that is snoozed after that is not due at once."""

    def later(row: Row) -> None:
        raise Snooze("10m")

    with Engine(url, moves("task", later, transactional=True)) as engine:
        assert [each.became for each in engine.run_due()] == ["snoozed"] * 3
        engine.advance("1h")
        assert [each.became for each in engine.run_due()] == ["snoozed"] * 3
        assert engine.run_due() == []
