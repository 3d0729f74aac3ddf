"""The negative controls are of this code: each guard stands where its control says, and its tests exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.controls import CONTROLS, ROOT, Control


@pytest.mark.parametrize("control", CONTROLS, ids=lambda each: each.guard)
def test_a_guard_stands_where_its_control_says(control: Control) -> None:
    """Its text, once; and the tests that are to catch its absence."""
    assert control.old != control.new
    assert (ROOT / control.file).read_text().count(control.old) >= 1
    for test in control.tests:
        file, _, name = test.partition("::")
        assert (ROOT / file).is_file()
        assert not name or f"def {name}(" in Path(ROOT / file).read_text()


def test_they_are_some_forty_and_each_has_a_name_of_its_own() -> None:
    """Or a name would choose two."""
    assert len(CONTROLS) >= 40
    assert len({each.guard for each in CONTROLS}) == len(CONTROLS)
