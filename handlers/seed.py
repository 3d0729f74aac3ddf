"""Sets up the example: its table, with a pending row for each source file of Python's standard library.

`make run` runs this, as `python -m handlers.seed`. It may be run again at any time: only rows of files that
are new or have changed become pending.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from poller import PollerError
from poller.db.connection import locate

if TYPE_CHECKING:
    from collections.abc import Iterator

_OTHERS = {"site-packages", "dist-packages"}
_TABLES = Path(__file__).with_name("tables.sql")
_UPSERT = """
insert into source_file as known (path, modified_at)
select * from unnest(%s::text[], %s::timestamptz[])
    on conflict (path) do update
   set status = 'pending', modified_at = excluded.modified_at
 where known.modified_at is distinct from excluded.modified_at
"""


def main() -> None:
    """Set up the example in the database that `poller run` will use."""
    folder = library()
    try:
        place = locate(os.environ.get("POLLER_DATABASE_URL"))
        with psycopg.connect(place.url) as connection:
            create(connection)
            files, pending = refresh(connection, folder)
    except (PollerError, psycopg.OperationalError) as error:
        sys.exit(f"the example cannot be set up: {error}")
    print(f"source_file: {files:,} files of {folder}, {pending:,} of them new or changed")  # noqa: T201


def library() -> Path:
    """Return the folder of the standard library of this Python."""
    return Path(sysconfig.get_path("stdlib"))


def create(connection: psycopg.Connection[Any]) -> None:
    """Make the example's tables, where they are not there yet."""
    connection.execute(_TABLES.read_text(encoding="utf-8"))


def refresh(connection: psycopg.Connection[Any], folder: Path) -> tuple[int, int]:
    """Make a row for each source file below the folder; those of new and changed files are pending.

    Returns:
        the number of files, and of those that became pending: the new and the changed.
    """
    files = dict(_files(folder))
    became = connection.execute(_UPSERT, (list(files), list(files.values())))
    return len(files), became.rowcount


def _files(folder: Path) -> Iterator[tuple[str, datetime]]:
    """Return the path of each source file below the folder, and when it was changed last."""
    for path in folder.rglob("*.py"):
        if _OTHERS.isdisjoint(path.relative_to(folder).parts):
            yield str(path), datetime.fromtimestamp(path.stat().st_mtime, UTC)


if __name__ == "__main__":
    main()
