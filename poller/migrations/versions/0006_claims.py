"""Leases are kept as they are, uncompressed."""

from poller.migrations.script import execute

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    execute("0006_claims")
