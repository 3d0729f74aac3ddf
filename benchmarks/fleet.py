"""Our fleet, as `poller run` starts it: `python -m benchmarks.fleet URL N [--handlers MODULE] [--concurrency C]`.

It ends with its standard input, so that nothing is left behind when the measuring process is killed.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from typing import Any

from poller.db.connection import DatabaseLocation
from poller.fleet.listening import bound
from poller.fleet.options import FleetOptions
from poller.fleet.supervisor import Supervisor
from poller.telemetry import log


def main() -> int:
    """Work until told to stop; return the exit status."""
    given = _arguments()
    url = given.pop("url")
    threading.Thread(target=_end_with_input, daemon=True).start()
    log.setup("text", "WARNING")
    listener = bound(given["listen"]) if "listen" in given else None
    return Supervisor([DatabaseLocation(url)], FleetOptions(**given, log_level="WARNING"), listener).run()


def _end_with_input() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _arguments() -> dict[str, Any]:
    """Return what was given; what was not is left to the defaults of `poller run`."""
    parser = argparse.ArgumentParser(description=__doc__, argument_default=argparse.SUPPRESS)
    parser.add_argument("url")
    parser.add_argument("workers", type=int)
    parser.add_argument("--handlers", default="benchmarks.noop")
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--listen")
    return vars(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
