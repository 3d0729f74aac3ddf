"""The database's functions are those of sql/functions/: a migration that forgot one would leave an older one at work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

FILES = sorted((Path(__file__).parents[2] / "sql" / "functions").glob("*.sql"))
DEFINED = """
select p.proname, pg_get_functiondef(p.oid) from pg_proc as p
 where p.pronamespace = 'poller'::regnamespace order by p.proname
"""


def test_each_function_of_the_schema_is_the_one_in_its_file(db: psycopg.Connection) -> None:
    """To run the file changes nothing, and there is no function without a file."""
    before = db.execute(DEFINED).fetchall()
    for path in FILES:
        db.execute(path.read_text(encoding="utf-8"))  # type: ignore[call-overload]
    assert db.execute(DEFINED).fetchall() == before
    assert [name for name, _ in before] == [path.stem for path in FILES]
