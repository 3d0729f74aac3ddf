"""What is published: a wheel and an sdist that hold all that poller needs, and start quickly."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
STATEMENTS = sorted(str(path.relative_to(TOP)) for path in (TOP / "sql").rglob("*.sql"))
HEAVY = ("psycopg", "sqlalchemy", "alembic")


def build(source: Path, target: str, into: Path) -> Path:
    """Build a wheel or an sdist from a folder with the tools that are installed, and return its path."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(into)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    [made] = into.iterdir()
    return made


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build(TOP, "sdist", folder / "built")) as archive:
        archive.extractall(folder, filter="data")
    [unpacked] = folder.glob("poller-*")
    return unpacked


@pytest.fixture(scope="session", params=["from the working tree", "from the sdist"])
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, unpacked."""
    source = TOP if request.param == "from the working tree" else request.getfixturevalue("sdist")
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(build(source, "wheel", folder / "built")) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def run_in(wheel: Path, code: str, *arguments: str) -> str:
    """Run code that finds poller in the wheel only, and return what it prints."""
    check = f"import poller; assert poller.__file__.startswith({str(wheel)!r})\n"
    ended = subprocess.run(
        [sys.executable, "-c", check + code, *arguments],
        cwd=wheel,
        env={**os.environ, "PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_every_statement_is_in_the_wheel(wheel: Path) -> None:
    """`sql/` stands at the top of the repository, and within the package where it is installed."""
    assert len(STATEMENTS) > 20
    packed = [str(path.relative_to(wheel / "poller")) for path in (wheel / "poller" / "sql").rglob("*.sql")]
    assert sorted(packed) == STATEMENTS


def test_every_statement_loads_from_the_wheel(wheel: Path) -> None:
    """As the engine loads it."""
    made = ("sql/functions/", "sql/migrations/")
    names = [Path(name).stem for name in STATEMENTS if not name.startswith(made)]
    code = "import sys; from poller.db.statements import template; [template(name) for name in sys.argv[1:]]"
    run_in(wheel, code, *names)


def test_the_desks_pages_are_in_the_wheel(wheel: Path) -> None:
    """Its templates, its own files, and the licence of what others have written."""
    for folder in ("templates", "static"):
        ours = {path.name for path in (TOP / "poller" / "web" / folder).iterdir()}
        assert {path.name for path in (wheel / "poller" / "web" / folder).iterdir()} == ours
        assert len(ours) > 3


def test_the_schema_can_be_made_from_the_wheel(wheel: Path) -> None:
    """The revisions are there, and find their statements."""
    printed = run_in(wheel, "from poller.db import upgrade; upgrade.print_sql()")
    assert "create table poller.claim" in printed


def test_the_wheel_says_that_it_is_typed_and_which_version_it_is(wheel: Path) -> None:
    """And brings its licence, its commands and its pytest plugin; tests and the example stay outside."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    [info] = wheel.glob("*.dist-info")

    assert info.name == f"poller-{project['version']}.dist-info"
    assert f"Version: {project['version']}\n" in (info / "METADATA").read_text()
    assert (info / "licenses" / "LICENSE").read_text() == (TOP / "LICENSE").read_text()
    assert (wheel / "poller" / "py.typed").exists()
    assert {path.name for path in wheel.iterdir()} == {"poller", info.name}
    entries = (info / "entry_points.txt").read_text()
    assert "poller = poller.cli:main" in entries
    assert "poller = poller.pytest_plugin" in entries


def test_the_sdist_is_enough_to_work_on(sdist: Path) -> None:
    """It holds the tests, the example and the documents too."""
    names = {path.name for path in sdist.iterdir()}
    assert names >= {"Makefile", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "pyproject.toml"}
    assert names >= {"poller", "sql", "handlers", "examples", "tests", "docs", "benchmarks"}
    assert not list(sdist.rglob("*.pyc"))


@pytest.mark.parametrize(
    "code",
    ["import poller", "import sys; sys.argv = ['poller', '--help']; from poller.cli import main; main()"],
    ids=["import poller", "poller --help"],
)
def test_the_face_and_the_help_import_nothing_heavy(wheel: Path, code: str) -> None:
    """A handlers module imports the face, and a person waits for the help."""
    asked = f"import atexit, sys; atexit.register(lambda: print([m for m in {HEAVY} if m in sys.modules]))\n"
    assert run_in(wheel, asked + code).splitlines()[-1] == "[]"


def test_the_lock_has_each_direct_dependency_with_its_hashes() -> None:
    """And it names no index and no path of anybody's machine."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["dev"], *extras["embedded"]]
    lock = (TOP / "requirements-dev.txt").read_text()
    blocks = dict(re.findall(r"^([a-z0-9._-]+)==[^\n]*((?:\n    .*)*)", lock, re.MULTILINE))
    for each in wanted:
        name = re.split(r"[^\w.-]", each)[0].lower().replace("_", "-")
        assert "--hash=sha256:" in blocks[name], name
    assert "http" not in lock.replace("httpcore", "").replace("httpx", "")
    assert not re.search(r"^--(index|find|extra-index)", lock, re.MULTILINE)


def test_each_package_that_is_imported_is_declared() -> None:
    """What comes along with something else today may not tomorrow; and nothing is asked for that nobody imports."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    asked = [
        *project["dependencies"],
        *(
            each
            for name in ("alerts", "http", "embedded", "metrics", "otel", "sentry", "top", "ui")
            for each in project["optional-dependencies"][name]
        ),
    ]
    named = {re.split(r"[^\w.-]", each)[0].lower().replace("-", "_") for each in asked}
    declared = {each.removesuffix("_api") for each in named}  # opentelemetry's
    typing_only = {
        "_typeshed",
        "annotationlib",
        "typing_extensions",
    }  # which type checkers, and newer Pythons, have
    imported = {
        name.split(".")[0]
        for path in (TOP / "poller").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imports(node)
    }
    assert imported - {*sys.stdlib_module_names, *typing_only, "poller", "pytest"} == declared
    assert not [each for each in asked if "pool" in each.partition(">")[0].partition("[")[2]]


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [each.name for each in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
