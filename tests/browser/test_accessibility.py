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
CONTRAST_ON = """
(ground) => {
  const light = (color) => color.match(/[\\d.]+/g).slice(0, 3).map(Number).map((part) => part / 255)
    .map((part) => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + part * [.2126, .7152, .0722][at], 0);
  const behind = light(getComputedStyle(ground).backgroundColor);
  return (color) => (Math.max(light(color), behind) + .05) / (Math.min(light(color), behind) + .05);
}
"""
FAINT = f"""
() => {{
  const contrast = ({CONTRAST_ON})(document.querySelector(".graph").parentElement);
  return [...document.querySelectorAll(".graph text, .graph rect, .graph > path")].filter((each) => {{
    const look = getComputedStyle(each);
    return contrast(each.tagName === "text" ? look.fill : look.stroke) < 4.5;
  }}).map((each) => each.outerHTML);
}}
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


def test_text_of_twice_the_size_fits(lookers: dict[str, Looked]) -> None:
    """As who reads badly has set it in the browser; nothing has to be scrolled sideways."""
    page = lookers["full"].page
    large = {"fontSizes": {"standard": 32}}
    page.context.new_cdp_session(page).send("Page.setFontSizes", large)
    wide = []
    for name in SHOWN["full"]:
        lookers["full"].at(PAGES[name])
        assert page.evaluate("getComputedStyle(document.documentElement).fontSize") == "28px"
        for width in (1280, 640):
            page.set_viewport_size({"width": width, "height": 900})
            shown, window = page.evaluate(WIDER)
            wide += [f"{name}: {shown} of {window}"] if shown > window else []
    page.context.new_cdp_session(page).send("Page.setFontSizes", {"fontSizes": {"standard": 16}})
    assert wide == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures_are_seen_in_the_colours_of_the_system(lookers: dict[str, Looked], theme: Any) -> None:
    """Where it forces its own, whatever the page was to look like."""
    page = lookers["full"].at(PAGES["home"])
    page.emulate_media(color_scheme=theme, forced_colors="active")
    try:
        for own in ("light", "dark"):
            page.evaluate("(own) => { document.documentElement.dataset.theme = own; }", own)
            assert page.evaluate(FAINT) == []
    finally:
        page.emulate_media(forced_colors="none")


KINDS = {  # what a picture tells apart, by the page that has it and the picture
    ("jobs", ".lanes svg:has(rect)"): ("run", "failed", "running", "cancelled", "slot", "often", "shift"),
    ("job", ".bars"): ("run", "failed", "running", "cancelled"),
    ("job", ".days"): ("none", "few", "many"),
    ("machine", ".stacked"): ("moved", "failed", "parked"),
}
LOOKS = f"""
([css, kinds]) => {{
  const picture = document.querySelector(css), contrast = ({CONTRAST_ON})(picture.closest(".card"));
  return kinds.map((kind) => {{
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    rect.setAttribute("class", kind);
    picture.append(rect);
    const look = getComputedStyle(rect), colors = [look.fill, look.stroke].filter((each) => each !== "none");
    const found = [`${{look.fill}} ${{look.stroke}} ${{look.strokeDasharray}}`, Math.max(...colors.map(contrast))];
    rect.remove();
    return found;
  }});
}}
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_charts_and_lanes_are_told_apart_in_the_colours_of_the_system(
    lookers: dict[str, Looked], theme: Any
) -> None:
    """By how they are filled and drawn, whatever the page's own colours are; each is seen before its ground."""
    page = lookers["full"].page
    page.emulate_media(color_scheme=theme, forced_colors="active")
    try:
        for (name, css), kinds in KINDS.items():
            lookers["full"].at(PAGES[name])
            for own in ("light", "dark"):
                page.evaluate("(own) => { document.documentElement.dataset.theme = own; }", own)
                looks = page.evaluate(LOOKS, [css, kinds])
                assert len({look for look, _ in looks}) == len(kinds), (css, looks)
                assert min(contrast for _, contrast in looks) >= 3, (css, looks)
    finally:
        page.emulate_media(forced_colors="none")


def _found(page: Page, width: int, theme: Any, rules: dict[str, Any]) -> list[str]:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=theme)
    found: list[str] = page.evaluate(RUN, rules)
    return found
