"""Names of tables, as users write them: split, quoted and joined."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

from poller.errors import ConfigurationError
from poller.model.sqlalchemy_objects import is_mapped

_NAME = re.compile(r'"((?:[^"]|"")+)"|([^."]+)')
_QUOTED = re.compile(
    r'(?:(?:"(?:[^"]|"")+"|[^.":]+)\.)?"(?:[^"]|"")+"'
)  # a name whose last part is in quotes, or first


@dataclass(frozen=True, slots=True)
class TableName:
    """A table as the user names it; without a schema it is found along the search path."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        return dotted(self.schema, self.name) if self.schema else dotted(self.name)


def table_name(table: object) -> TableName:
    """Return the name of a table given as text, as a SQLAlchemy `Table` or as a mapped class.

    Raises:
        ConfigurationError: it is none of these, or the text is not a name.
    """
    if isinstance(table, str):
        parts = _split(table)
        if 0 < len(parts) <= 2 and all(parts):  # noqa: PLR2004 - schema and name
            return TableName(parts[0] if len(parts) > 1 else None, parts[-1])
    elif is_mapped(table):
        return table_name(cast("Any", table).__mapper__.local_table)
    elif hasattr(table, "name") and hasattr(table, "schema"):
        named = cast("Any", table)
        return TableName(named.schema, str(named.name))
    names = "'name' or 'schema.name'"
    if not isinstance(table, str):
        names = "'name', 'schema.name', a SQLAlchemy Table or a mapped class"
    msg = f"table must be {names}, got {table!r}"
    raise ConfigurationError(msg)


def split_off_table(text: str) -> tuple[str, str | None]:
    """Return the table's name that begins a text, and what follows its colon; one in quotes belongs to the name.

    What follows is None without a colon; it is empty where nothing stands behind it, which may be the empty status.
    """
    quoted = _QUOTED.match(text)
    end = text.find(":", quoted.end() if quoted else 0)
    return (text, None) if end < 0 else (text[:end], text[end + 1 :])


def dotted(*names: str) -> str:
    """Return names joined by dots, as `table_name` reads them: quoted where a dot or a quote is in one."""
    return ".".join('"' + name.replace('"', '""') + '"' if {*name} & {*'."'} else name for name in names)


def _split(text: str) -> list[str]:
    """Split at dots outside double quotes, which are doubled inside quotes, as in SQL; [] if that fails."""
    parts: list[str] = []
    at = -1
    while at < len(text):
        part = _NAME.match(text, at + 1)
        if part is None or text[part.end() : part.end() + 1] not in {"", "."}:
            return []
        quoted, plain = part.groups()
        parts.append(plain if quoted is None else quoted.replace('""', '"'))
        at = part.end()
    return parts
