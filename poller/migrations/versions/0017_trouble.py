"""Trouble by its cause, and indexes for what people look at."""

from poller.migrations.script import execute

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    execute("0017_trouble")
