"""A settle looks at what each row shows after the UPDATE."""

from poller.migrations.script import execute

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    execute("0009_settling")
