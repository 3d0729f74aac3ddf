"""The commands by name, with the module and the help line of each; a module is imported when its command runs.

So `poller --help` imports none of them, and each module imports at its top what it needs.
"""

from __future__ import annotations

import importlib
import textwrap
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup


class Entry(NamedTuple):
    """A command.

    Attributes:
        module: where it is, within `poller.cli`.
        name: of its function there, or of its `typer.Typer` if other commands stand below it.
        line: the first sentence of its function's docstring.
    """

    module: str
    name: str
    line: str


COMMANDS = {
    "run": Entry("run", "run", "Run the handlers on due rows until told to stop."),
    "init": Entry("init", "init", "Write a first handlers package and settings file."),
    "migrate": Entry("migrate", "migrate", "Bring poller's own schema up to date."),
    "check": Entry("check", "check", "Check the handlers and jobs against the database."),
    "handlers": Entry("listings", "handlers", "Show the handlers and how they perform."),
    "workers": Entry(
        "workers",
        "app",
        "Show the worker processes of the whole fleet; drain some.",
    ),
    "status": Entry("status", "status", "Show how many rows each status has."),
    "top": Entry("top", "top", "Show a live screen of the fleet, with orders for it."),
    "inflight": Entry("inflight", "inflight", "Show the rows in flight: by which worker, and since when."),
    "graph": Entry("graph", "graph", "Draw the state machines that the handlers make."),
    "failures": Entry("listings", "failures", "Show the rows in trouble, with their last error."),
    "history": Entry("listings", "history", "Show what happened to one row."),
    "explain": Entry("explain", "explain", "Say why a row is not being worked on, or how rows are claimed."),
    "actions": Entry("listings", "actions", "Show what people have ordered, the newest first."),
    "retry": Entry("retry_release", "retry", "Retry rows in trouble: they are due at once."),
    "release": Entry("retry_release", "release", "Release leases by force."),
    "move": Entry("move", "move", "Move rows to another status by hand, a thousand at a time."),
    "runs": Entry("runs", "runs", "Show runs of jobs, the newest first."),
    "logs": Entry("runs", "logs", "Print what a run has printed and logged so far."),
    "trigger": Entry("jobs", "trigger", "Run a job now, beside its schedule."),
    "pause": Entry("pausing", "pause", "Pause a job or handlers across the whole fleet."),
    "resume": Entry("pausing", "resume", "Resume a paused job or paused handlers."),
    "alerts": Entry("alerts", "app", "Show what goes wrong, and the last notices of it; try a target."),
    "silence": Entry("alerts", "silence", "Silence alerts about jobs, handlers or hosts for a while."),
    "cancel": Entry("runs", "cancel", "Stop a run."),
    "next": Entry("next", "next_", "Print the next slots of an expression, in its time zone."),
    "purge": Entry("purge", "purge", "Delete the old rows of a table, once, while others use it."),
    "ui": Entry("ui", "ui", "Serve the desk: web pages about the fleet, with orders for it."),
    "metrics": Entry("metrics", "metrics", "Print the fleet's numbers in Prometheus' text format."),
    "health": Entry("health", "health", "Exit with 0 while this folder's poller run works, else with 1."),
    "jobs": Entry("jobs", "app", "Show the jobs and their runs; add and remove schedules."),
    "db": Entry("db", "app", "The embedded Postgres of this folder."),
}


class CommandTable(TyperGroup):
    """The commands of the table above."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._loaded = _Loaded()
        self.commands = self._loaded

    def prepare_each(self, prepare: Callable[[Any], None]) -> None:
        """Let a function be called with each command once it is loaded."""
        self._loaded.prepare = prepare

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - as Typer has it
        """Return the names in the order of the table."""
        return [*self.commands]

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as Typer has it
        """Write the lines of the table, without loading a command."""
        width = formatter.width - 6 - max(map(len, COMMANDS))
        lines = [
            (name, textwrap.shorten(entry.line, width, placeholder="...")) for name, entry in COMMANDS.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(lines)


class _Loaded(MutableMapping[str, Any]):
    """The commands by name, each loaded when it is asked for."""

    def __init__(self) -> None:
        self.prepare: Callable[[Any], None] = lambda command: None  # noqa: ARG005 - nothing is to be done
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = load(name)
            self.prepare(self._made[name])
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]


def load(name: str) -> Any:
    """Import the module of a command, and return the command."""
    entry = COMMANDS[name]
    found = getattr(importlib.import_module(f"poller.cli.{entry.module}"), entry.name)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        alone.command(name)(found)
        return typer.main.get_command(alone)
    found.rich_markup_mode = None
    command = typer.main.get_group(found)
    command.name = name
    return command
