"""The tables of `docs/guarantees.md`, whose last columns are made from marks: `python -m tests.faults.catalogue`.

A test says `@pytest.mark.fault("F3")` where it proves that a fault is survived; one that is named `test_g3_…` speaks for
the third guarantee.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "guarantees.md"
SHOWN = 3  # tests named in a row of the table

_ROW = re.compile(r"^\| (F\d+|G\d+) \|(.*)\|$", re.MULTILINE)


@functools.cache
def marked() -> dict[str, list[str]]:
    """Return, for each fault and guarantee, the tests that speak for it, as `file::name`."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                where = f"{path.relative_to(TESTS)}::{node.name}"
                for number in [*_faults(node), *_guarantees(node.name)]:
                    found[number].append(where)
    return dict(found)


def _faults(function: ast.FunctionDef) -> list[str]:
    calls = [each for each in function.decorator_list if isinstance(each, ast.Call)]
    marks = [each for each in calls if ast.unparse(each.func) == "pytest.mark.fault"]
    return [ast.literal_eval(argument) for each in marks for argument in each.args]


def _guarantees(name: str) -> list[str]:
    numbers = re.match(r"test_((?:g\d+_)+)", name)
    return [each.upper() for each in numbers[1].split("_") if each] if numbers else []


def rows(page: str) -> dict[str, str]:
    """Return the rows of the page's tables, by their first column."""
    return {found[1]: found[0] for found in _ROW.finditer(page)}


def written(page: str) -> str:
    """Return the page with its last columns made anew."""
    tests = marked()

    def row(found: re.Match[str]) -> str:
        cells = found[2].split(" | ")
        cells[-1] = f"{_named(tests.get(found[1], []))} "
        return f"| {found[1]} |{' | '.join(cells)}|"

    return _ROW.sub(row, page)


def _named(tests: list[str]) -> str:
    by_name: dict[str, list[str]] = defaultdict(list)
    for test in tests:
        file, _, name = test.partition("::")
        by_name[file].append(name)
    first = [f"`{file}`: {', '.join(names[:SHOWN])}" for file, names in list(by_name.items())[:SHOWN]]
    more = len(tests) - sum(min(SHOWN, len(names)) for names in list(by_name.values())[:SHOWN])
    return "; ".join(first) + (f"; and {more} more" if more else "")


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
