"""The dead claim nothing."""

from poller.migrations.script import execute

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    execute("0010_living")
