"""Watches what each statement of the client goes through, as EXPLAIN ANALYZE sees it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller.db.connection import OwnConnection, _NamedCursor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BOUND = 12_000  # rows that no statement goes through


class StatementWatch:
    """What was gone through: a number of rows for each statement, with its text."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, str]] = []

    @property
    def most(self) -> tuple[int, str]:
        """The statement that went through most."""
        return max(self.seen)

    def note(self, connection: psycopg.Connection[Any], query: Any, asked: Any) -> None:
        """Explain a statement, and undo what it did."""
        text = query if isinstance(query, str) else query.as_string(connection)
        if text.lstrip().startswith(("select", "with", "(", "insert", "update", "delete")):
            with connection.transaction(force_rollback=True):
                cursor = psycopg.ClientCursor(connection)
                row = cursor.execute(
                    f"explain (analyze, timing off, format json) {text}", asked or {}
                ).fetchone()
            assert row is not None
            self.seen.append((scanned(row[0][0]["Plan"]), text))


def scanned(node: Mapping[str, Any]) -> int:
    """Return how many rows of tables a plan went through, what a filter removed included."""
    own = 0
    if "Relation Name" in node:
        removed = sum(value for name, value in node.items() if name.startswith("Rows Removed"))
        own = int((node["Actual Rows"] + removed) * node["Actual Loops"])
    return own + sum(map(scanned, node.get("Plans", ())))


@contextlib.contextmanager
def watched() -> Iterator[StatementWatch]:
    """Watch the statements of clients that are made from a URL."""
    watch, execute = StatementWatch(), _NamedCursor.execute

    def explained(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(self.connection, OwnConnection):
            watch.note(self.connection, query, arguments[0] if arguments else None)
        return execute(self, query, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_NamedCursor, "execute", explained)
        yield watch
