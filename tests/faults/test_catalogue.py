"""The page that tells of faults names a test for each, and none that is not there."""

from __future__ import annotations

import pytest

from tests.faults.catalogue import PAGE, marked, rows, written

# CPython 3.11 cannot parse two files at the same time, and a thread that a test has left may print a traceback.
pytestmark = pytest.mark.alone

ROWS = list(rows(PAGE.read_text()))
FAULTS = [f"F{number}" for number in range(1, len(ROWS) - 11)]
GUARANTEES = [f"G{number}" for number in range(1, 13)]


def test_every_fault_and_guarantee_has_a_row_and_a_test_that_speaks_for_it() -> None:
    """And no test speaks for one that is not in the table."""
    assert ROWS == GUARANTEES + FAULTS
    tests = marked()
    assert sorted(set(FAULTS + GUARANTEES) - set(tests)) == [], "nobody speaks for these"
    assert sorted(set(tests) - set(FAULTS + GUARANTEES)) == [], "these are in no table"


def test_the_column_of_tests_is_made_from_their_marks() -> None:
    """To make it anew: python -m tests.faults.catalogue."""
    assert PAGE.read_text() == written(PAGE.read_text())
