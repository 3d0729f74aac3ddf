"""A shop's fleet, for pictures and tests in a browser: three tables, trouble, jobs with runs of a day, six workers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from poller import cron, fixed_delay, fixed_rate, handler, job
from poller.testing import Engine

if TYPE_CHECKING:
    import psycopg

SHOWN = {"tables": {"orders": {"show": ["customer", "total"]}}}  # what the desk shows of a row
ROWS = Path(__file__).with_name("shop.sql")


def charge(_: Any) -> None:
    """Charge a card."""


def screen(_: Any) -> None:
    """Look for fraud."""


def ship(_: Any) -> None:
    """Order a parcel."""


def refund(_: Any) -> None:
    """Give the money back."""


def send(_: Any) -> None:
    """Send a mail."""


def provision(_: Any) -> None:
    """Make a tenant's bucket."""


def close(_: Any) -> None:
    """Remove a tenant's bucket."""


def backup() -> None:
    """Write the database to a file."""


def sync_prices() -> None:
    """Fetch prices."""


def report() -> None:
    """Mail the day's figures."""


def old_carts() -> None:
    """Delete what nobody has bought."""


def export() -> None:
    """Write a month."""


WORK = (
    handler("orders", status="pending", to=("paid", "review"), on_failure="declined", attempts=5)(charge),
    handler("orders", status="review", to=("paid", "declined"))(screen),
    handler("orders", status="paid", to="shipped", during="packing")(ship),
    handler("orders", status="returned", to="refunded")(refund),
    handler("emails", status="queued", to="sent", on_failure="bounced", column="state")(send),
    handler("tenants", status="pending", to="active", during="provisioning")(provision),
    handler("tenants", status="closing", to="closed", on_failure="stuck")(close),
    cron("0 2 * * *", tz="Europe/Berlin")(backup),
    fixed_delay("5m")(sync_prices),
    cron("0 7 * * mon-fri")(report),
    fixed_rate("1h")(old_carts),
    job(after="report")(export),
)


def open_shop(url: str, db: psycopg.Connection[Any]) -> None:
    """Make the tables, register the work, and have it be a quarter past its busiest minute."""
    tables, _, rows = ROWS.read_text(encoding="utf-8").partition("-- what has happened\n")
    db.execute(tables.encode())
    with Engine(url, *WORK):
        pass
    db.execute(rows.encode())
