"""Where a handler's rows come from: a table as the user gave it, by name, from SQLAlchemy or as a mapped class.

A text needs no SQLAlchemy; `sqlalchemy_expressions` and `mapped` read the rest, and are imported for it alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

from poller.errors import ConfigurationError
from poller.lazy import lazy
from poller.model.answers import status_text
from poller.model.sqlalchemy_objects import is_expression, is_mapped

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Table

    from poller.model import mapped, sqlalchemy_expressions
    from poller.model.mapped import Mapped
else:
    sqlalchemy_expressions = lazy("poller.model.sqlalchemy_expressions")
    mapped = lazy("poller.model.mapped")


@dataclass(frozen=True, slots=True)
class TableSource:
    """A table, with the readers of options about its columns.

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
        if not is_mapped(table):
            return bare
        return cls(table, core, mapped.Mapped(table, bare.column("column", status_column)))

    @property
    def table(self) -> object:
        """The table's name."""
        return self.entity.table if self.entity else self.given

    @property
    def text(self) -> Callable[[object], str]:
        """Return a status as Postgres prints it."""
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


def column_of(option: str, value: Any, core: Table | None, named: Callable[[str], str]) -> str:
    """Return the name of a column, given by that of an attribute or column, or as one of these itself.

    Raises:
        ConfigurationError: it is not a column of this table.
    """
    if isinstance(value, str):
        return named(value)
    if not is_expression(value):
        msg = f"{option} must be the name of a column, or several, got {value!r}"
        raise ConfigurationError(msg)
    return sqlalchemy_expressions.column(option, value, core)


def order_of(value: Any, core: Table | None) -> str | None:
    """Return an order of rows as SQL; one of several expressions is given as a tuple or a list.

    Raises:
        ConfigurationError: it is neither SQL nor of expressions of this table's.
    """
    if value is None or isinstance(value, str):
        return value
    parts = value if isinstance(value, tuple | list) else (value,)
    if not parts:
        msg = "order_by is empty; leave it out"
        raise ConfigurationError(msg)
    return ", ".join(
        each if isinstance(each, str) else sqlalchemy_expressions.order(each, core) for each in parts
    )


def where_of(given: Any, entity: Mapped | None, core: Table | None) -> str | None:
    """Return a condition on a row `t` as SQL, with what a class asks for that shares its table with others.

    Raises:
        ConfigurationError: it is neither SQL nor an expression of the table's.
    """
    asked = [None if entity is None else entity.criterion, given]
    texts = [
        each if isinstance(each, str) else sqlalchemy_expressions.condition(each, core)
        for each in asked
        if each is not None
    ]
    return texts[0] if len(texts) == 1 else " and ".join(f"({text})" for text in texts) or None
