"""Renders SQLAlchemy's expressions as SQL: `where=Order.kind == "a"`, `order_by=Order.id.desc()`.

They are rendered once, when the handler is made, with their values in them: a claim's text must not change, and the
planner must see the values to use a partial index. They may concern the handler's own row only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import literal_column, select
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.sql import coercions, roles, visitors
from sqlalchemy.sql.util import ClauseAdapter

from poller.errors import ConfigurationError
from poller.model.sqlalchemy_objects import is_expression

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Table


def condition(value: Any, table: Table | None) -> str:
    """Return a condition on a row `t` as SQL.

    Raises:
        ConfigurationError: it is not an expression of this table's.
    """
    clause, own = _clause("where", value, table)
    text: str = _rendered("where", lambda: _where_of(clause, own))
    return text


def order(value: Any, table: Table | None) -> str:
    """Return an order of rows as SQL.

    Raises:
        ConfigurationError: it is not an expression of this table's.
    """
    clause, own = _clause("order_by", value, table)
    if any(each != own.name for each in _tables_in(clause)):
        msg = f"order_by must use columns of {own.name} only, got {_text(value)}"
        raise ConfigurationError(msg)
    # Without the table's name: an index on it is made of the same text.
    text: str = _rendered("order_by", lambda: _sql(clause, include_table=False))
    return text


def column(option: str, value: Any, table: Table | None) -> str:
    """Return the name of a column given as a column, or as an attribute of a mapped class.

    Raises:
        ConfigurationError: it is not a column of this table.
    """
    clause, own = _clause(option, value, table)
    name = getattr(clause, "name", None)
    if not isinstance(name, str) or getattr(getattr(clause, "table", None), "name", None) != own.name:
        msg = f"{option} must name a column of {own.name}, got {_text(value)}"
        raise ConfigurationError(msg)
    return name


def _clause(option: str, value: Any, table: Table | None) -> tuple[Any, Table]:
    if not is_expression(value):
        msg = f"{option} must be SQL, or an expression of SQLAlchemy's, got {value!r}"
        raise ConfigurationError(msg)
    if table is None:
        msg = f"{option} is an expression, so the table must be given as a SQLAlchemy Table or a mapped class"
        raise ConfigurationError(msg)
    return _rendered(option, lambda: coercions.expect(roles.ByOfRole, value)), table


def _where_of(clause: Any, table: Table) -> str:
    """Render it within a query on rows `t`, so that its subqueries refer to these."""
    rows = table.alias("t")
    question: Any = select(literal_column("1")).select_from(rows).where(ClauseAdapter(rows).traverse(clause))
    if list(question.get_final_froms()) != [rows]:
        msg = f"where must use columns of {table.name} only, got {_text(clause)}"
        raise ConfigurationError(msg)
    return _sql(question).partition("WHERE ")[2]


def _tables_in(clause: Any) -> Iterator[str | None]:
    for each in visitors.iterate(clause):
        table = getattr(each, "table", None)
        if table is not None:
            yield getattr(table, "name", None)


def _rendered(option: str, render: Callable[[], Any]) -> Any:
    try:
        return render()
    except ConfigurationError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split("(Background")[0].split())
        msg = f"{option} cannot be written as SQL: {reason}"
        raise ConfigurationError(msg) from error


def _sql(clause: Any, **options: Any) -> str:
    dialect: Any = PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]  # one that doubles no %
    dialect._backslash_escapes = False  # noqa: SLF001 - standard strings, whose default differs between its versions
    text: str = clause.compile(dialect=dialect, compile_kwargs={"literal_binds": True, **options}).string
    return text


def _text(value: object) -> str:
    return " ".join(str(value).split())
