"""A program notices that the primary key of a table has changed."""

from poller.migrations.script import execute

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    execute("0023_keys")
