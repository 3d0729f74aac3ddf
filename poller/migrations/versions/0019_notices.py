"""A notification of rows that have arrived says of which table or job, and in which transaction."""

from poller.migrations.script import execute

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    execute("0019_notices")
