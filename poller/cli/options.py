"""The options that several commands share, and what is made of them."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

    from poller.db.connection import Place
    from poller.model.handler import Handler

EMBEDDED = "no --database given: using the embedded Postgres of this folder, .poller/"
VISIBLE = (
    "anybody on this host can see the password in --database in the list of processes; "
    "give it by POLLER_DATABASE_URL, PGPASSWORD or ~/.pgpass"
)

Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        envvar=["POLLER_DATABASE_URL", "DATABASE_URL"],
        show_default=False,
        help="postgres://… or libpq's key=value form; without one, the embedded Postgres of this folder.",
    ),
]
Databases = Annotated[
    list[str] | None,
    typer.Option(
        "--database",
        metavar="[NAME=]URL",
        envvar=["POLLER_DATABASE_URL", "DATABASE_URL"],
        show_default=False,
        help="As for the other commands. Several, with a name for each, are served side by side.",
    ),
]
Handlers = Annotated[
    str, typer.Option("--handlers", metavar="PKG", help="The package that the handlers are in.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print an array of objects instead.")]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        metavar="N",
        show_default=False,
        help="At most so many; without it 100, or with --json all.",
    ),
]
Keys = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY", help="Keys of rows, whatever they contain.", show_default=False),
]
DEFAULT_LIMIT = 100


def duration(text: str | float) -> float:
    """Return a duration given as an option, in seconds.

    Raises:
        ValueError: it is none; Typer names the option.
    """
    from poller.duration import seconds  # noqa: PLC0415 - as below
    from poller.errors import ConfigurationError  # noqa: PLC0415 - as below

    if isinstance(text, float):  # the option's own default
        return text
    try:
        return seconds(text)
    except ConfigurationError:
        msg = f"{text!r} is not a duration; write it like 30s, 1h30m or 2d"
        raise ValueError(msg) from None


def place(database: str | None, *, starts: bool = False) -> Place:
    """Return the database to use, the first if there are several, and say so if nobody named one.

    Args:
        database: as it was given.
        starts: start the embedded server of this folder if that is needed and it does not run.

    Raises:
        PollerError: the URL is none, or the embedded server cannot be started.
    """
    from poller.db.connection import locate  # noqa: PLC0415 - `--help` is not to wait for it

    several = (database or "").split()
    if len(several) > 1 and all("://" in each for each in several):
        database = several[0]
    found = locate(database, starts=starts)
    _tell_of_strange_host(found.url)
    if found.embedded:
        typer.echo(EMBEDDED, err=True)
    elif database and any(database in each for each in sys.argv):
        _hide_password(found.url)
    return found


def _tell_of_strange_host(url: str) -> None:
    """Name the host of a URL that stands in a settings file, if it is about to get the environment's password.

    The folder may be somebody else's, who would like to have it.
    """
    given = os.environ.get("POLLER_DATABASE_URL") or os.environ.get("DATABASE_URL")
    if given or "PGPASSWORD" not in os.environ or any(each.startswith("--database") for each in sys.argv):
        return
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - `--help` is not to wait for it

    parts = conninfo_to_dict(url)
    if parts.get("host") and not parts.get("password") and not str(parts["host"]).startswith("/"):
        typer.echo(f"PGPASSWORD goes to {parts['host']}, which this folder's settings name", err=True)


def _hide_password(url: str) -> None:
    """Take a password that was given on the command line out of what others see of this process, or warn of it."""
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - `--help` is not to wait for it

    from poller.cli.title import hide_urls  # noqa: PLC0415 - seldom needed

    if conninfo_to_dict(url).get("password") and not hide_urls():
        typer.echo(VISIBLE, err=True)


def places(databases: Sequence[str] | None) -> list[Place]:
    """Return the databases to use, the embedded one started, and say so if nobody named one.

    Raises:
        PollerError: a URL is none, two have one name, or the embedded server cannot be started.
    """
    from poller.errors import ConfigurationError  # noqa: PLC0415 - as above

    if not databases:
        return [place(None, starts=True)]
    found = [place(each, starts=True) for each in _whole(databases)]
    names = [each.name for each in found]
    for name in names:
        if names.count(name) > 1:
            msg = f"two databases are called {name!r}; name each: --database eu=postgres://… --database us=postgres://…"
            raise ConfigurationError(msg)
    return found


def _whole(databases: Sequence[str]) -> list[str]:
    """Put libpq's `key=value` form together again, which Typer takes apart if it comes from the environment."""
    pairs = [each for each in databases if "://" not in each and " " not in each]
    keys = [each.partition("=")[0] for each in pairs]
    if len(keys) > len(set(keys)):
        return list(databases)
    return [*([" ".join(pairs)] if pairs else []), *(each for each in databases if each not in pairs)]


@contextlib.contextmanager
def connected(where: Place, *, migrated: bool = True) -> Iterator[psycopg.Connection[Any]]:
    """Open a connection for a command.

    Args:
        where: the database.
        migrated: whether poller's own schema must be there.

    Raises:
        DatabaseError: the database cannot be reached or will not do.
    """
    from poller.db import schema  # noqa: PLC0415 - `--help` is not to wait for it
    from poller.db.connection import reachable  # noqa: PLC0415 - as above

    # Counting a large table takes what it takes; whoever waits may stop it with Ctrl-C.
    with contextlib.closing(reachable(where, statement_timeout="0")) as connection:
        if migrated:
            schema.require(connection)
        yield connection


def loaded(package: str) -> list[Handler]:
    """Return the handlers of a package.

    Raises:
        ConfigurationError: it cannot be imported, or has none.
    """
    from poller import registry  # noqa: PLC0415 - `--help` is not to wait for it

    return registry.load(package).handlers


def most(limit: int | None, *, as_json: bool) -> int | None:
    """Return how many lines a listing shows, or None for all of them."""
    return limit if limit is not None or as_json else DEFAULT_LIMIT


def one_more(shown: int | None) -> int | None:
    """Return how many to ask for: one more than is shown, to know whether there are more."""
    return None if shown is None else shown + 1


def say_if_cut(lines: Sequence[Any], shown: int | None) -> None:
    """Tell people that there is more than they see."""
    if shown is not None and len(lines) > shown:
        typer.echo(f"only {shown} are shown; there are more: --limit N", err=True)
