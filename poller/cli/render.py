"""Prints listings: a table that fits the screen, aligned text where no terminal is attached, or JSON."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from poller.client.answers import as_json, as_object
from poller.telemetry import printable
from poller.telemetry.times import clock, since

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = [
    "ListingColumn",
    "as_array",
    "as_one",
    "clock",
    "listing",
    "near",
    "plain",
    "rows",
    "say",
    "say_each",
    "since",
    "table",
    "text",
]


@dataclass(frozen=True, slots=True)
class ListingColumn:
    """A column of a listing for people.

    Attributes:
        title: its head.
        value: gives its text for a line.
        right: it holds numbers.
        roomy: on a narrow screen, it is cut off before others are.
    """

    title: str
    value: Callable[[Any], object]
    right: bool = False
    roomy: bool = False


def listing(lines: Sequence[Any], columns: Sequence[ListingColumn], *, as_json: bool, empty: str) -> None:
    """Print lines on standard output.

    Args:
        lines: the client's answers.
        columns: the columns that people see.
        as_json: print them as an array of objects instead.
        empty: the message for people if there are none.
    """
    if as_json:
        typer.echo(as_array(lines, indent=2))
    elif not lines:
        typer.echo(empty)
    elif sys.stdout.isatty():
        Console().print(table(lines, columns))
    else:
        typer.echo(text(lines, columns))


def as_array(lines: Iterable[Any], indent: int | None = None) -> str:
    """Return answers as a JSON array of their objects, times in ISO 8601 with offset."""
    return as_json([as_object(each) for each in lines], indent)


def as_one(answer: Mapping[str, Any]) -> str:
    """Return an answer that is not a listing as a JSON object, times in ISO 8601 with offset."""
    return as_json(answer, indent=2)


def text(lines: Iterable[Any], columns: Sequence[ListingColumn]) -> str:
    """Return lines as aligned columns, nothing cut off."""
    rows = [[each.title for each in columns], *([_cell(each, line) for each in columns] for line in lines)]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ).rstrip()
        for row in rows
    )


def table(lines: Sequence[Any], columns: Sequence[ListingColumn]) -> Table:
    """Return lines as a table that fits the screen: without empty columns, and cut off where necessary."""
    filled = [each for each in columns if any(_cell(each, line) for line in lines)]
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for each in filled:
        # Columns that may not wrap keep their width as long as others may wrap.
        made.add_column(each.title, justify="right" if each.right else "left", no_wrap=not each.roomy)
    for line in lines:
        made.add_row(*(Text(_cell(each, line), no_wrap=True, overflow="ellipsis") for each in filled))
    return made


def near(text: str) -> str:
    """Return a text with its files' names relative to the working directory."""
    return text.replace(f"{Path.cwd()}/", "")


def rows(count: int) -> str:
    """Return a number of rows in words."""
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def say(text: str, *, err: bool = False) -> None:
    """Print a text for people, which may hold others' names and errors."""
    typer.echo(printable.lines(text), err=err)


def say_each(lines: Iterable[str]) -> None:
    """Print why a listing is not whole, a line each, on standard error."""
    for each in lines:
        typer.echo(printable.one_line(each), err=True)


def plain(text: str) -> Text:
    """Return a text for a screen, in one line, in which nothing is markup."""
    return Text(printable.one_line(text))


def _cell(column: ListingColumn, line: Any) -> str:
    value = column.value(line)
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return printable.one_line(f"{value:,}" if isinstance(value, int | float) else value)
