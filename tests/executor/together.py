"""Rows of the table `task` that share a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from poller.testing import Engine
from tests.engines import moves

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller import Context, Handler, Row
    from poller.testing import Done


def transactional(step: Callable[..., Any], **options: Any) -> Handler:
    """Return a transactional handler of the tasks; one of task 0 does nothing."""

    def function(row: Row, ctx: Context) -> Any:
        return "normal" if row.id == 0 else step(row, ctx)

    return moves("task", function, transactional=True, **options)


def run(url: str, step: Handler, count: int = 5, hours: int = 0) -> list[Done]:
    """Run tasks that share a transaction, since there is one thread, which knows that they are quick."""
    with Engine(url, step, concurrency=1) as engine, psycopg.connect(url, autocommit=True) as db:
        engine.run_due()
        db.execute("insert into task select i, 'pending' from generate_series(1, %s) as i", [count])
        done = engine.run_due()
        for _ in range(hours):
            engine.advance("1h")
            done += engine.run_due()
    return done
