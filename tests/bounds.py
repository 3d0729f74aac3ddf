"""Runs tests on the lowest and on the newest versions that pyproject.toml allows, each in a venv of its own.

`python -m tests.bounds [lowest|newest …] [-- what pytest is given]`; `make test-bounds`. What is tested with, pytest
say, is as new as can be in both.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Any

TOP = Path(__file__).parents[1]
CORE = (  # of the suite: each dependency is asked for all that it is used for
    "tests/test_face.py",
    "tests/test_examples.py",
    "tests/model",
    "tests/db",
    "tests/executor/test_transactional.py",
    "tests/executor/test_transactional_sessions.py",
    "tests/executor/test_ctx_settle.py",
    "tests/executor/test_dask.py",
    "tests/cli",
    "tests/ready_made/test_http.py",
    "tests/tui",
    "tests/web",
    "tests/alerts",
    "tests/integrations",
    "tests/telemetry/test_metrics.py",
)


def lowest() -> list[str]:
    """Return the lowest version of each dependency, as pip's constraints."""
    extras = _project()["optional-dependencies"]
    wanted = [*_project()["dependencies"], *(each for extra in _asked() for each in extras[extra])]
    return [re.sub(r"^([\w.-]+)(?:\[[^]]*\])?>=([\w.]+).*$", r"\1==\2", each) for each in wanted]


def _asked() -> list[str]:
    """Return the extras that users install."""
    return [each for each in _project()["optional-dependencies"] if each != "dev"]


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def install(which: str, folder: Path) -> Path:
    """Make a venv with poller in it, and return its Python."""
    venv.create(folder, clear=True, with_pip=True)
    python = folder / "bin" / "python"
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(lowest() if which == "lowest" else []), encoding="utf-8")
    extras = ",".join((*_asked(), "dev"))
    command = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--constraint",
        str(constraints),
    ]
    subprocess.run([python, *command, "--editable", f"{TOP}[{extras}]"], check=True)
    return python


def main(arguments: list[str]) -> int:
    """Test each that is named, or both, and return how many failed."""
    named, _, given = " ".join(arguments).partition("--")
    failed = 0
    for which in named.split() or ["lowest", "newest"]:
        print(f"--- {which} versions", flush=True)  # noqa: T201 - progress, for who waits
        python = install(which, TOP / ".bounds" / which)
        tests = given.split() or CORE
        ended = subprocess.run(
            [python, "-m", "pytest", "-q", "-m", "not alone", *tests], cwd=TOP, check=False
        )
        failed += ended.returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
