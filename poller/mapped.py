"""SQLAlchemy's mapped classes as tables: their instances in the place of rows, and their types at each border.

A class knows its columns by other names than the database may, and its values as other types (an `Enum` is stored
by the names of its members, a `TypeDecorator` as it says). So what a handler is registered with and what it answers
is translated by the column's type, and what it is given is an instance, as a query would have made it.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from poller.errors import ConfigurationError, PollerError
from poller.outcome import Transition, status_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Column, Dialect, Table
    from sqlalchemy.orm import Mapper, Session


def is_mapped(table: object) -> bool:
    """Tell whether it is a mapped class."""
    return isinstance(table, type) and hasattr(table, "__mapper__")


class Mapped:
    """A mapped class.

    Args:
        entity: the class.
        status: the attribute, or column, that holds the status.

    Raises:
        ConfigurationError: it is mapped to something else than one table, or has no such attribute.
    """

    def __init__(self, entity: Any, status: str) -> None:
        from sqlalchemy import Table  # noqa: PLC0415 - slow to import, and whoever has such a class has done it

        mapper: Mapper[Any] = entity.__mapper__
        if not isinstance(mapper.persist_selectable, Table):
            msg = f"{entity.__name__} is mapped to more than one table; name the one with the status"
            raise ConfigurationError(msg)
        self.entity = entity
        self.table: Table = mapper.persist_selectable
        self._mapper = mapper
        self._status = self.column(status)

    @property
    def status(self) -> str:
        """The name of the status column."""
        return self._status

    def column(self, name: str) -> str:
        """Return the name of the column behind an attribute; a name that is none is taken for the column's."""
        found = self._attributes.get(name)
        return name if found is None else str(found.name)

    def text(self, status: object) -> str:
        """Return a status as the database has it.

        Raises:
            TypeError: it is none.
        """
        column = self.table.columns.get(self._status)
        if column is None:
            return status_text(status)
        try:
            return status_text(self._bound(column, status))
        except (LookupError, AttributeError, ValueError):
            return status_text(status)  # as a text that the database has

    def translated(self, answer: Transition) -> Transition:
        """Return what a handler answered, in the database's names and values."""
        columns = {}
        for name, value in answer.columns.items():
            column = self._attributes.get(name)
            columns[self.column(name)] = value if column is None else self._bound(column, value)
        return Transition(self.text(answer.given), **columns)

    def instance(self, row: Mapping[str, Any]) -> Any:
        """Return an instance as a query would have loaded it, detached from any session."""
        from sqlalchemy.orm import make_transient_to_detached  # noqa: PLC0415 - as above
        from sqlalchemy.orm.attributes import set_committed_value  # noqa: PLC0415 - as above

        made = self._mapper.class_manager.new_instance()
        for attribute, name, load in self._loaders:
            if name in row:
                value = row[name]
                set_committed_value(made, attribute, value if load is None else load(value))
        make_transient_to_detached(made)
        return made

    def refuse_moved(self, instances: list[Any], session: Session) -> None:
        """Refuse that a handler has set the status itself: it would be taken for somebody else's edit.

        Raises:
            PollerError: it has.
        """
        from sqlalchemy import inspect  # noqa: PLC0415 - as above

        attribute = next(key for key, column in self._attributes.items() if column.name == self._status)
        for each in instances:
            if each in session and inspect(each).attrs[attribute].history.has_changes():
                msg = f"the handler has set {self.entity.__name__}.{attribute}; return the status instead"
                raise PollerError(msg)

    @cached_property
    def _attributes(self) -> dict[str, Any]:
        """The attributes that are columns of the table."""
        columns = {each.key: each.columns[0] for each in self._mapper.column_attrs}
        return {key: column for key, column in columns.items() if column in self._own}

    @cached_property
    def _own(self) -> set[Any]:
        return set(self.table.columns)

    @cached_property
    def _dialect(self) -> Dialect:
        from sqlalchemy.dialects.postgresql import psycopg  # noqa: PLC0415 - as above

        dialect: Dialect = psycopg.dialect()  # type: ignore[no-untyped-call]
        return dialect

    @cached_property
    def _loaders(self) -> list[tuple[str, str, Callable[[Any], Any] | None]]:
        """For each attribute the name of its column, and what makes its value of the driver's."""
        return [
            (
                key,
                column.name,
                column.type.dialect_impl(self._dialect).result_processor(self._dialect, None),
            )
            for key, column in self._attributes.items()
        ]

    def _bound(self, column: Column[Any], value: Any) -> Any:
        process = column.type.dialect_impl(self._dialect).bind_processor(self._dialect)
        return value if process is None else process(value)
