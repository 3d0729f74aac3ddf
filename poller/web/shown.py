"""Which columns of users' tables are shown: only those that the settings name, since others may hold private data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.client.selector import is_spelled
from poller.errors import ConfigurationError, PollerError
from poller.spelling import refuse_others
from poller.web.faults import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from poller.client.client import Client

ALL = "*"
TIMES = ("created_at", "updated_at")  # of any table: they tell how old a row is
SECRET = re.compile(
    r"pass(word|wd|phrase)?|secret|token|hash|salt|key|mail|phone|iban|ssn|birth|card|cvv", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Show:
    """What is shown of each table, by its name."""

    tables: Mapping[str, tuple[str, ...]]

    def of(self, table: str) -> Callable[[str], bool]:
        """Return what tells whether a column of a table is shown."""
        alike = (columns for name, columns in self.tables.items() if is_spelled(table, name))
        named = self.tables.get(table) or next(alike, ())
        return lambda column: (
            column in named or column in TIMES or (ALL in named and SECRET.search(column) is None)
        )


def tables_of(section: Any) -> dict[str, Any]:
    """Return what the section `desk` of the settings says of tables.

    Raises:
        ConfigurationError: it is not a table, or has another key.
    """
    refuse_others("desk", _table("desk", section), ["tables"])
    return _table("desk.tables", section.get("tables", {}))


def shown(tables: Any) -> Show:
    """Return what the settings say is to be shown.

    Raises:
        ConfigurationError: they do not say it in the form that they have.
    """
    return Show({name: _columns(name, each) for name, each in _table("desk.tables", tables).items()})


def missing(client: Client, show: Show) -> tuple[str, ...]:
    """Return a line for each table and column that the database does not have; none, if it cannot be asked."""
    named = {table: [each for each in columns if each != ALL] for table, columns in show.tables.items()}
    try:
        return client.missing_columns(named)
    except (PollerError, Refused):  # the pages say so
        return ()


def _columns(name: str, table: Any) -> tuple[str, ...]:
    refuse_others(f"desk.tables.{name}", _table(f"desk.tables.{name}", table), ["show"])
    columns = table.get("show")
    listed = [columns] if isinstance(columns, str) else columns
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        msg = f'desk.tables.{name} must be show = ["column", …] or show = "*"'
        raise ConfigurationError(msg)
    return tuple(listed)


def _table(what: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        msg = f'{what} must be a table of settings: [desk.tables.orders] with show = ["column", …]'
        raise ConfigurationError(msg)
    return value
