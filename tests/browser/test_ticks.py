"""A page that renews itself: what it keeps for its reader, what it costs, and what it says without a database."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller.db import migration
from poller.web import snapshot
from tests.browser.desk import Looked, served
from tests.browser.shop import SHOWN, open_shop
from tests.harness import wait_until
from tests.servers import cluster, fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

ROWS = "/rows?table=public.orders&status=pending"
# A tick, whose answer is sent though nothing may have changed; and what is done when it has been put into the page.
ANEW = """() => new Promise((done) => {
  document.addEventListener("htmx:config:request", (event) => {
    event.detail.ctx.request.headers["HX-PTag"] = "";
  }, {once: true});
  document.addEventListener("htmx:after:swap", () => done(), {once: true});
  document.body.dispatchEvent(new Event("tick"));
})"""
SELECT = "() => getSelection().selectAllChildren(document.querySelector('h2 a'))"
HELD = """() => ({
  focus: document.activeElement.closest("tr").innerText.split(/\\s/)[0],
  open: document.querySelectorAll("main details[open]").length,
  scroll: scrollY,
  selected: getSelection().toString(),
})"""
AWAY, GONE, BACK = 3.0, 5.0, 5.0  # seconds
OTHERS = (
    *(3 * ("/",)),
    *(f"/machine?table=public.{each}" for each in ("orders", "emails", "tenants")),
    *("/workers", "/workers", "/limits"),
)
# Whether the page is grey, and since when it is so, or is not.
WATCH = """() => setInterval(() => {
  const grey = document.querySelector(".is-stale, .alert") !== null;
  if (window.grey !== grey) [window.grey, window.since] = [grey, Date.now()];
}, 20)"""


@pytest.fixture
def own(server: str, template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Any]]:
    """A shop of the test's own, at which the desk looks all the time: its URL, and a connection."""
    monkeypatch.setattr(snapshot, "EVERY", 0.05)
    monkeypatch.setattr(snapshot, "SHARE", 0)
    monkeypatch.setattr(snapshot, "SLOWLY", 0.05)
    with fresh_database(server, template=template) as url, psycopg.connect(url, autocommit=True) as db:
        open_shop(url, db)
        yield url, db


def test_a_tick_keeps_what_the_reader_does(browser: Browser, own: tuple[str, Any]) -> None:
    """The place on the page, what is unfolded, selected and focused stay, though the numbers change under them."""
    url, db = own
    with served(url) as base, Looked(browser, base, viewport={"width": 1000, "height": 500}) as looked:
        page = looked.at("/")
        page.get_by_text("9 statuses as a table").click()
        page.locator("tr", has_text="ship").get_by_role("button").focus()
        page.evaluate(SELECT)
        page.mouse.wheel(0, 120)
        page.wait_for_function("() => scrollY > 100")
        before = page.evaluate(HELD)
        assert (before["focus"], before["open"], before["selected"]) == ("paid", 1, "public.orders")
        db.execute("insert into orders (status) select 'new' from generate_series(1, 70)")
        db.execute("update orders set status = 'returned' where status = 'draft'")
        _until(page, "[aria-label='returned: 121 rows'], a[href$='status=new']")
        assert page.evaluate(HELD) == before


def test_the_focus_stays_with_its_row(browser: Browser, own: tuple[str, Any]) -> None:
    """When others come before it, too."""
    url, db = own
    with served(url) as base, Looked(browser, base) as looked:
        page = looked.at("/runs?job=sync_prices")
        page.locator("tbody a.mono").nth(2).focus()
        held = page.evaluate("document.activeElement.innerText")
        db.execute(
            "insert into poller.run (job, function, planned_at) values ('sync_prices', 'sync_prices', now() + '1 s')"
        )
        _until(page, ".tag:text('pending')")
        assert page.evaluate("document.activeElement.innerText") == held


def test_a_page_that_was_renewed_twenty_times_still_asks(browser: Browser, own: tuple[str, Any]) -> None:
    """Before an act on all rows that are chosen: asking is the server's page, not a script's."""
    url, db = own
    with served(url) as base, Looked(browser, base) as looked:
        page = looked.at(ROWS)
        page.get_by_label("Choose all of this page").check()
        for _ in range(20):
            page.evaluate(ANEW)
        assert page.locator("input[name=key]:checked").count() == 50
        page.get_by_role("button", name="Retry").click()
        assert page.url.endswith("/confirm")
        assert page.get_by_text("50 rows").is_visible()
        assert db.execute("select count(*) from poller.action where action = 'retry'").fetchone() == (1,)


def test_a_first_visit_and_a_tick_are_small(looked: Looked) -> None:
    """Four requests; and 300 bytes when nothing has changed, headers and all."""
    page = looked.at("/workers")
    with page.expect_response("**/workers") as first:
        page.evaluate(ANEW)
    assert len([each for each in looked.requests if not each.startswith("data:")]) == 4 + 1
    sizes = []
    for _ in range(3):
        with page.expect_response("**/workers") as answer:
            page.evaluate("() => document.body.dispatchEvent(new Event('tick'))")
        sizes.append((answer.value.status, answer.value.request.sizes()))
    assert first.value.status == 200
    assert [code for code, _ in sizes] == [304] * 3
    assert all(each["responseHeadersSize"] + each["responseBodySize"] <= 300 for _, each in sizes), sizes


def test_what_happened_in_a_month_comes_behind_the_page_of_a_row(looked: Looked) -> None:
    """By itself, into its place."""
    page = looked.at("/row?table=public.orders&key=1200")
    page.get_by_text("in the last 30 days").wait_for()
    assert page.locator("#history").count() == 1
    assert page.get_by_role("link", name="Look back 30 days").count() == 0


@pytest.mark.alone
def test_a_database_that_goes_away_is_told_and_comes_back(browser: Browser) -> None:
    """Within three seconds under ten open pages, which stay, grey, with their age; and it is over within five."""
    codes: set[int] = set()
    with cluster() as server:
        migration.migrate(server.url)
        with psycopg.connect(server.url, autocommit=True) as db:
            open_shop(server.url, db)
        with served(server.url, **SHOWN) as base, Looked(browser, base) as looked:
            page = looked.at("/")
            tabs = [page, *(page.context.new_page() for _ in OTHERS)]
            for tab, path in zip(tabs, ("/", *OTHERS), strict=True):
                tab.on("response", lambda answer: codes.add(answer.status))
                tab.goto(path)
                tab.evaluate(WATCH)
            server.stop()
            told = _until_all(tabs, grey=True)
            assert page.get_by_text("what is below was seen").is_visible()
            assert page.get_by_label("paid: 302 rows, 3 parked").first.is_visible()
            assert "grayscale" in page.locator(".machines").evaluate("each => getComputedStyle(each).filter")
            assert tabs[-1].locator("#age").inner_text().endswith(" ago")
            page.wait_for_timeout(GONE * 1000)
            server.start()
            back = _until_all(tabs, grey=False)
    print(f"told after {told:.1f} s, back after {back:.1f} s")  # noqa: T201
    assert (told < AWAY, back < BACK) == (True, True), (told, back)
    assert codes <= {200, 304, 503}


def _until_all(tabs: list[Page], *, grey: bool) -> float:
    """Wait until all pages are grey, or are not; return how long from now the last one took."""
    began = time.time()
    for tab in tabs:
        tab.wait_for_function("(grey) => window.grey === grey", arg=grey)
    return max(tab.evaluate("window.since") / 1000 for tab in tabs) - began


def _until(page: Page, selector: str) -> None:
    """Have the page renew itself until something is on it."""

    def is_there() -> int:
        page.evaluate(ANEW)
        return page.locator(selector).count()

    wait_until(f"{selector} is there", is_there)
