"""Migrates poller's own schema, if there is anything to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.db import schema
from poller.db.connection import connect
from poller.lazy import lazy

if TYPE_CHECKING:
    from poller.db import upgrade
else:
    upgrade = lazy("poller.db.upgrade")  # with Alembic and SQLAlchemy, half a second of each start


def migrate(url: str, to: str = "head") -> str | None:
    """Bring the schema to a revision, one process at a time. Returns the version it was at.

    Raises:
        ConfigurationError: there is no such revision, or the schema is beyond it.
        DatabaseError: the role may not, the schema is another's or newer than this version of poller knows.
        psycopg.Error: the database cannot be reached, or the session was lost.
    """
    with connect(url, "migrate") as connection:
        schema.refuse_strangers(connection, migrates=True)
        found = schema.version(connection)
    return found if found == schema.NEWEST and to in ("head", found) else upgrade.upgrade(url, to)
