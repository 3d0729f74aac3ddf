"""Each page can be read and used by all: what axe finds, at any width, in any light, in each state of the fleet."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.desk import Looked
from tests.browser.pages import PAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

FOLDER = Path(__file__).with_name("axe")
AXE = (FOLDER / "axe.min.js").read_text(encoding="utf-8")
RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
CONTRAST = {"type": "rule", "values": ["color-contrast"]}  # all that the light changes
RUN = """
(rules) => axe.run({
  runOnly: rules, rules: rules.type === "tag" ? {"target-size": {enabled: true}} : {}, resultTypes: ["violations"]
}).then((found) => found.violations.flatMap((each) =>
  each.nodes.map((node) => `${each.id}: ${node.target} ${node.any.concat(node.all).map((check) => check.message)}`)))
"""
WIDER = "() => [document.documentElement.scrollWidth, innerWidth]"
SHOWN = {  # where there is nothing, or no database, most pages have the same refusal; who is not known is shown one
    "full": tuple(PAGES),
    "empty": ("home", "machine", "trouble", "jobs", "runs", "workers", "actions", "find"),
    "away": ("home", "machine", "rows"),
    "shut": ("home",),
}


@pytest.fixture(scope="module")
def lookers(browser: Browser, desks: dict[str, str]) -> Iterator[dict[str, Looked]]:
    """A person at each desk; what examines the page is put there past its policy, which holds for its own scripts."""
    made = {state: Looked(browser, base, bypass_csp=True) for state, base in desks.items()}
    yield made
    for each in made.values():
        each.__exit__()


def test_what_examines_the_pages_is_as_others_have_published_it() -> None:
    """By its hash, with its licence beside it; it is in no wheel, since no test is."""
    known = tomllib.loads((FOLDER / "VENDOR.toml").read_text(encoding="utf-8"))["axe.min.js"]
    assert hashlib.sha512(AXE.encode()).hexdigest() == known["sha512"]
    assert "Mozilla Public License, version 2.0" in (FOLDER / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("state", "name"),
    [(state, name) for state, names in SHOWN.items() for name in names],
)
def test_axe_finds_nothing(lookers: dict[str, Looked], state: str, name: str) -> None:
    """Wide and narrow, light and dark; and nothing has to be scrolled sideways, on the narrowest telephone either."""
    page = lookers[state].at(PAGES[name])
    assert ("/login" in page.url) == (state == "shut")
    page.evaluate(AXE)
    assert _found(page, 1440, "light", RULES) == []
    assert _found(page, 390, "dark", RULES) == []
    assert _found(page, 390, "light", CONTRAST) == []
    assert _found(page, 1440, "dark", CONTRAST) == []
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 800})
        wide, window = page.evaluate(WIDER)
        assert wide <= window


def _found(page: Page, width: int, theme: Any, rules: dict[str, Any]) -> list[str]:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=theme)
    found: list[str] = page.evaluate(RUN, rules)
    return found
