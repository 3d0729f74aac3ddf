r"""Executes a file of `sql/migrations/`, a statement at a time, online or as a printed script.

A function stands in a file of its own, where it is read with the statements that call it. A line `\i functions/now.sql`
stands for that file, as in psql; a function that changes later is included again by the revision that needs it so.
"""

import re
from importlib.resources import files

from alembic import op

_INCLUDE = re.compile(r"^\\i (functions/\w+\.sql)$", re.MULTILINE)


def execute(name: str) -> None:
    """Execute the statements of `sql/migrations/<name>.sql`."""
    for statement in split(_INCLUDE.sub(lambda found: _read(found[1]), _read(f"migrations/{name}.sql"))):
        op.execute(statement.replace(":", "\\:").replace("\\:\\:", "::"))


def _read(path: str) -> str:
    return files("poller").joinpath("sql", *path.split("/")).read_text(encoding="utf-8").rstrip("\n")


def split(text: str) -> list[str]:
    """Split a script at the semicolons that end a line, but not inside a $$ body."""
    statements, current, in_body = [], [], False
    for line in text.splitlines():
        current.append(line)
        in_body ^= line.count("$$") % 2 == 1
        if line.rstrip().endswith(";") and not in_body:
            statements.append("\n".join(current).strip().removesuffix(";"))
            current = []
    return statements
