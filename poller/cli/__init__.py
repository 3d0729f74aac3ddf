"""The command line: parses, calls, prints, exits. No SQL and no logic live here."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `poller` with this process's arguments, and exit with a status as the contract has it."""
    from poller.cli import app, guard  # noqa: PLC0415 - so that it is the guard that sees a Ctrl-C

    sys.exit(guard.status_of(app.run))
