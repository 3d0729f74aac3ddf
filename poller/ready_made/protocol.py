"""The protocol of ready-made jobs about a table, which can check it before they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import psycopg


@runtime_checkable
class AboutATable(Protocol):
    """The function of a job that works on a table: it runs once for each database, and `poller check` asks it."""

    def check(self, connection: psycopg.Connection[Any]) -> None:
        """Check it against its table, as each run does before it changes anything.

        Raises:
            ConfigurationError: it does not fit; one line says why.
        """
        ...

    def advice(self, connection: psycopg.Connection[Any]) -> str | None:
        """Return the statement that would make each run cheaper, or None if there is none.

        Raises:
            ConfigurationError: as for `check`.
        """
        ...
