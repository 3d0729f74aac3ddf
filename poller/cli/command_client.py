"""Builds a command's client from its options."""

from __future__ import annotations

import getpass
import itertools
import os
import socket
import sys
from typing import TYPE_CHECKING

import typer

import poller
from poller.cli import process_title
from poller.errors import ConfigurationError
from poller.lazy import lazy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import conninfo

    from poller.client import database as databases
    from poller.client import known_handlers as registered
    from poller.client.client import Client
    from poller.client.database import DatabaseLocation
    from poller.client.known_handlers import Source
else:  # the help of a command does not wait for the driver
    conninfo = lazy("psycopg.conninfo")
    databases = lazy("poller.client.database")
    registered = lazy("poller.client.known_handlers")

EMBEDDED = "no --database given: using the embedded Postgres of this folder, .poller/"
VISIBLE = (
    "every user of this host can see the password in --database in the list of processes; "
    "give it by POLLER_DATABASE_URL, PGPASSWORD or ~/.pgpass"
)
VIA = "cli"  # the face, as orders are logged with it


def location(database: str | None, *, starts: bool = False) -> DatabaseLocation:
    """Return the database to use, the first of several, and say so if none was named.

    Args:
        database: as it was given.
        starts: start the embedded server of this folder if that is needed and not running.

    Raises:
        PollerError: the URL is not valid, or given twice, or the embedded server cannot be started.
    """
    options = [*itertools.takewhile(lambda each: each != "--", sys.argv)]
    if sum(each == "--database" or each.startswith("--database=") for each in options) > 1:
        msg = "this command is about one database, and --database is given twice; name the one that is meant"
        raise ConfigurationError(msg)  # Typer would take the last, and an order would go there
    return _located(database, starts=starts)


def _located(database: str | None, *, starts: bool) -> DatabaseLocation:
    several = (database or "").split()
    if len(several) > 1 and all("://" in each for each in several):
        database = several[0]
    found = databases.locate(database, starts=starts)
    _tell_of_strange_host(found.url)
    if found.embedded:
        typer.echo(EMBEDDED, err=True)
    elif database and any(database in each for each in sys.argv):
        _hide_password(found.url)
    return found


def _tell_of_strange_host(url: str) -> None:
    """Name the host of a URL from a settings file, if it is about to get the environment's password.

    The folder's owner may have set a trap to get it.
    """
    given = os.environ.get("POLLER_DATABASE_URL") or os.environ.get("DATABASE_URL")
    if given or "PGPASSWORD" not in os.environ or any(each.startswith("--database") for each in sys.argv):
        return
    parts = conninfo.conninfo_to_dict(url)
    if parts.get("host") and not parts.get("password") and not str(parts["host"]).startswith("/"):
        typer.echo(f"PGPASSWORD goes to {parts['host']}, which this folder's settings name", err=True)


def _hide_password(url: str) -> None:
    """Hide a password given on the command line from other users' view of this process, or warn of it."""
    if conninfo.conninfo_to_dict(url).get("password") and not process_title.hide_urls():
        typer.echo(VISIBLE, err=True)


def locations(given: Sequence[str] | None) -> list[DatabaseLocation]:
    """Return the databases to use, the embedded one started, and say so if none was named.

    Raises:
        PollerError: a URL is not valid, two have the same name, or the embedded server cannot be started.
    """
    if not given:
        return [location(None, starts=True)]
    found = [_located(each, starts=True) for each in _whole(given)]
    names = [each.name for each in found]
    for name in names:
        if names.count(name) > 1:
            msg = f"two databases are called {name!r}; name each: --database eu=postgres://… --database us=postgres://…"
            raise ConfigurationError(msg)
    return found


def _whole(given: Sequence[str]) -> list[str]:
    """Rejoin libpq's `key=value` form, which Typer splits if it comes from the environment."""
    pairs = [each for each in given if "://" not in each and " " not in each]
    keys = [each.partition("=")[0] for each in pairs]
    if len(keys) > len(set(keys)):
        return list(given)
    return [*([" ".join(pairs)] if pairs else []), *(each for each in given if each not in pairs)]


def client(
    database: str | None,
    handlers: str | None = None,
    *,
    needs_handlers: bool = False,
    actor: str | None = None,
) -> Client:
    """Return a command's client.

    Args:
        database: as it was given.
        handlers: the package of the handlers; None for a command that does not need them.
        needs_handlers: the package is imported first, and a command ends where that fails.
        actor: who orders; None for the user of the operating system.

    Raises:
        PollerError: the URL is not valid, the embedded server does not run, or the package cannot be imported.
    """
    known = registered.required(handlers) if needs_handlers else handlers
    return client_of(location(database), known, actor)


def client_of(found: DatabaseLocation, handlers: Source, actor: str | None = None) -> Client:
    """Return the client of a database, whose orders are logged as the command line's."""
    return poller.Client(found, handlers, via=VIA, person=actor or person())


def person() -> str:
    """Return the author of this command line's orders: the operating system's user, and the host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, in a container say
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
