"""A fleet for the tests of pages: two tables, rows in each state, jobs, and a worker that holds something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poller import fixed_rate
from poller.testing import Engine
from tests.command_line import hold, make_tenants, trouble, value
from tests.engines import moves

if TYPE_CHECKING:
    import psycopg

SECRET = "s3cret-value"  # which no page shows, but to whom may see it


@fixed_rate("1h")
def tick() -> None:
    """Print something."""
    print(f"ticked {SECRET}\nagain")  # noqa: T201 - it is kept with the run


TENANTS = moves("tenants", to="normal", during="busy")
CLOSING = moves("tenants", status="closing", to=("closed", "kept"), on_failure="stuck")


def fleet(url: str, db: psycopg.Connection[Any]) -> None:
    """Have five tenants moved; leave three that are due, two in trouble, one in flight; and have a job run."""
    make_tenants(db, *["pending"] * 5)
    db.execute(f"alter table tenants add column note text not null default '{SECRET}'")
    with Engine(url, TENANTS, CLOSING, tick) as engine:
        engine.run_due()
        engine.advance("1h")
        engine.run_due()
    db.execute("insert into tenants (status) select 'closing' from generate_series(1, 5)")
    number = value(db, "select id from poller.handler where status = 'closing'")
    trouble(db, number, "6")
    trouble(db, number, "7", "waiting", 2)
    db.execute(
        "update poller.attempt set error = 'ValueError: ' || error || %s, kind = 'ValueError', place = 'shop.py:7'",
        [f" {SECRET}"],
    )
    hold(db, number, "8")
