"""Counts that tell edges apart, how long attempts take, and totals that never go backwards."""

from poller.migrations.script import execute

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    execute("0018_totals")
