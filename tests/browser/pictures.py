"""`make pictures`: each page of the desk as a browser shows it, to be looked at: wide and narrow, light and dark.

Args (of the program): the names of pages; all without.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from poller.db import migration
from tests.browser.desk import SHUT, chromium, served
from tests.browser.pages import NOWHERE, PAGES
from tests.browser.shop import SHOWN, open_shop
from tests.servers import fresh_database, shared_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

FOLDER = Path(__file__).parents[2] / ".pictures"
WIDTHS = {"wide": 1440, "narrow": 390}
THEMES = ("light", "dark")


def main() -> None:
    """Take them."""
    FOLDER.mkdir(exist_ok=True)
    with ExitStack() as stack:
        server = stack.enter_context(shared_server())
        empty, full = (stack.enter_context(fresh_database(server)) for _ in range(2))
        migration.migrate(empty)
        with psycopg.connect(full, autocommit=True) as db:
            migration.migrate(full)
            open_shop(full, db)
        browser = stack.enter_context(chromium())
        for state, url in (("full", full), ("empty", empty), ("away", NOWHERE), ("shut", NOWHERE)):
            entrance = {"authorize": SHUT} if state == "shut" else {}
            base = stack.enter_context(served(url, **entrance, **SHOWN))
            for file in _taken(browser, base, state, _names(state)):
                print(file.relative_to(Path.cwd()))  # noqa: T201 - it is a program


def _names(state: str) -> list[str]:
    """Return the pages to be taken; who has to log in sees one, whatever was asked for."""
    return ["home"] if state == "shut" else sys.argv[1:] or list(PAGES)


def _taken(browser: Browser, base: str, state: str, names: list[str]) -> Iterator[Path]:
    for width_name, width in WIDTHS.items():
        for theme in THEMES:
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce"
            )
            page = context.new_page()
            for name in names:
                file = FOLDER / f"{name}-{state}-{width_name}-{theme}.png"
                page.goto(base + PAGES[name], wait_until="load")
                page.screenshot(path=file, full_page=True)
                yield file
            context.close()


if __name__ == "__main__":
    main()
