"""What people may do to a handler and a worker while the fleet runs; and what a handler is, without its code."""

from poller.migrations.script import execute

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    execute("0016_acts")
