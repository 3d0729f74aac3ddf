"""What CONTRIBUTING.md tells people to open is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
