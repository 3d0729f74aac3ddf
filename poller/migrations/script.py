"""Executes a file of `sql/migrations/`, a statement at a time, online or as a printed script."""

from importlib.resources import files

from alembic import op


def execute(name: str) -> None:
    """Execute the statements of `sql/migrations/<name>.sql`."""
    text = files("poller").joinpath("sql", "migrations", f"{name}.sql").read_text(encoding="utf-8")
    for statement in split(text):
        op.execute(statement.replace(":", "\\:").replace("\\:\\:", "::"))


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
