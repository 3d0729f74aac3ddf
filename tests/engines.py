"""Short ways to register a handler, run the engine in this process, and look at what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from poller import Context, Handler, handler
from poller.testing import Done, Engine

if TYPE_CHECKING:
    from collections.abc import Callable


def do_nothing(_: Any) -> None:
    """Handle a row by letting it move on."""


async def do_nothing_later(_: Any) -> None:
    """Be a coroutine that lets a row move on."""


def fail(_: Any) -> None:
    """Fail each attempt."""
    msg = "no"
    raise ValueError(msg)


# Every way in which a row is moved: the function, and the options that lead there.
WAYS: dict[str, tuple[Any, dict[str, Any]]] = {
    "thread": (do_nothing, {}),
    "transactional": (do_nothing, {"transactional": True}),
    "batch": (do_nothing, {"batch": 5}),
    "coroutine": (do_nothing_later, {}),
    "process": (do_nothing, {"executor": "process"}),
    "ctx.settle": (None, {}),  # by `settling`, which has to know the database
}


def settling(url: str, status: str) -> Callable[[Any, Context], None]:
    """Return a handler's function that moves its row to a status in a transaction of its own."""

    def settle(row: Any, ctx: Context) -> None:
        with psycopg.connect(url) as connection:
            ctx.settle(connection, status)

    return settle


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
