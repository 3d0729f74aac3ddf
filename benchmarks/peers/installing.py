"""The peers' environments: made on demand below `.installed/`, which may be deleted at any time.

Nothing is pinned: the version that was found is part of what is printed. A folder counts only once it bears the mark
that its installation got to the end; until then it is made anew.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

INSTALLED = Path(__file__).parent / ".installed"
PROGRAMS = Path(__file__).parent / "programs"
_MARK = ".complete"
_PATIENCE = 300.0  # seconds that one step of an installation may take
_LENGTH = 160  # characters that a reason may have
_VERSION = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"


class UnavailableError(Exception):
    """A peer cannot be had here; the message is the reason, in one line."""


def python(name: str, *requirements: str) -> Path:
    """Return the interpreter of the environment of this name, which has these requirements.

    Raises:
        UnavailableError: they cannot be installed.
    """
    folder, interpreter = INSTALLED / name, INSTALLED / name / "bin" / "python"
    if not (folder / _MARK).exists():
        _empty(folder)
        _step([sys.executable, "-m", "venv", str(folder)])
        _step([str(interpreter), "-m", "pip", "install", "--quiet", *requirements])
        (folder / _MARK).touch()
    return interpreter


def python_version(interpreter: Path, package: str) -> str:
    """Return the version of a package in an environment."""
    return _step([str(interpreter), "-c", _VERSION, package])


def node(name: str, package: str) -> tuple[Path, str]:
    """Return the folder of modules of the environment of this name, and the version of its one package.

    Raises:
        UnavailableError: there is no node or npm, or it cannot be installed.
    """
    npm = found("npm")
    found("node")
    folder = INSTALLED / name  # not the package's: npm refuses that
    if not (folder / _MARK).exists():
        _empty(folder)
        _step([npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), package])
        (folder / _MARK).touch()
    modules = folder / "node_modules"
    return modules, str(json.loads((modules / package / "package.json").read_text())["version"])


def found(program: str) -> str:
    """Return where a program is.

    Raises:
        UnavailableError: it is not here.
    """
    path = shutil.which(program)
    if path is None:
        msg = f"no {program} here"
        raise UnavailableError(msg)
    return path


def _empty(folder: Path) -> None:
    """Make an empty folder, in a place that git and its friends ignore."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (INSTALLED / ".gitignore").write_text("*\n")


def _step(command: list[str]) -> str:
    """Run a command and return what it prints."""
    try:
        done = subprocess.run(  # noqa: S603 - commands of ours
            command,
            cwd=INSTALLED,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"{Path(command[0]).name} took more than {_PATIENCE:.0f} s"
        raise UnavailableError(msg) from error
    except subprocess.CalledProcessError as error:
        raise UnavailableError(_reason(error)) from error
    return done.stdout.strip()


def _reason(error: subprocess.CalledProcessError) -> str:
    """Return the beginning of the lines that name an error, in one line."""
    lines = f"{error.stdout}\n{error.stderr}".splitlines()
    named = "; ".join(line.strip() for line in lines if "error" in line.lower())
    return named[:_LENGTH] or f"exit status {error.returncode} of {Path(error.cmd[0]).name}"
