"""The commands, put together."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poller.cli import settings
from poller.cli.command_table import CommandTable
from poller.fleet.signals import requests
from poller.lazy import lazy
from poller.telemetry.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from importlib import metadata

    from poller.cli.exit_status import CommandLineState
else:  # `--help` does not wait for it
    metadata = lazy("importlib.metadata")

EPILOG = (
    "Every option is also an environment variable (--log-format: POLLER_LOG_FORMAT; --database: "
    "POLLER_DATABASE_URL) and a key of poller.toml, or of [tool.poller] in pyproject.toml (log-format = …)."
)

app = typer.Typer(
    cls=CommandTable,
    no_args_is_help=True,
    epilog=EPILOG,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run(session: CommandLineState) -> int:
    """Parse this process's arguments and run the command they name; return its exit status."""
    _refuse_bytes(sys.argv[1:])
    command = _command()
    result = command.main(prog_name="poller", standalone_mode=False, obj=session)
    return result if isinstance(result, int) else 0


def _refuse_bytes(arguments: Iterable[str]) -> None:
    """Refuse arguments that Python could not read as text: no database could, either.

    Raises:
        BadParameter: there is one.
    """
    for each in arguments:
        if any("\ud800" <= character <= "\udfff" for character in each):
            msg = f"the argument {one_line(each)} is not UTF-8"
            raise typer.BadParameter(msg)


def _command() -> Any:
    """Return the commands, each with its variables, and with `--debug` after its name too."""
    command: Any = typer.main.get_command(app)
    [debug] = [each for each in command.params if each.name == "debug"]

    def prepare(loaded: Any) -> None:
        for each in _leaves(loaded):
            _name_arguments(each.params)
            if not each.context_settings.get("ignore_unknown_options"):
                each.params.append(debug)
        settings.name_variables(loaded)

    command.prepare_each(prepare)
    settings.name_own_variables(command)
    return command


def _name_arguments(params: Iterable[Any]) -> None:
    """Have the help call arguments what the usage calls them, as it does options: Typer adds Python's type to each."""

    def named(
        record: Callable[[Any], tuple[str, str] | None], name: str, context: Any
    ) -> tuple[str, str] | None:
        found = record(context)
        return found and (name, found[1])

    for each in params:
        if each.param_type_name == "argument":
            each.get_help_record = partial(named, each.get_help_record, each.metavar)


def _leaves(command: Any) -> Iterator[Any]:
    for each in getattr(command, "commands", {}).values():
        yield from _leaves(each)
    if not hasattr(command, "commands") or command.invoke_without_command:
        yield command


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - Typer calls it
    if wanted:
        try:
            typer.echo(f"poller {metadata.version('poller')}")
        except metadata.PackageNotFoundError:
            typer.echo("poller, run from its sources without being installed")
        raise typer.Exit


def _remember_debug(context: typer.Context, wanted: bool) -> None:  # noqa: FBT001 - Typer calls it
    session: CommandLineState = context.obj
    session.debug = session.debug or wanted


@app.callback()
def start(
    context: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001 - its callback has done it
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[  # noqa: ARG001 - as above
        bool,
        typer.Option(
            "--debug",
            callback=_remember_debug,
            expose_value=False,
            help="Show the traceback of an error, too.",
        ),
    ] = False,
) -> None:
    """Makes the tables of a Postgres database a fleet of state machines."""
    if context.invoked_subcommand != "run":
        requests.forget()
    for line in settings.strange_variables(context.command, os.environ, context.invoked_subcommand or ""):
        typer.echo(f"poller: {line}", err=True)
    found = settings.read(Path.cwd())
    if found is not None:
        context.obj.file, context.obj.sections = found.file, found.sections
        context.default_map = settings.defaults(context.command, found)
