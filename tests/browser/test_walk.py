"""A walk through all pages and acts: what the browser is told to do, and what it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.browser.desk import Looked, served
from tests.browser.pages import PAGES
from tests.browser.shop import SHOWN, open_shop
from tests.servers import fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser

ACTS = "select action, affected from poller.action where actor like '%(ann)' order by id"
KEPT = "() => [localStorage.length, sessionStorage.length, document.cookie.length]"
ROWS = "/rows?table=public.orders&status=pending"
ROW = "/row?table=public.orders&key="


@pytest.fixture
def own(browser: Browser, server: str, template: str) -> Iterator[str]:
    """The database of a shop in which something may be done."""
    with fresh_database(server, template=template) as url:
        with psycopg.connect(url, autocommit=True) as db:
            open_shop(url, db)
        yield url


@pytest.mark.parametrize("scripted", [True, False], ids=["with JavaScript", "without"])
def test_all_pages_and_acts_work(browser: Browser, own: str, scripted: bool) -> None:  # noqa: FBT001 - a parameter
    """No policy is violated, no other host asked, nothing kept in the browser; without scripts nothing is missing."""
    with served(own, **SHOWN) as base, Looked(browser, base, java_script_enabled=scripted) as looked:
        for path in PAGES.values():
            looked.at(path)
        _act_on_handlers(looked)
        _act_on_rows(looked)
        _act_on_jobs(looked)
        if scripted:
            assert looked.page.evaluate(KEPT) == [0, 0, 0]
        _choose_the_dark(looked)
        looked.nothing_went_wrong()
    with psycopg.connect(own) as db:
        assert db.execute(ACTS).fetchall() == [
            ("pause", 1),
            ("resume", 1),
            ("retry", 14),
            ("retry", 1),
            ("release", 2),
            ("move", 1),
            ("trigger", 1),
            ("pause", 1),
            ("cancel", 1),
        ]


def _act_on_handlers(looked: Looked) -> None:
    for function, button in (("ship", "Pause"), ("screen", "Resume")):
        home = looked.at("/")
        home.get_by_text("9 statuses as a table").click()
        _confirm(home, home.locator("tr", has_text=function).get_by_role("button", name=button))


def _act_on_rows(looked: Looked) -> None:
    trouble = looked.at("/trouble")
    _confirm(trouble, trouble.locator("tr", has_text="ConnectError").get_by_role("button", name="Retry"))
    with_error = looked.at("/trouble?table=public.orders&status=paid")
    with_error.locator("tbody a.mono").first.click()
    _confirm(with_error, with_error.get_by_role("button", name="Retry"))
    rows = looked.at(ROWS)
    for key in ("1", "10"):  # which a worker holds
        rows.get_by_label(f"Choose {key}", exact=True).check()
    _confirm(rows, rows.get_by_role("button", name="Release"))
    row = looked.at(ROW + "700")
    row.locator("select[name=to]").select_option("review")
    _confirm(row, row.get_by_role("button", name="Move"))


def _act_on_jobs(looked: Looked) -> None:
    job = looked.at("/job?name=backup")
    _confirm(job, job.get_by_role("button", name="Run now"))
    jobs = looked.at("/jobs")
    _confirm(jobs, jobs.locator("tr", has_text="sync_prices").first.get_by_role("button", name="Pause"))
    runs = looked.at("/runs?job=export")
    runs.locator("tbody a.mono").first.click()
    _confirm(runs, runs.get_by_role("button", name="Cancel"))


def _choose_the_dark(looked: Looked) -> None:
    page = looked.at("/workers")
    page.locator(".menu summary").click()
    page.get_by_label("Theme").select_option("dark")
    page.get_by_role("button", name="Apply").click()
    assert page.url.endswith("/workers")
    assert page.locator("html").get_attribute("data-theme") == "dark"


def _confirm(page: Page, button: Locator) -> None:
    """Press a button, and the one of the page that asks."""
    button.click()
    assert page.url.endswith("/confirm")
    page.locator("main form button").first.click()
