"""`poller graph`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli import render
from poller.cli.command_client import client
from poller.cli.options import Database, Handlers
from poller.client.answers import as_object
from poller.drawing.dot import dot
from poller.drawing.mermaid import mermaid
from poller.drawing.svg import svg

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.client.graph import Graph


class Format(StrEnum):
    """The format of a picture."""

    MERMAID = "mermaid"
    DOT = "dot"
    JSON = "json"
    SVG = "svg"


def graph(
    table: Annotated[
        str | None, typer.Argument(metavar="TABLE", help="With or without its schema; without one, all.")
    ] = None,
    *,
    form: Annotated[
        Format, typer.Option("--format", help="What to print: for a README, Graphviz, a program, a page.")
    ] = Format.MERMAID,
    counts: Annotated[
        bool, typer.Option("--counts", help="Add the number of rows that show each status.")
    ] = False,
    handlers: Handlers = "handlers",
    database: Database = None,
) -> None:
    """Draw the state machines that the handlers make.

    Handlers of the package are drawn as their code has them, others as workers have registered them. Moves that the
    history shows and no handler declares are dashed. Exits with 1 if no handler is known.
    """
    typer.echo(_WRITERS[form](client(database, handlers).graph(table, counts=counts)))


_WRITERS: dict[Format, Callable[[Graph], str]] = {
    Format.MERMAID: mermaid,
    Format.DOT: dot,
    Format.JSON: lambda found: render.as_one(as_object(found)),
    Format.SVG: svg,
}
