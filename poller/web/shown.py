"""Which columns of users' tables are shown: only those that the settings name, since others may hold private data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
        named = self.tables.get(table) or self.tables.get(table.rpartition(".")[2], ())
        return lambda column: (
            column in named or column in TIMES or (ALL in named and SECRET.search(column) is None)
        )


def shown(tables: Any) -> Show:
    """Return what the settings say is to be shown.

    Raises:
        ConfigurationError: they do not say it in the form that they have.
    """
    if not isinstance(tables, dict):
        msg = "desk.tables must have a table for each of the user's: [desk.tables.orders]"
        raise ConfigurationError(msg)
    return Show({name: _columns(name, each) for name, each in tables.items()})


def _columns(name: str, table: Any) -> tuple[str, ...]:
    columns = table.get("show") if isinstance(table, dict) and table.keys() == {"show"} else None
    listed = [columns] if isinstance(columns, str) else columns
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        msg = f'desk.tables.{name} must be show = ["column", …] or show = "*"'
        raise ConfigurationError(msg)
    return tuple(listed)
