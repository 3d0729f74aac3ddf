"""The engine: workers, claims, attempts, history."""

from poller.migrations.script import execute

revision = "0001"
down_revision = None


def upgrade() -> None:
    execute("0001_engine")
