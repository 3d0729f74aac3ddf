"""A history that is cheaper to write."""

from poller.migrations.script import execute

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    execute("0005_history")
