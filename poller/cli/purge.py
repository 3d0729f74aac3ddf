"""`poller purge`."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poller.cli import render
from poller.cli.exit_status import INTERRUPTED
from poller.cli.options import AsJson, Database, Handlers, connected, duration, place
from poller.errors import ConfigurationError
from poller.telemetry.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from poller.model.handler import TableName
    from poller.ready_made.report import Report
    from poller.ready_made.rule import Rule

Table = Annotated[str, typer.Argument(metavar="TABLE", help="With or without its schema.")]
Column = Annotated[
    str | None,
    typer.Option(
        "--column", metavar="C", show_default=False, help="The timestamp or date that tells a row's age."
    ),
]
OlderThan = Annotated[
    float | None,
    typer.Option(
        "--older-than",
        parser=duration,
        metavar="TIME",
        show_default=False,
        help="How old a row must be: 180d.",
    ),
]
Where = Annotated[
    str | None,
    typer.Option("--where", metavar="SQL", show_default=False, help="A further condition on its columns."),
]
Batch = Annotated[
    int | None,
    typer.Option(
        "--batch", metavar="N", show_default=False, help="How many rows at a time.  [default: 1000]"
    ),
]
Pause = Annotated[
    float | None,
    typer.Option(
        "--pause",
        parser=duration,
        metavar="TIME",
        show_default=False,
        help="How long to wait between two batches.  [default: 50ms]",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count the rows, and name the partitions.")]


@dataclass(frozen=True, slots=True)
class Counted:
    """What a purge would do now."""

    table: str
    rows: int
    partitions: list[str]
    kept: dict[str, int]


def purge(  # noqa: PLR0913 - the contract's options
    table: Table,
    *,
    column: Column = None,
    older_than: OlderThan = None,
    where: Where = None,
    batch: Batch = None,
    pause: Pause = None,
    dry_run: DryRun = False,
    handlers: Handlers = "handlers",
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Delete the old rows of a table, once, beside whoever uses it.

    If your handlers package declares a purge of TABLE, its options hold unless given here; else --column and
    --older-than are needed. Rows that others have locked are left, rows that foreign keys need are kept.
    Ctrl-C stops between two batches; what is deleted stays so, and the next purge does the rest.
    """
    given = {"column": column, "older_than": older_than, "where": where, "batch": batch, "pause": pause}
    rule = _rule(table, {name: value for name, value in given.items() if value is not None}, handlers)
    with connected(place(database), migrated=False) as connection:
        if dry_run:
            _print_counted(_count(connection, rule), as_json=as_json)
        else:
            raise typer.Exit(_purge(connection, rule, as_json=as_json))


def _rule(table: str, given: dict[str, Any], package: str) -> Rule:
    """Return the rule that the options make, alone or in the place of what a declared purge has.

    Raises:
        ConfigurationError: they do not make one.
    """
    from poller.model.handler import table_name  # noqa: PLC0415 - `--help` is not to wait for it
    from poller.ready_made.rule import Rule, check_options  # noqa: PLC0415 - as above

    named = table_name(table)
    if {"column", "older_than"} <= given.keys():
        defaults = {"where": None, "batch": 1000, "pause": 0.05}
        rule = Rule(table=named, move=None, **{**defaults, **given})
    else:
        rule = replace(_declared(named, given.get("column"), package), **given)
    check_options(rule)
    return rule


def _declared(table: TableName, column: str | None, package: str) -> Rule:
    """Return the rule of the one purge of a table, and column if given, that a package declares.

    Raises:
        ConfigurationError: there is none, or more than one.
    """
    jobs = [each for each in _purges(package) if _same(each.function.rule.table, table)]
    found = [each for each in jobs if column in (None, each.function.rule.column)]
    if not found:
        msg = f"no purge of {table} is declared in {package!r}; give --column and --older-than"
        raise ConfigurationError(msg)
    if len(found) > 1:
        names = ", ".join(f"{each.name!r} (--column {each.function.rule.column})" for each in found)
        msg = f"{package!r} declares several purges of {table}: {names}; give --column and --older-than"
        raise ConfigurationError(msg)
    rule: Rule = found[0].function.rule
    return rule


def _purges(package: str) -> list[Any]:
    from poller import registry  # noqa: PLC0415 - `--help` is not to wait for it
    from poller.ready_made.retention import Retention  # noqa: PLC0415 - as above

    jobs = registry.load(package).jobs
    return [each for each in jobs if isinstance(each.function, Retention) and each.function.rule.move is None]


def _same(declared: TableName, asked: TableName) -> bool:
    """Tell whether two names mean one table; without a schema it may be in any."""
    return declared.name == asked.name and (
        declared.schema == asked.schema or None in (declared.schema, asked.schema)
    )


def _count(connection: psycopg.Connection[Any], rule: Rule) -> Counted:
    from poller.ready_made import old_rows, partitions, ranges  # noqa: PLC0415 - `--help` is not to wait for it

    made = old_rows.bind(connection, rule)
    rows, kept = ranges.count(connection, made)
    return Counted(str(made.table), rows - sum(kept.values()), partitions.droppable(connection, made), kept)


def _print_counted(counted: Counted, *, as_json: bool) -> None:
    if as_json:
        typer.echo(render.as_array([counted], indent=2))
        return
    among = f", all those of {', '.join(counted.partitions)} among them" if counted.partitions else ""
    kept = "".join(f"; would keep {render.rows(many)} that {key} needs" for key, many in counted.kept.items())
    typer.echo(
        f"would delete {render.rows(counted.rows)} of {counted.table}{one_line(among)}{one_line(kept)}"
    )


def _purge(connection: psycopg.Connection[Any], rule: Rule, *, as_json: bool) -> int:
    """Purge, and print what was done; return the exit status."""
    from poller.ready_made.report import StoppedError  # noqa: PLC0415 - `--help` is not to wait for it
    from poller.ready_made.retention import Retention  # noqa: PLC0415 - as below

    with _bar(rule) as progress:
        run = Run(connection, progress)
        with _stopped_by_interrupt(run.cancelled):
            try:
                done, status = Retention(rule)(run), 0
            except StoppedError as stopped:
                done, status = stopped.done, INTERRUPTED
    _print(done, as_json=as_json, stopped=status != 0)
    return status


def _print(done: Report, *, as_json: bool, stopped: bool) -> None:
    if as_json:
        typer.echo(render.as_array([done], ("verb",), indent=2))
    else:
        typer.echo(one_line(f"stopped; {done.line()}" if stopped else done.line()))


class Run:
    """What the rule takes for a run: the command's connection, and its bar."""

    def __init__(self, connection: psycopg.Connection[Any], progress: Any) -> None:
        self.cancelled = Interrupted()
        self.logger = logging.getLogger("poller.purge")
        self.logger.addHandler(logging.NullHandler())
        self.logger.propagate = False  # the command prints it
        self.progress = progress
        self._connection = connection

    def tell(self, line: str) -> None:
        """Say nothing: the command prints what was done."""

    def connect(self) -> contextlib.nullcontext[psycopg.Connection[Any]]:
        """Return the command's connection."""
        return contextlib.nullcontext(self._connection)


class Interrupted(threading.Event):
    """An event that is true once it is set."""

    def __bool__(self) -> bool:
        return self.is_set()


@contextlib.contextmanager
def _stopped_by_interrupt(cancelled: threading.Event) -> Iterator[None]:
    """Let Ctrl-C stop between two batches, and a second one at once."""

    def stop(*_: object) -> None:
        cancelled.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _bar(rule: Rule) -> Iterator[Any]:
    """Give a function that shows progress: on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda done, total=None: None  # noqa: ARG005 - nobody looks on
        return
    from rich.console import Console  # noqa: PLC0415 - `--help` is not to wait for it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"purging {rule.table}", total=None)
        yield lambda done, total=None: bar.update(task, completed=done, total=total)
