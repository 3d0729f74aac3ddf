"""Fixtures of the tests in a browser: the browser; and a desk each of a shop, of nothing, and of no database."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.browser.desk import SHUT, Looked, chromium, executable, served
from tests.browser.pages import NOWHERE
from tests.browser.shop import SHOWN, open_shop
from tests.servers import fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

# Within a thread that has a browser, no other asyncio loop can run: so it ends with the folder, not with the session.
FOLDER = "package"


@pytest.fixture(scope=FOLDER)
def browser() -> Iterator[Browser]:
    """The one browser."""
    if executable() is None or importlib.util.find_spec("playwright") is None:
        pytest.skip("there is no browser to look with: apt-get install chromium, pip install playwright")
    with chromium() as made:
        yield made


@pytest.fixture(scope=FOLDER)
def shop(server: str, template: str) -> Iterator[str]:
    """A database with a shop's fleet."""
    with fresh_database(server, template=template) as url:
        with psycopg.connect(url, autocommit=True) as db:
            open_shop(url, db)
        yield url


@pytest.fixture(scope=FOLDER)
def desks(browser: Browser, server: str, template: str, shop: str) -> Iterator[dict[str, str]]:
    """The addresses of desks, by the state of what they show."""
    with (
        fresh_database(server, template=template) as empty,
        served(shop, **SHOWN) as full_desk,
        served(empty) as empty_desk,
        served(NOWHERE) as away_desk,
        served(NOWHERE, SHUT) as shut_desk,
    ):
        yield {"full": full_desk, "empty": empty_desk, "away": away_desk, "shut": shut_desk}


@pytest.fixture
def looked(browser: Browser, desks: dict[str, str]) -> Iterator[Looked]:
    """A person at the desk of the shop, who is told of all that goes wrong in the browser."""
    with Looked(browser, desks["full"]) as made:
        yield made
        made.nothing_went_wrong()
