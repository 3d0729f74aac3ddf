"""What CONTRIBUTING.md tells people to open is there, and no text is left half merged."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).parents[1]
PAGE = (TOP / "CONTRIBUTING.md").read_text(encoding="utf-8")
NAMED = sorted(
    {each.rstrip("/") for each in re.findall(r"`((?:poller|sql|tests|docs|examples)/[\w/.-]*)`", PAGE)}
)


@pytest.mark.parametrize("path", NAMED)
def test_a_file_or_folder_that_is_named_is_there(path: str) -> None:
    """Under this very name: a room that moves takes its recipe along."""
    assert (TOP / path).exists()


def test_files_that_are_named_alone_are_there() -> None:
    """Somewhere: `claim_looks.py` beside its folder, say."""
    names = set(re.findall(r"`(\w+\.(?:py|sql))`", PAGE))
    assert names
    assert (
        names - {each.name for folder in ("poller", "sql", "tests") for each in (TOP / folder).rglob("*.*")}
        == set()
    )


def test_the_targets_that_are_named_are_there() -> None:
    """In the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:`|\$ )make ([a-z-]+)", PAGE)) <= targets


def test_each_of_the_six_errands_has_its_recipe() -> None:
    """With steps in order."""
    errands = PAGE.partition("## Six errands")[2].split("\n### ")[1:]
    assert len(errands) == 6
    assert all("\n1. " in each and "\n2. " in each for each in errands)


def _texts() -> Iterator[Path]:
    """Return the project's own texts: what a tool makes stands in folders whose names begin with a dot."""
    for here in TOP.iterdir():
        if here.is_dir() and (not here.name.startswith(".") or here.name in {".ci", ".github"}):
            yield from (path for path in here.rglob("*") if path.is_file() and _is_text(path))
        elif here.is_file() and _is_text(here):
            yield here


def _is_text(path: Path) -> bool:
    return path.suffix in {".md", ".py", ".sql", ".toml"} or path.name == "Makefile"


def _half_merged(text: bytes) -> list[bytes]:
    """Return the lines that a merge puts around two versions between which nobody has decided."""
    return re.findall(rb"^(?:<{7}|>{7}) .*", text, re.MULTILINE)


def test_no_text_has_two_versions_that_a_merge_has_left() -> None:
    """A table that is read line by line looks whole with them."""
    texts = list(_texts())
    assert {TOP / "Makefile", TOP / "docs" / "guarantees.md", Path(__file__)} <= {*texts}
    assert [(path, lines) for path in texts if (lines := _half_merged(path.read_bytes()))] == []
    left = b"a\n" + b"<" * 7 + b" HEAD\nb\n=======\nc\n" + b">" * 7 + b" theirs\n"
    assert _half_merged(left) == [b"<<<<<<< HEAD", b">>>>>>> theirs"]
