"""How a list is laid out: what fits, what is left out, and what is cut off."""

from __future__ import annotations

from typing import Any

import pytest
from rich.cells import cell_len

from poller.tui.columns import ListColumn, cells, cut, fitted, heads, rate, short
from poller.tui.head import spark
from poller.tui.listing import bar

LINES: list[dict[str, Any]] = [
    {"key": "漢字" * 20, "rows": 12345.0, "error": "x" * 300, "note": None},
    {"key": "b\x1b[2J\u202e\n", "rows": 7, "error": "", "note": None},
]
COLUMNS = (
    ListColumn("key", lambda line: line["key"], least=10, most=60),
    ListColumn("rows", lambda line: line["rows"], right=True),
    ListColumn("note", lambda line: line["note"], rank=1),
    ListColumn("again", lambda line: line["rows"], rank=2),
    ListColumn("error", lambda line: line["error"], rank=3, least=20, most=400),
)


@pytest.mark.parametrize("width", [12, 20, 40, 80, 132, 200, 500])
def test_a_line_is_never_wider_than_the_screen_if_its_columns_can_be_left_out(width: int) -> None:
    """In cells: letters of other scripts take two."""
    layout = fitted(COLUMNS, LINES, width)
    for line in LINES:
        made = [each.text for each in cells(layout, line)]
        assert [cell_len(each) for each in made] == list(layout.widths)
        assert "".join(made).isprintable()
    total = sum(layout.widths) + 2 * (len(layout.widths) - 1)
    assert total <= max(width, 10 + 2 + 6)
    assert len("  ".join(heads(layout))) == total


def test_what_matters_least_is_left_out_first_and_what_is_empty_at_once() -> None:
    """In the order of the ranks."""
    titles = {width: [each.title for each in fitted(COLUMNS, LINES, width).columns] for width in (20, 40, 80)}
    assert titles == {
        20: ["key", "rows"],
        40: ["key", "rows", "again"],
        80: ["key", "rows", "again", "error"],
    }


def test_what_is_cut_off_says_so() -> None:
    """With an ellipsis within the width."""
    assert (cut("abc", 3), cut("abcd", 3), cut("漢字", 3), cut("abc", 0)) == ("abc", "ab…", "漢…", "")


def test_numbers_and_names_are_short() -> None:
    """With no more digits than can be meant."""
    assert [rate(each) for each in (None, 0, 3.0, 3.14, 1234.5)] == ["", "0", "3", "3.1", "1,234"]
    assert [short(each) for each in ("public.orders", "shop.orders")] == ["orders", "shop.orders"]


def test_bars_are_as_long_as_what_they_stand_for() -> None:
    """A few beside very many are seen, none is not."""
    assert [bar(each, 80, 10) for each in (0, 1, 40, 80)] == ["", "▏", "█" * 5, "█" * 10]
    assert bar(0, 0) == ""
    assert (spark([0, 0]), spark([0, 4, 8])) == ("▁▁", "▁▅█")
