"""A claim is one statement."""

from poller.migrations.script import execute

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    execute("0007_take")
