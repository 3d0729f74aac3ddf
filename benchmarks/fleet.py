"""Our fleet, as `poller run --workers N` starts it: `python -m benchmarks.fleet URL N`."""

from __future__ import annotations

import sys

from poller import telemetry
from poller.config import RunOptions
from poller.database import Place
from poller.supervisor import Supervisor


def main(url: str, workers: str) -> int:
    """Work until told to stop; return the exit status."""
    telemetry.setup("text", "WARNING")
    options = RunOptions(workers=int(workers), handlers="benchmarks.noop", log_level="WARNING")
    return Supervisor([Place(url)], options).run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
