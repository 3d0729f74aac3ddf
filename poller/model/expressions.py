"""SQLAlchemy's expressions in the place of SQL: `where=Order.kind == "a"`, `order_by=Order.id.desc()`.

They are rendered once, when the handler is made, with their values in them: a claim's text must not change, and the
planner must see the values to use a partial index. They are about the handler's own row alone.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Table


def is_expression(value: object) -> bool:
    """Tell whether it is SQLAlchemy's: an attribute of a mapped class, a column, or what is made of them."""
    if "sqlalchemy" not in sys.modules:  # who has one has imported it
        return False
    from sqlalchemy import ClauseElement  # noqa: PLC0415 - slow to import, and seldom needed

    return isinstance(value, ClauseElement) or hasattr(value, "__clause_element__")


def condition(value: Any, table: Table | None) -> str | None:
    """Return a condition on a row `t` as SQL.

    Raises:
        ConfigurationError: it is neither SQL nor an expression of this table's.
    """
    if value is None or isinstance(value, str):
        return value
    clause, own = _clause("where", value, table)
    text: str = _rendered("where", lambda: _where_of(clause, own))
    return text


def order(value: Any, table: Table | None) -> str | None:
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
    return ", ".join(each if isinstance(each, str) else _order_of(each, table) for each in parts)


def column(option: str, value: Any, table: Table | None, named: Callable[[str], str]) -> str:
    """Return the name of a column, given by that of an attribute or column, or as one of these itself.

    Raises:
        ConfigurationError: it is none of this table's.
    """
    if isinstance(value, str):
        return named(value)
    if not is_expression(value):
        msg = f"{option} must be the name of a column, or several, got {value!r}"
        raise ConfigurationError(msg)
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
    from sqlalchemy.sql import coercions, roles  # noqa: PLC0415 - as above

    return _rendered(option, lambda: coercions.expect(roles.ByOfRole, value)), table


def _where_of(clause: Any, table: Table) -> str:
    """Render it within a question for rows `t`, so that what subqueries ask about them is about these."""
    from sqlalchemy import literal_column, select  # noqa: PLC0415 - as above
    from sqlalchemy.sql.util import ClauseAdapter  # noqa: PLC0415 - as above

    rows = table.alias("t")
    question: Any = select(literal_column("1")).select_from(rows).where(ClauseAdapter(rows).traverse(clause))
    if list(question.get_final_froms()) != [rows]:
        msg = f"where must be about {table.name} alone, got {_text(clause)}"
        raise ConfigurationError(msg)
    return _sql(question).partition("WHERE ")[2]


def _order_of(value: Any, table: Table | None) -> str:
    clause, own = _clause("order_by", value, table)
    if any(each != own.name for each in _tables_in(clause)):
        msg = f"order_by must be about {own.name} alone, got {_text(value)}"
        raise ConfigurationError(msg)
    # Without the table's name: an index on it is made of the same text.
    text: str = _rendered("order_by", lambda: _sql(clause, include_table=False))
    return text


def _tables_in(clause: Any) -> Iterator[str | None]:
    from sqlalchemy.sql import visitors  # noqa: PLC0415 - as above

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
        said = " ".join(str(error).split("(Background")[0].split())
        msg = f"{option} cannot be written as SQL: {said}"
        raise ConfigurationError(msg) from error


def _sql(clause: Any, **options: Any) -> str:
    from sqlalchemy.dialects.postgresql.base import PGDialect  # noqa: PLC0415 - as above

    dialect: Any = PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]  # one that doubles no %
    dialect._backslash_escapes = False  # noqa: SLF001 - standard strings, whose default differs between its versions
    text: str = clause.compile(dialect=dialect, compile_kwargs={"literal_binds": True, **options}).string
    return text


def _text(value: object) -> str:
    return " ".join(str(value).split())
