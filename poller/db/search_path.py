"""Sets the search path: poller's own statements use one path, users' code (triggers, policies) uses theirs.

The model. Postgres looks up a name when it parses a statement, and an exact match in any schema of the path beats an
inexact one in `pg_catalog`. So a role that may create functions or operators in a schema of the path (in `public`, say)
could have its own run with the rights of the role that asks. Poller's statements are therefore parsed under `OWN`, in
which only a superuser can create. What belongs to users resolves its names while it runs: triggers of their tables,
PL/pgSQL in row security or in a `where` (an SQL function that Postgres looks into while it plans does not: docs). A
statement that runs such code begins with `AS_USERS`, which is evaluated before the rest of it and sets the path
to the users' until the transaction ends.

    a session of poller's own    has `OWN` when it is opened; in a transaction `OwnConnection` sets it after `AS_USERS`
    a session that handlers use  has the users' path; poller's statements there stand behind `SET_OWN`
    a user's own connection      the same, between `ENTER` and `LEAVE`
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN = "pg_catalog, pg_temp"
SET_OWN = f"set local search_path = {OWN}"
SET_USERS = "set local search_path to default"

# Where the users' path is not the session's default, `poller.path` has it. Null sets a default.
_USERS_PATH = "nullif(pg_catalog.current_setting('poller.path', true), '')"
AS_USERS = sql.SQL(f"(select pg_catalog.set_config('search_path', {_USERS_PATH}, true)) is not null")

# These are parsed under the user's path: each name has its schema, and there is no operator. An empty path is written so
# that it is not taken for none.
ENTER = sql.SQL(f"""
with mine as materialized (
    select pg_catalog.set_config('poller.path', case when pg_catalog.length(pg_catalog.current_setting('search_path'))
                                                          operator(pg_catalog.>) 0
                                                     then pg_catalog.current_setting('search_path')
                                                     else '""' end, true) as path
)
select pg_catalog.set_config('search_path', case when mine.path is not null then '{OWN}' end, true) from mine
""")  # noqa: S608 - constants
SET_OWN_AGAIN = sql.SQL(f"select pg_catalog.set_config('search_path', '{OWN}', true)")
LEAVE = sql.SQL(
    "select pg_catalog.set_config('search_path', pg_catalog.current_setting('poller.path'), true)"
)


@contextlib.contextmanager
def own_names(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Let statements on a connection in autocommit mode be parsed under poller's path, then restore its own."""
    row = connection.execute("select pg_catalog.current_setting('search_path')").fetchone()
    assert row is not None  # noqa: S101 - a select without from has one row
    if row[0] == OWN:
        yield
        return
    path = row[0] or '""'
    set_both = "select pg_catalog.set_config('search_path', %s, false), pg_catalog.set_config('poller.path', %s, false)"
    connection.execute(set_both, [OWN, path])
    try:
        yield
    finally:
        with contextlib.suppress(psycopg.Error):
            connection.execute(set_both, [path, ""])
