"""The options that several commands share, and their conversions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from poller.duration import seconds
from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from poller.client.answers import Page

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
        help="As for other commands. Several databases, each with a name, are served side by side.",
    ),
]
Handlers = Annotated[
    str, typer.Option("--handlers", metavar="PKG", help="The package that the handlers are in.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print an array of objects instead.")]
AsObject = Annotated[bool, typer.Option("--json", help="Print an object instead.")]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        metavar="N",
        show_default=False,
        help="Show at most N; by default 100, or all with --json.",
    ),
]
After = Annotated[
    str | None,
    typer.Option(
        "--after",
        metavar="CURSOR",
        show_default=False,
        help="Show the next page: the page before it has printed the cursor.",
    ),
]
Actor = Annotated[
    str | None,
    typer.Option(
        "--actor",
        metavar="WHO",
        show_default=False,
        help="Who orders this, as poller actions shows it.  [default: this user at this host]",
    ),
]
Selector = Annotated[
    str, typer.Argument(metavar="SELECTOR", help="TABLE[:STATUS][:KEY], or all.", show_default=False)
]
Keys = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY", help="Keys of rows, taken literally.", show_default=False),
]
HeartbeatFile = Annotated[
    str | None,
    typer.Option(
        "--heartbeat-file",
        metavar="PATH",
        show_default=False,
        help=(
            "The file by which poller run shows poller health that it lives.  [default: one for this folder, in "
            "XDG_RUNTIME_DIR or the temporary directory]"
        ),
    ),
]
DEFAULT_LIMIT = 100
LONGEST_SECONDS = 36_525 * 86400.0  # a century; no clock and no thread waits for much longer


def duration(text: str | float) -> float:
    """Return a duration given as an option, in seconds.

    Raises:
        ValueError: it is not a duration, or longer than any option takes; Typer names the option.
    """
    if isinstance(text, float):  # the option's own default
        return text
    try:
        given = seconds(text)
    except ConfigurationError:
        msg = f"{text!r} is not a duration; write it like 30s, 1h30m or 2d"
        raise ValueError(msg) from None
    if given > LONGEST_SECONDS:
        msg = f"{text!r} is too long; {LONGEST_SECONDS / 86400:.0f}d is the most"
        raise ValueError(msg)
    return given


def most(limit: int | None, *, as_json: bool) -> int | None:
    """Return how many lines a listing shows, or None for all of them."""
    return limit if limit is not None or as_json else DEFAULT_LIMIT


def say_if_cut(page: Page[Any], *, as_json: bool) -> None:
    """Tell people, and programs in a separate line, that the listing goes on, and how to see the rest."""
    if page.next is not None:
        after = f"--after {page.next}"
        people = f"only {len(page.items)} are shown; there are more: --limit N, or {after}"
        typer.echo(f"more: {after}" if as_json else people, err=True)


def refuse_options_before(context: typer.Context) -> None:
    """Refuse options before the name of the command that they are for: they would be ignored."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            msg = f"{parameter.opts[0]} must come after {context.invoked_subcommand}, not before it"
            raise typer.BadParameter(msg)
