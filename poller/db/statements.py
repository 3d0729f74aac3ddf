"""Loads the statements of `sql/`, once each, and composes parts into them.

Identifiers and literals are composed with `psycopg.sql`; values are bound. A statement is composed once
for a handler and kept: its text never changes, so that psycopg prepares it after a few uses.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from psycopg import sql

from poller.db.search_path import AS_USERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from importlib.resources.abc import Traversable

    from psycopg.abc import AdaptContext


_OTHERS = ("functions", "migrations")  # folders of what makes the schema


@cache
def _found() -> dict[str, Traversable]:
    """Return the files of all statements by name; names are unique across folders."""
    folders = [
        each
        for each in files("poller").joinpath("sql").iterdir()
        if each.is_dir() and each.name not in _OTHERS
    ]
    return {each.name.removesuffix(".sql"): each for folder in folders for each in folder.iterdir()}


@cache
def template(name: str) -> sql.SQL:
    """Return the statement of `<name>.sql`, from any folder of `sql/`, without its head."""
    text = _found()[name].read_text(encoding="utf-8")
    body = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return sql.SQL(body)


def read_all() -> None:
    """Read the files of all statements now: later there may be no file descriptor left, or another version's files."""
    for name in _found():
        template(name)


class Statement(sql.Composed):
    """A statement that is rendered once: rendering takes longer than executing many a statement.

    Attributes:
        has_users_part: a part of it begins with `AS_USERS`, which changes the path.
    """

    _rendered: bytes | None = None

    def __init__(self, parts: Iterable[sql.Composable]) -> None:
        super().__init__([*parts])
        self.has_users_part = any(map(has_users_part, self))

    def as_bytes(self, context: AdaptContext | None = None) -> bytes:
        """Return it as it is sent."""
        if self._rendered is None:
            self._rendered = super().as_bytes(context)
        return self._rendered

    def without_parameters(self) -> Statement:
        """Return the statement as it is sent without parameters: percent signs are not doubled then."""
        made = Statement(self)
        made._rendered = self.as_bytes().replace(b"%%", b"%")
        return made


def has_users_part(query: object) -> bool:
    """Tell whether a part of a query begins with `AS_USERS`: a `Statement` knows it; its text is not searched."""
    if isinstance(query, Statement):
        return query.has_users_part
    return any(map(has_users_part, query)) if isinstance(query, sql.Composed) else query is AS_USERS


def statement(name: str, **parts: sql.Composable) -> Statement:
    """Return the statement of `<name>.sql` with its `{parts}` filled in, to be run with parameters."""
    return _composed(name, parts) if parts else _alone(name)


@cache
def _alone(name: str) -> Statement:
    return _composed(name, {})


def _composed(name: str, parts: Mapping[str, sql.Composable]) -> Statement:
    given = {place: _doubled(part) for place, part in parts.items()}
    return Statement([*template(name).format(as_users=AS_USERS, **given)])


class _Doubled(sql.Composable):
    """A name or a literal with its percent signs doubled; psycopg would take single ones for parameters."""

    def as_bytes(self, context: AdaptContext | None = None) -> bytes:
        """Return it as it is sent."""
        inner: sql.Composable = self._obj
        return inner.as_bytes(context).replace(b"%", b"%%")


def _doubled(part: sql.Composable) -> sql.Composable:
    if isinstance(part, sql.Composed):
        return sql.Composed([_doubled(each) for each in part])
    return _Doubled(part) if isinstance(part, sql.Identifier | sql.Literal) else part


def trusted(text: str) -> sql.SQL:
    """Return SQL that the program's author wrote (a handler's `where`), safe to stand in a statement."""
    return sql.SQL(text.replace("%", "%%"))


def texts(values: Sequence[str]) -> str:
    """Return a Postgres array literal of texts.

    psycopg's own list adaptation takes about a microsecond an element, more than all else that is done
    for a row; this takes a twentieth of it. (Array input syntax: Postgres docs, 8.15.2.)
    """
    if not values:
        return "{}"
    every = "".join(values)
    if '"' in every or "\\" in every:
        return array(values)
    return '{"' + '","'.join(values) + '"}'


def numbers(values: Iterable[float]) -> str:
    """Return a Postgres array literal of numbers, none of which is null."""
    return "{" + ",".join(map(str, values)) + "}"


def array(values: Iterable[object]) -> str:
    """Return a Postgres array literal of texts, numbers, truths and nulls; see `texts`."""
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
