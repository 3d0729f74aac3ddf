"""What the documentation tells people to write: it does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from poller import Row, handler
from poller.testing import Engine
from tests.command_line import known, trouble
from tests.harness import wait_until

if TYPE_CHECKING:
    import psycopg
    import pytest

    from tests.harness import Project

DOCS = Path(__file__).parents[1] / "docs"


def snippet(page: str, begins: str) -> str:
    """Return the code of a page that begins so, without its indentation."""
    text = (DOCS / page).read_text(encoding="utf-8")
    [found] = [
        each
        for each in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        if each.lstrip().startswith(begins)
    ]
    return found


def test_alembic_leaves_pollers_schema_alone(url: str, db: psycopg.Connection[Any]) -> None:
    """With the function of the operations page; without it, its tables would be dropped."""
    db.execute("create table mine (id int)")
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.NullPool)
    code = snippet("operations.md", "def include_name").partition("\n\n\n")[0]
    names: dict[str, Any] = {}
    exec(code, names)

    def dropped(**options: Any) -> set[tuple[str | None, str]]:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"include_schemas": True, **options})
            changes = compare_metadata(context, sa.MetaData())
        return {(each[1].schema, each[1].name) for each in changes if each[0] == "remove_table"}

    assert dropped(include_name=names["include_name"]) == {(None, "mine")}
    assert ("poller", "claim") in dropped()


def test_a_status_is_renamed_while_the_fleet_runs(url: str, db: psycopg.Connection[Any]) -> None:
    """Expanded, both are handled by one function, each row once; contracted, nothing is left behind."""
    db.execute("create table orders (id int primary key, status text)")
    db.execute("insert into orders values (1, 'pending'), (2, 'queued'), (3, 'pending')")
    seen: list[int] = []

    @handler("orders", status="queued", to="shipped")
    @handler("orders", status="pending", to="shipped")
    def ship(order: Row) -> None:
        seen.append(order.id)

    assert ship.also is not None
    with Engine(url, ship, ship.also) as engine:
        engine.run_due()
    assert sorted(seen) == [1, 2, 3]
    assert db.execute("select count(*) from poller.attempt").fetchone() == (0,)


def test_a_project_of_many_folders_runs(project: Project, db: psycopg.Connection[Any]) -> None:
    """Handlers and jobs in folders without `__init__.py`, in lists and classes, found by `poller run`."""
    db.execute("create table task (id int primary key, status text default 'pending')")
    db.execute("insert into task (id) values (1)")
    folder = project.folder / "handlers" / "deep" / "er"
    folder.mkdir(parents=True)
    (project.folder / "handlers" / "__init__.py").touch()
    (folder / "tasks.py").write_text(
        "from poller import fixed_rate, handler, shell\n"
        "class Tasks:\n"
        "    @handler('task', status='pending', to='normal')\n"
        "    def step(row): ...\n"
        "jobs = [shell('say', 'echo said', schedule=fixed_rate('1h'))]\n"
    )
    project.start("run")
    wait_until("the row has moved", lambda: db.execute("select status from task").fetchone() == ("normal",))
    said = "select output from poller.run where job = 'say' and status = 'succeeded'"
    wait_until("the job has run", lambda: db.execute(said).fetchone() == ("said\n",))


def test_the_client_of_the_operations_page_works(
    project: Project, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it stands there, but for the database's URL, the page's size and the order for a job that this has not."""
    db.execute("create table orders (id int primary key, status text not null)")
    project.handlers("""
        @handler("orders", status="paid", to="shipped")
        def ship(order):
            pass
    """)
    for number in range(3):
        trouble(db, known(db, "public.orders", "paid") if not number else 1, str(number))
    code = snippet("operations.md", "from poller import Client")
    code = code.replace("postgresql://localhost/app", project.url).replace("limit=100", "limit=2")
    code = code.replace('print(client.pause("backup")', '# print(client.pause("backup")')
    monkeypatch.chdir(project.folder)

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout.splitlines()[-1] == "3 rows are due again"
    assert ended.stdout.count("error of") == 6, "by their causes, and row by row"
