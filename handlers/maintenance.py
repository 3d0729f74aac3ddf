"""What is done at set times, once over the whole fleet: look for changed files, count, and throw old counts away."""

from __future__ import annotations

from handlers.seed import library, refresh
from poller import Run, cron, fixed_delay, fixed_rate, purge

_SAMPLE = (
    "insert into library_sample (status, files) select status, count(*) from source_file group by status"
)


@fixed_delay("30s")
def rescan(run: Run) -> None:
    """Have new and changed files indexed: their rows become pending."""
    with run.connect() as connection:
        files, pending = refresh(connection, library())
    print(f"{files:,} files, {pending:,} of them new or changed")  # noqa: T201 - `poller logs` shows it


@fixed_rate("10s", keep="1d")
def sample(run: Run) -> None:
    """Note how many files have which status."""
    with run.connect() as connection:
        connection.execute(_SAMPLE)


old_samples = purge("library_sample", column="at", older_than="7d", schedule=cron("0 3 * * *"))
