"""The plan of the rooms in docs/design.md is what `make check` enforces; each room says what it is for."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path

TOP = Path(__file__).parents[1]


def test_the_plan_of_the_rooms_is_the_linters() -> None:
    """Line by line, from the top."""
    settings = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))
    [floors] = [each for each in settings["tool"]["importlinter"]["contracts"] if each["id"] == "floors"]
    page = (TOP / "docs" / "design.md").read_text(encoding="utf-8")
    plan = page.partition("## The rooms\n")[2].split("```")[1].strip().splitlines()
    rooms = [re.match(r"\w+(?: \| \w+)*", line) for line in plan]
    assert [room and room[0] for room in rooms] == floors["layers"]


def test_each_room_says_what_it_is_for() -> None:
    """In its `__init__`, and nothing else stands there: what is imported is imported from where it is."""
    rooms = [each for each in (TOP / "poller").rglob("__init__.py") if "sql" not in each.parts]
    for room in rooms:
        text = room.read_text(encoding="utf-8")
        assert re.match(r'""".+"""', text), room
        if room.parent.name not in {"poller", "cli", "web"}:
            assert len(text.splitlines()) == 1, room


def test_a_statement_is_found_by_its_name_alone() -> None:
    """In whichever folder it stands: no two have one name."""
    names = [
        path.stem
        for path in (TOP / "sql").glob("*/*.sql")
        if path.parent.name not in {"functions", "migrations"}
    ]
    assert len(names) == len(set(names)) > 100
    assert not list((TOP / "sql").glob("*.sql"))


def test_the_name_of_a_class_means_one_thing() -> None:
    """But for private ones, which are read beside what uses them."""
    classes = re.compile(r"^ *class ([A-Za-z]\w*)", re.MULTILINE)
    files = (TOP / "poller").rglob("*.py")
    names = Counter(name for path in files for name in classes.findall(path.read_text(encoding="utf-8")))
    assert len(names) > 500
    assert [name for name, times in names.items() if times > 1] == []
