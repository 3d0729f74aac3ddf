"""The traceback of a failed attempt is kept with it."""

from poller.migrations.script import execute

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    execute("0012_traceback")
