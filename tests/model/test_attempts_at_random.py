"""Random answers and exceptions, on every way that a handler is run: each row ends, by itself (guarantee 11)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poller import Context, Fail, Retry, Row, Transition
from poller.testing import Engine
from tests.engines import column, moves

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = 12

texts = st.text(st.characters(codec=None), max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(max_size=10) | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3) | st.sets(st.integers())
    ),
    max_leaves=5,
)
KINDS: list[type[BaseException]] = [
    ValueError,
    Fail,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    StopIteration,
    asyncio.CancelledError,
    RecursionError,
    MemoryError,
]
raised = st.builds(lambda kind, text: kind(text), st.sampled_from(KINDS), texts) | st.builds(
    lambda text: Retry("1s", text), texts
)
answered = (
    values
    | st.builds(lambda value: Transition("normal", note=value), values)
    | st.builds(
        lambda status, value: Transition(status, data=value), st.sampled_from(["normal", "other"]), values
    )
)
deeds = st.lists(raised | answered, min_size=COUNT, max_size=COUNT)


@pytest.fixture
def url(url: str) -> str:
    """A database with a table of tasks."""
    with psycopg.connect(url) as db:
        db.execute("create table task (id int primary key, status text not null, note text, data jsonb)")
    return url


def do(deed: Any) -> Any:
    """Raise, or answer."""
    if isinstance(deed, BaseException):
        raise deed
    return deed


def steps(done: list[Any]) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Return a handler of each kind that does so."""

    def plain(row: Row) -> Any:
        return do(done[row.id])

    async def coroutine(row: Row) -> Any:
        await asyncio.sleep(0)
        return do(done[row.id])

    def within(row: Row, ctx: Context) -> Any:
        _ = ctx.connection
        return do(done[row.id])

    def batch(rows: list[Row]) -> list[Any]:
        return [done[row.id] for row in rows]

    return {
        "thread": (plain, {}),
        "coroutine": (coroutine, {}),
        "transactional": (within, {"transactional": True}),
        "batch": (batch, {"batch": 5}),
    }


@pytest.mark.fault("F50", "F52")
@pytest.mark.parametrize("mode", ["thread", "coroutine", "transactional", "batch"])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=deeds)
def test_g11_each_row_ends_by_itself(url: str, mode: str, deeds: list[Any]) -> None:
    """Moved, or parked after its one attempt; nothing is held."""
    step, options = steps(deeds)[mode]
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("truncate task, poller.attempt, poller.event, poller.move")
        db.execute("insert into task select i, 'pending' from generate_series(0, %s) as i", [COUNT - 1])
        with Engine(url, moves("task", step, attempts=1, **options), concurrency=2) as engine:
            engine.run_due()
        assert column(db, "select count(*)::int from poller.claim") == [0]
        ended = column(
            db,
            "select id from task where status = 'normal'"
            " union all select key::int from poller.attempt where state = 'parked' order by 1",
        )
        assert ended == list(range(COUNT))
