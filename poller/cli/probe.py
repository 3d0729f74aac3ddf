"""What `poller health` says, also before Typer is imported, which takes a fifth of a second: probes come often."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from poller.telemetry import heartbeat_file

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME, OPTION, VARIABLE = "health", "--heartbeat-file", "POLLER_HEARTBEAT_FILE"
_SETTINGS = ("poller.toml", "pyproject.toml")


def quickly(arguments: Sequence[str]) -> int | None:
    """Answer the plain form of the command with its exit status; None if it is another, or settings name the file."""
    if [*arguments] == [NAME]:
        given = os.environ.get(VARIABLE)
    elif [*arguments[:2]] == [NAME, OPTION] and len(arguments) == 3:  # noqa: PLR2004 - and its value
        given = arguments[2]
    else:
        return None
    if given is None and any(map(_mentions_it, _SETTINGS)):
        return None
    wrong = fault(heartbeat_file.path(given))
    if wrong is not None:
        print(wrong, file=sys.stderr)  # noqa: T201 - before Typer is there
    return int(wrong is not None)


def _mentions_it(name: str) -> bool:
    try:
        return "heartbeat" in Path(name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    except (OSError, ValueError):  # the command line says what is wrong with it
        return True


def fault(file: Path) -> str | None:
    """Return what is wrong by a heartbeat file, in a line; None if the loops run."""
    beat = heartbeat_file.read(file)
    if beat is None and heartbeat_file.is_anothers(file):
        return f"{file} is another user's: ask as the user of poller run, or as root"
    if beat is None:
        return f"no poller run shows a heartbeat in {file}"
    if not beat.age >= 0:
        return f"poller run (process {beat.pid}) is gone: the heartbeat in {file} is from before this host's start"
    if not beat.is_fresh:
        return f"poller run (process {beat.pid}) stands still or is gone: its last heartbeat was {beat.age:.0f}s ago"
    return None
