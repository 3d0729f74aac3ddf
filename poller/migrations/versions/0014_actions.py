"""What people have ordered: who, when, by which face, and what it reached."""

from poller.migrations.script import execute

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    execute("0014_actions")
