"""Where a handler's rows are: a table as the user gave it, by name, from SQLAlchemy or as a mapped class."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

from poller.model.answers import status_text
from poller.model.expressions import column as column_of
from poller.model.expressions import condition, is_expression
from poller.model.mapped import Mapped, is_mapped

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Table


@dataclass(frozen=True, slots=True)
class Source:
    """A table, and what reads the options that are about its columns.

    Attributes:
        given: as the user gave it.
        core: as SQLAlchemy has it, if it was given so.
        entity: the mapped class, if it is one.
    """

    given: object
    core: Table | None
    entity: Mapped | None

    @classmethod
    def of(cls, table: object, status_column: object) -> Self:
        """Return a handler's source; a mapped class is one with its status column."""
        core = core_of(table)
        bare = cls(table, core, None)
        return (
            cls(table, core, Mapped(table, bare.column("column", status_column)))
            if is_mapped(table)
            else bare
        )

    @property
    def table(self) -> object:
        """What names the table."""
        return self.entity.table if self.entity else self.given

    @property
    def text(self) -> Callable[[object], str]:
        """Tell how a status is written, as Postgres prints it."""
        return self.entity.text if self.entity else status_text

    def column(self, option: str, value: Any) -> str:
        """Return a column's name.

        Raises:
            ConfigurationError: it is not a column of this table.
        """
        return column_of(option, value, self.core, self.entity.column if self.entity else str)

    def columns(self, option: str, value: Any) -> tuple[str, ...]:
        """Return the names of one column, or of several.

        Raises:
            ConfigurationError: one is not a column of this table.
        """
        several = (value,) if isinstance(value, str) or is_expression(value) else value
        return tuple(self.column(option, each) for each in several)

    def statuses(self, value: object) -> tuple[str, ...]:
        """Return one status, or several, as texts; each once."""
        many = value if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
        return tuple(dict.fromkeys(map(self.text, many)))


def core_of(table: object) -> Table | None:
    """Return a table as SQLAlchemy has it, if it was given so."""
    if is_mapped(table):
        return cast("Table", cast("Any", table).__mapper__.local_table)
    return None if isinstance(table, str) else cast("Table", table)


def where_of(given: Any, entity: Mapped | None, core: Table | None) -> str | None:
    """Return a condition as SQL, with what a class asks for that shares its table with others.

    Raises:
        ConfigurationError: it is neither SQL nor an expression of the table's.
    """
    own = None if entity is None or entity.criterion is None else condition(entity.criterion, core)
    texts = [text for text in (own, condition(given, core)) if text is not None]
    return texts[0] if len(texts) == 1 else " and ".join(f"({text})" for text in texts) or None
