"""Jobs keep the function's signature, and the options of every kind are known."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import assert_type

from poller import (
    Job,
    JobOptions,
    Overlap,
    Run,
    When,
    age_out,
    cron,
    fixed_delay,
    fixed_rate,
    http,
    job,
    purge,
    shell,
)
from poller.ready_made.retention_report import RetentionReport, RetentionRun
from poller.testing import run

nightly: When = cron("0 3 * * *", tz="Europe/Berlin", misfire="all", grace="1h")


@fixed_rate("5m", overlap="skip", on=["gpu"], keep="1d")
def sync(run: Run, size: int = 1) -> str:
    """Take a run and an argument."""
    return run.job * size


@job(after=[sync, "backup"], starts_at=datetime(2030, 1, 1, tzinfo=UTC))
async def then() -> int:
    """Answer later."""
    return 1


by_class = nightly(print)
for when in (nightly, cron("@daily"), fixed_rate("5m"), fixed_delay("5m"), job()):
    assert_type(when, When)
assert_type(sync(run(), size=2), str)
bare: Job = sync  # any job
overlap: Overlap = bare.options.overlap
ours: JobOptions = {"name": "mine", "keep": "1d"}

old = purge("audit", column="created_at", older_than="180d", schedule=nightly, jitter="5m", batch=10)
aged = age_out("task", column="at", older_than="1d", status="new", to="old", attempts=2)
backup = shell("backup", ["pg_dump"], schedule=nightly, timeout="1h", env={"A": None})
ping = http("ping", "https://example.org", expect={200, 204}, redirects="any", on="web")
assert_type(old, Job[[RetentionRun], RetentionReport])
assert_type(aged, Job[[RetentionRun], RetentionReport])
assert_type(backup, Job[..., None])
assert_type(ping, Job[..., None])
assert_type(old(run()), RetentionReport)


async def caller() -> None:
    """Await one."""
    assert_type(await then(), int)


sync(1)  # type: ignore[arg-type]
sync(run(), length=1)  # type: ignore[call-arg]
cron("* * * * *", overlap="none")  # type: ignore[arg-type]
cron("* * * * *", overlaps="skip")  # type: ignore[call-arg]
fixed_rate(30)  # type: ignore[arg-type]
fixed_delay("1m", misfire="never")  # type: ignore[arg-type]
job(after=5)  # type: ignore[arg-type]
purge("audit", column="at", older_than="1d", alerts=("oncall",), expect="26h", ping="env:HC")
shell("backup", "true", schedule=cron("0 3 * * *", expect="26h"), alerts="oncall", ping="env:HC")
job(ping=5)  # type: ignore[arg-type]
purge("audit", column="at")  # type: ignore[call-arg]
purge("audit", column="at", older_than="1d", overlap="no")  # type: ignore[arg-type]
age_out("task", column="at", older_than="1d", status="new")  # type: ignore[call-arg]
shell("backup", "true", tiemout="1h")  # type: ignore[call-arg]
http("ping", "https://example.org", redirects="all")  # type: ignore[arg-type]
purge("audit", column="at", older_than="1d", schedule="0 3 * * *")  # type: ignore[arg-type]
age_out("task", column="at", older_than="1d", status="new", to=1.5)  # type: ignore[arg-type]
shell("backup", 5)  # type: ignore[arg-type]
http("ping", "https://example.org", method=None)  # type: ignore[arg-type]
wrong: Job[[int], str] = old  # type: ignore[assignment]
old()  # type: ignore[call-arg]
