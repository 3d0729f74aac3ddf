"""The command line: parses, calls, prints, exits. No SQL and no logic live here."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
from pathlib import Path
from typing import NoReturn

from poller.cli import probe
from poller.fleet.signals import requests


def main() -> None:
    """Run `poller` with this process's arguments, and exit with a status of the contract."""
    requests.listen()
    _open_standard_files()
    if unfit := _folder_is_unfit():
        print(unfit, file=sys.stderr)  # noqa: T201 - nothing else can be imported
        sys.exit(2)

    if (answer := probe.quickly(sys.argv[1:])) is not None:
        sys.exit(answer)

    from poller.cli import app, exit_status  # noqa: PLC0415 - so that it is the guard that sees a Ctrl-C

    _end(exit_status.status_of(app.run))


def _end(status: int) -> NoReturn:
    """End the process, though a thread goes on that the user's package has left behind."""
    if any(not each.daemon for each in threading.enumerate() if each is not threading.main_thread()):
        with contextlib.suppress(Exception):  # the package may have replaced them
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
    gc.freeze()  # else Python looks through all of its memory for garbage, which takes longer than many a command
    sys.exit(status)


def _open_standard_files() -> None:
    """Open closed standard files (`poller run >&-`): else the next file or socket opened would be standard output."""
    for number in range(3):
        with contextlib.suppress(OSError):
            os.fstat(number)
            continue
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - it gets the lowest number that is free
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - for as long as the process
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - as above
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 - as above


def _folder_is_unfit() -> str | None:
    """Return what is wrong with the working directory, if it is gone or hides what Python needs."""
    try:
        return _leave_folder_to_registry()
    except OSError as error:
        return f"the working directory cannot be used: {error.strerror}; change to one that is there"


def _leave_folder_to_registry() -> str | None:
    """Remove the folder that `python -m` puts first in the path: its modules must not hide later imports.

    Returns:
        what to tell of one that has been imported before we were asked, in the place of one of Python's own.

    Raises:
        OSError: the folder is gone.
    """
    folder = str(Path.cwd())
    if sys.flags.safe_path or sys.path[:1] != [folder]:
        return None
    del sys.path[0]
    for name in sys.modules.keys() & sys.stdlib_module_names:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and str(Path(file.removesuffix("/__init__.py")).parent) == folder:
            return f"{file} hides Python's own module {name!r}; rename it, or run poller instead of python -m poller"
    return None
