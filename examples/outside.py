"""A command and a request as jobs: ended at their timeouts, with all children; what they print is kept."""

from poller import cron, fixed_rate, http, shell

TABLES = ""

backup = shell(
    "backup",
    'echo "backup of $POLLER_PLANNED_AT to $TARGET"',
    schedule=cron("0 2 * * *", tz="Europe/Berlin"),
    env={"TARGET": "/backup"},
    timeout="1h",
    attempts=2,
)

alive = http(
    "alive",
    "http://localhost:8000/health",
    schedule=fixed_rate("1m", overlap="skip"),
    expect=range(200, 300),
    expect_body="ok",
    timeout="10s",
)
