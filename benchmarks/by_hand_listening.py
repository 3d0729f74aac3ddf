"""The bar for a pick-up: `by_hand`'s loop, but it goes on listening; its function says at once that it has begun.

`python -m benchmarks.by_hand_listening URL` works until SIGTERM.
"""

from __future__ import annotations

import signal
import sys

import psycopg

from benchmarks import by_hand
from benchmarks.reports import Reporter

BATCH = 500

# What `poller migrate --triggers` does, without what ours has to tell apart.
SCHEMA = f"""
create function wake() returns trigger language plpgsql as $$
begin
    perform pg_notify('{by_hand.CHANNEL}', '');
    return null;
end
$$;
create trigger wake after insert on item for each statement execute function wake();
"""


def main(url: str) -> None:
    """Claim, report and settle at each notification."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    reporter = Reporter()
    with psycopg.connect(url, autocommit=True, application_name=by_hand.NAME) as connection:
        connection.execute(f"listen {by_hand.CHANNEL}")
        while True:
            for _ in connection.notifies(stop_after=1):
                pass
            for lease, rows in by_hand.leases(connection, BATCH):
                for row in rows:
                    reporter.report(row[0])
                by_hand.settle(connection, lease, rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
