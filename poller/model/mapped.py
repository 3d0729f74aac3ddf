"""Supports SQLAlchemy's mapped classes as tables: builds their instances from rows, and converts their types.

A class may have other names for its columns than the database, and other types for its values (an `Enum` is stored
by the names of its members, a `TypeDecorator` as it says). So a handler's options and answers are
converted by the column's type, and it is given an instance, as a query would have made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Table, inspect
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.orm import make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from poller.errors import ConfigurationError, PollerError
from poller.model.answers import Transition, status_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Column, Dialect
    from sqlalchemy.orm import Mapper, Session


class Mapped:
    """A mapped class.

    Args:
        entity: the class.
        status: the attribute, or column, that holds the status.

    Raises:
        ConfigurationError: it is not mapped to exactly one table, or has no such attribute.
    """

    def __init__(self, entity: Any, status: str) -> None:
        mapper: Mapper[Any] = entity.__mapper__
        if not isinstance(mapper.persist_selectable, Table):
            msg = f"{entity.__name__} is mapped to more than one table; give the table that has the status"
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
        """Return the name of the column behind an attribute; any other name is taken for a column's."""
        found = self._attributes.get(name)
        return name if found is None else str(found.name)

    def attribute(self, column: str) -> str | None:
        """Return the name of the attribute that has a column, if one has it."""
        return next((key for key, each in self._attributes.items() if each.name == column), None)

    def text(self, status: object) -> str:
        """Return a status as the database has it.

        Raises:
            TypeError: it is not a status.
        """
        column = self.table.columns.get(self._status)
        if column is None:
            return status_text(status)
        try:
            return status_text(self._bound(column, status))
        except (LookupError, AttributeError, ValueError):
            return status_text(status)  # as a text that the database has

    def translated(self, answer: Transition) -> Transition:
        """Return a handler's answer with the database's names and values."""
        columns = {}
        for name, value in answer.columns.items():
            column = self._attributes.get(name)
            columns[self.column(name)] = value if column is None else self._bound(column, value)
        return Transition(self.text(answer.given), **columns)

    def reader(self, codes: Mapping[str, int]) -> Reader:
        """Return the reader that makes instances of a table's rows.

        Args:
            codes: for each column the number of the type that the driver makes its values of.

        Raises:
            ConfigurationError: the table lacks a column, or a column's type cannot read what the table has.
        """
        mappers = [each for each in self._mapper.self_and_descendants if not each.concrete]
        return Reader(self._mapper, self._kind, {each: self._loads(each, codes) for each in mappers})

    @property
    def criterion(self) -> Any:
        """The condition that selects the class's rows where classes share a table, as an expression; else None."""
        if not self._mapper.single or self._kind is None:
            return None
        kinds = [each.polymorphic_identity for each in self._mapper.self_and_descendants]
        return self._own[self._kind.name].in_([each for each in kinds if each is not None])

    def refuse_moved(self, instances: list[Any], session: Session) -> None:
        """Refuse an instance whose status the handler has set: that would be taken for another session's edit.

        Raises:
            PollerError: it has.
        """
        attribute = cast("str", self.attribute(self._status))
        for each in instances:
            if each in session and inspect(each).attrs[attribute].history.has_changes():
                msg = f"the handler set {self.entity.__name__}.{attribute}; return the status instead"
                raise PollerError(msg)

    @cached_property
    def _attributes(self) -> dict[str, Column[Any]]:
        """The attributes that are columns of the table."""
        return self._columns(self._mapper)

    def _columns(self, mapper: Mapper[Any]) -> dict[str, Column[Any]]:
        own = set(self._own)
        found = {each.key: [one for one in each.columns if one in own] for each in mapper.column_attrs}
        return {key: cast("Column[Any]", columns[0]) for key, columns in found.items() if columns}

    @cached_property
    def _own(self) -> Any:
        return self.table.columns

    @cached_property
    def _kind(self) -> Column[Any] | None:
        """The column that tells the class of a row, where classes share the table."""
        kind: Any = self._mapper.polymorphic_on
        return kind if kind is not None and kind in set(self._own) else None

    @cached_property
    def _dialect(self) -> Dialect:
        dialect: Dialect = psycopg.dialect()  # type: ignore[no-untyped-call]
        return dialect

    def _loads(self, mapper: Mapper[Any], codes: Mapping[str, int]) -> list[Load]:
        return [self._load(key, column, codes) for key, column in self._columns(mapper).items()]

    def _load(self, key: str, column: Column[Any], codes: Mapping[str, int]) -> Load:
        name = f"{self.entity.__name__}.{key}"
        if column.name not in codes:
            msg = f"{name} is mapped to the column {column.name!r}, which the table lacks; it has {', '.join(codes)}"
            raise ConfigurationError(msg)
        code = codes[column.name]
        try:
            made = column.type.dialect_impl(self._dialect).result_processor(self._dialect, code)
        except Exception as error:
            reason = " ".join(str(error).split())
            msg = f"{name} is mapped as {column.type!r}, which cannot read the table's value: {reason}"
            raise ConfigurationError(msg) from error
        return Load(key, column.name, made, column.type.column_expression(column) is None)

    def _bound(self, column: Column[Any], value: Any) -> Any:
        process = column.type.dialect_impl(self._dialect).bind_processor(self._dialect)
        return value if process is None else process(value)


@dataclass(frozen=True, slots=True)
class Load:
    """How an attribute is read: from which column, by what (its type's own way; None leaves it as the driver has it).

    One whose type wraps its column in SQL (`column_expression`) is left unloaded, like a deferred one.
    """

    attribute: str
    column: str
    process: Callable[[Any], Any] | None
    is_plain: bool


@dataclass(frozen=True, slots=True)
class Reader:
    """Makes instances of a class of a table's rows.

    Attributes:
        mapper: of the class.
        kind: the column that tells the class of a row, where classes share the table.
        loads: how the attributes are read, of the class and of those below it.
    """

    mapper: Mapper[Any]
    kind: Column[Any] | None
    loads: Mapping[Mapper[Any], Sequence[Load]]

    def instance(self, row: Mapping[str, Any]) -> Any:
        """Return an instance as a query would have loaded it, detached from any session.

        Raises:
            LookupError: no class is known for the row's kind.
        """
        mapper = self._mapper_of(row)
        made = mapper.class_manager.new_instance()
        for load in self.loads[mapper]:
            if load.is_plain:
                value = row[load.column]
                set_committed_value(
                    made, load.attribute, value if load.process is None else load.process(value)
                )
        make_transient_to_detached(made)
        state: Any = inspect(made)
        state.manager.dispatch.load(state, None)  # a reconstructor, what listens for changes within a value
        return made

    def _mapper_of(self, row: Mapping[str, Any]) -> Mapper[Any]:
        if self.kind is None:
            return self.mapper
        name = self.kind.name
        process = next((each.process for each in self.loads[self.mapper] if each.column == name), None)
        value = row[name] if process is None else process(row[name])
        found = self.mapper.polymorphic_map.get(value, self.mapper if value is None else None)
        if found is None or found not in self.loads:
            msg = f"{name} is {value!r}, which is not an identity of {self.mapper.class_.__name__}"
            raise LookupError(msg)
        return found
