"""Short ways to register a handler, run the engine in this process, and look at what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poller import Handler, handler
from poller.testing import Done, Engine

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg


def do_nothing(_: Any) -> None:
    """Handle a row by letting it move on."""


def moves(table: Any, function: Callable[..., Any] = do_nothing, /, **options: Any) -> Handler:
    """Register a function for the pending rows of a table, by default one that lets them become normal."""
    return handler(table, **{"status": "pending", "to": "normal", **options})(function)


def run(url: str, *handlers: Handler) -> list[Done]:
    """Run all that is due now."""
    with Engine(url, *handlers) as engine:
        return engine.run_due()


def run_to_the_end(url: str, *handlers: Handler) -> list[Done]:
    """Run all that is due now or within the next ten days, however often it is put off."""
    done: list[Done] = []
    with Engine(url, *handlers) as engine:
        for _ in range(10):
            done += engine.run_due()
            engine.advance("1d")
    return done


def column(db: psycopg.Connection[Any], question: str) -> list[Any]:
    """Return the first column of a question's answer."""
    return [row[0] for row in db.execute(question).fetchall()]  # type: ignore[call-overload]
