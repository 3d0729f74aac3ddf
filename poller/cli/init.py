"""`poller init`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import typer

from poller.errors import ConfigurationError

SKELETON = ("handlers/__init__.py", "handlers/example.py", "poller.toml")
NEXT = """\
wrote {written}
next:
  handlers/example.py   says which table it expects; create it, or name a table of yours
  poller check          checks the handlers against the database
  poller run            runs them; in another terminal: poller status --watch"""


def init() -> None:
    """Write a first handlers package and settings file."""
    there = [name for name in SKELETON if Path(name).exists()]
    if there:
        msg = f"nothing was written: {' and '.join(there)} already exist; move them away, or keep using them"
        raise ConfigurationError(msg)
    try:
        _write()
    except OSError as error:
        msg = f"cannot write {error.filename}: {error.strerror}"
        raise ConfigurationError(msg) from None
    typer.echo(NEXT.format(written=", ".join(SKELETON)))


def _write() -> None:
    source = files("poller.cli") / "skeleton"
    Path("handlers").mkdir(exist_ok=True)
    for name in SKELETON:
        Path(name).write_bytes(source.joinpath(name).read_bytes())
