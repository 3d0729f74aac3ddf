"""The database's functions are those of sql/functions/: a migration that forgot one would leave an older one at work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from poller.db import schema

if TYPE_CHECKING:
    import psycopg

TOP = Path(__file__).parents[2]
FILES = sorted((TOP / "sql" / "functions").glob("*.sql"))
DEFINED = """
select p.proname, pg_get_functiondef(p.oid) from pg_proc as p
 where p.pronamespace = 'poller'::regnamespace order by p.proname
"""


def test_the_newest_migration_is_the_version_that_is_asked_for() -> None:
    """Each has its statements and its revision; without the number, poller calls its own schema too new."""
    made = sorted(each.stem for each in (TOP / "sql" / "migrations").glob("*.sql"))
    assert [each.stem for each in sorted((TOP / "poller" / "migrations" / "versions").glob("0*.py"))] == made
    assert made[-1].startswith(f"{schema.NEWEST}_")


def test_each_function_of_the_schema_is_the_one_in_its_file(db: psycopg.Connection) -> None:
    """To run the file changes nothing, and there is no function without a file."""
    before = db.execute(DEFINED).fetchall()
    for path in FILES:
        db.execute(path.read_text(encoding="utf-8"))  # type: ignore[call-overload]
    assert db.execute(DEFINED).fetchall() == before
    assert [name for name, _ in before] == [path.stem for path in FILES]
