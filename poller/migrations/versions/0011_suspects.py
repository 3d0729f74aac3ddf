"""What a dead worker held is tried again in halves."""

from poller.migrations.script import execute

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    execute("0011_suspects")
