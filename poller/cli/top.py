"""`poller top`."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli import hints
from poller.cli.command_client import location, person
from poller.cli.options import Actor, Database, Handlers
from poller.errors import ConfigurationError
from poller.lazy import lazy

if TYPE_CHECKING:
    from poller.client import database as databases
    from poller.client import known_handlers as registered
    from poller.client.known_handlers import Source
    from poller.tui import app, asking, frame, looks
else:
    app = lazy("poller.tui.app")
    asking = lazy("poller.tui.asking")
    databases = lazy("poller.client.database")
    frame = lazy("poller.tui.frame")
    looks = lazy("poller.tui.looks")
    registered = lazy("poller.client.known_handlers")

Once = Annotated[bool, typer.Option("--once", help="Print one frame as text, and end.")]
FRAME = "for one frame as text: poller top --once"
WITHOUT_CODE = "there is no package {!r} here: no where is known, and rows count as due without it"
STREAMS = "its standard input, output and error must be one"


def top(
    *, once: Once = False, handlers: Handlers = "handlers", actor: Actor = None, database: Database = None
) -> None:
    """Show a live screen of the fleet, with orders for it.

    Statuses, handlers, trouble by its cause, rows in flight, jobs, runs, workers, limits and orders, a look every two
    seconds. The keys stand at the foot of the screen, and behind `?`. An order asks first, with the number of rows that
    it would reach now. Without the --handlers package, handlers are shown as workers have registered them.
    """
    if not once:
        _check_terminal()
    package = _package(handlers)
    found = location(database)
    with contextlib.closing(databases.LookingConnection(found, "top")) as connection:
        seer = looks.Looker(connection, package, hints.with_hint)
        title = connection.title
        if once:
            typer.echo(frame.frame(title, seer.first(*frame.PANELS)))
            return
        seer.first()  # what is wrong with the database is said before the screen is taken
        note = "" if package is not None else WITHOUT_CODE.format(handlers)
        app.run(asking.Setting(found, title, package, actor or person(), hints.with_hint, note), seer)


def _check_terminal() -> None:
    """Make sure that a screen can be shown.

    Raises:
        ConfigurationError: there is no terminal, or the extra is missing.
    """
    if importlib.util.find_spec("textual") is None:
        msg = f"the live screen needs textual; run: pip install 'poller[top]'; {FRAME}"
        raise ConfigurationError(msg)
    are_terminals = all(each.isatty() for each in (sys.stdin, sys.stdout, sys.stderr))
    if not are_terminals or os.environ.get("TERM", "dumb") == "dumb":
        msg = f"the live screen needs a terminal: {STREAMS}, and TERM must name it; {FRAME}"
        raise ConfigurationError(msg)


def _package(handlers: str) -> Source:
    """Return the handlers and jobs of a package; None if there is none.

    Raises:
        ConfigurationError: it cannot be imported.
    """
    try:
        return registered.required(handlers)
    except ConfigurationError as error:
        if error.reason in {"no_package", "nothing_registered"}:
            return None
        raise
