"""The desk without a mouse, and as it is read aloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.desk import Looked

pytestmark = pytest.mark.browser

MOST = 80  # presses of a key that lead to anything
FOCUSED = """() => {
  const at = document.activeElement, style = getComputedStyle(at), box = at.querySelector("rect");
  const isOutlined = style.outlineStyle !== "none" && style.outlineWidth !== "0px";
  return [at.innerText || at.getAttribute("aria-label") || at.textContent,
    isOutlined || (box && getComputedStyle(box).strokeWidth === "2px")];
}"""
# What the nodes of a drawing say, and what the table beneath it does, in the same words.
DRAWN = """() => [...document.querySelectorAll(".machines .card")].map((card) => {
  const names = [...card.querySelectorAll("th")].map((each) => each.textContent);
  const cell = (row, name) => row.cells[names.indexOf(name)]?.textContent.trim() ?? "";
  const kinds = ["In flight", "Waiting", "Parked"];
  const rows = [...card.querySelectorAll("tbody tr")].map((row) => [`${cell(row, "Status")}: ${cell(row, "Rows")} rows`,
    ...kinds.filter((kind) => Number(cell(row, kind))).map((kind) => `${cell(row, kind)} ${kind.toLowerCase()}`),
    ...(cell(row, "Handler").endsWith("paused") ? ["paused"] : [])].join(", "));
  return {nodes: [...card.querySelectorAll(".across a[href]")].map((each) => each.getAttribute("aria-label")), rows};
})"""


def test_an_act_is_done_by_keys_alone(looked: Looked) -> None:
    """From the link that leads past the pages' names to the button that confirms; the focus can always be seen."""
    page = looked.at("/")
    assert _press(page, "Tab", "Skip to the content") == 1
    page.keyboard.press("Enter")
    assert _press(page, "Tab", "In trouble") < 10
    _press(page, "Tab", "3 statuses as a table")
    page.keyboard.press("Enter")
    _press(page, "Tab", "Pause")
    page.keyboard.press("Enter")
    page.wait_for_url("**/confirm")
    _press(page, "Tab", "Pause")
    page.keyboard.press("Enter")
    page.get_by_label("queued: 61 rows, 4 waiting, paused").first.wait_for(state="attached")


def test_keys_lead_to_pages(looked: Looked) -> None:
    """g and a letter; / to the search, where the same keys are letters."""
    page = looked.at("/")
    page.keyboard.press("g")
    page.keyboard.press("t")
    page.wait_for_url("**/trouble")
    page.keyboard.press("/")
    page.wait_for_url("**/find")
    page.locator("input[name=q]").focus()
    page.keyboard.type("gw")
    assert page.locator("input[name=q]").input_value() == "gw"
    assert page.url.endswith("/find")


def test_each_node_is_a_link_that_says_what_the_table_says(looked: Looked) -> None:
    """Its name, its rows, what is in flight, waiting and parked, and whether it is paused."""
    for each in looked.at("/").evaluate(DRAWN):
        assert set(each["rows"]) - set(each["nodes"]) <= {"draft: 118 rows"}  # which no handler knows
        assert set(each["nodes"]) - set(each["rows"]) <= {"cancelled: not counted"}  # of which there is none
        assert len(each["nodes"]) >= 3


def _press(page: Page, key: str, until: str) -> int:
    """Press a key until something has the focus, seeing that it shows; return how often that was."""
    for count in range(1, MOST):
        page.keyboard.press(key)
        text, is_seen = page.evaluate(FOCUSED)
        assert is_seen, text
        if until.lower() in " ".join(text.split()).lower():
            return count
    pytest.fail(f"{until} cannot be reached")
