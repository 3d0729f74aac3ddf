"""Leases say which status their rows show."""

from poller.migrations.script import execute

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    execute("0022_during")
