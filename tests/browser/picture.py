"""`make readme-picture`: the picture of the home page that README.md shows, of the shop at work."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from poller.db import migration
from tests.browser.desk import Looked, chromium, served
from tests.browser.shop import SHOWN, open_shop
from tests.servers import shared_server

FILE = Path(__file__).parents[2] / "docs" / "desk.png"
SIZE = {"width": 1320, "height": 1200}
MARGIN = 12


def main() -> None:
    """Take it."""
    with shared_server() as server, psycopg.connect(server, autocommit=True) as connection:
        connection.execute("create database shop")
        url = urlsplit(server)._replace(path="/shop").geturl()
        migration.migrate(url)
        with psycopg.connect(url, autocommit=True) as db:
            open_shop(url, db)
        with (
            chromium() as browser,
            served(url, **SHOWN) as base,
            Looked(browser, base, viewport=SIZE) as looked,
        ):
            page = looked.at("/")
            last = page.locator(".machines").bounding_box()
            assert last is not None
            height = last["y"] + last["height"] + MARGIN
            page.screenshot(path=FILE, clip={"x": 0, "y": 0, "width": SIZE["width"], "height": height})


if __name__ == "__main__":
    main()
