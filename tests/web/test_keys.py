"""Keys, and what a browser keeps while the desk says no; in Chromium, where there is one."""

from __future__ import annotations

import shutil
import socket
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from playwright.sync_api import expect, sync_playwright

from poller.web import desk
from poller.web.rights import ALL, NONE, Viewer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg
    from playwright.sync_api import Page

PEOPLED = True
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not here: no key is pressed")


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve a desk on a thread; give its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        with closing(listener):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True
            thread.join()
    finally:
        server.should_exit = True


@pytest.fixture
def who() -> list[Viewer]:
    """Who looks."""
    return [Viewer("ann", ALL)]


@pytest.fixture
def page(url: str, db: psycopg.Connection[Any], who: list[Viewer]) -> Iterator[Page]:
    """A browser on the home page, that is asked anew each second."""
    with (
        served(desk(url, authorize=lambda _: who[0])) as base,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as chromium,
    ):
        context = chromium.new_context(base_url=base)
        context.add_cookies([{"name": "poller_refresh", "value": "1", "url": base}])
        made = context.new_page()
        made.set_default_timeout(10_000)
        made.goto("/")
        yield made


def test_keys_do_what_their_list_says(page: Page) -> None:
    """And nothing while something is typed, or once they are switched off."""
    press, body = page.keyboard.press, page.locator("body")
    for key, path in {
        "t": "trouble",
        "j": "jobs",
        "r": "runs",
        "w": "workers",
        "a": "actions",
        "h": "",
    }.items():
        press("g")
        press(key)
        page.wait_for_url(f"**/{path}")
    press("?")
    expect(page.locator("#keys")).to_be_visible()
    press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    press("d")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    press("z")
    expect(body).to_have_attribute("data-zone", "local")
    press("p")
    expect(page.locator("#age")).to_have_text("paused")
    with page.expect_request(lambda each: each.headers.get("hx-request") == "true"):
        press("r")
    page.goto("/rows?table=public.tenants&status=closing")
    for key in ("j", "j", "k"):
        press(key)
    first = page.locator("main tbody tr").first
    expect(first.locator("a")).to_be_focused()
    press("x")
    expect(first.locator("[type=checkbox]")).to_be_checked()
    expect(page.locator("[data-chosen]")).to_have_text("1 chosen")
    press("Enter")
    page.wait_for_url("**/row?**")
    press("/")
    page.wait_for_url("**/find")
    expect(page.locator("main [name=q]")).to_be_focused()
    page.keyboard.type("?d/gh")
    expect(page.locator("main [name=q]")).to_have_value("?d/gh")
    page.locator(".menu summary").click()
    page.locator("[name=keys]").select_option("0")
    page.locator(".menu").get_by_text("Apply").click()
    expect(body).to_have_attribute("data-keys", "0")
    page.locator("h1").first.click()
    for key in ("?", "d", "g", "h"):
        press(key)
    expect(page.locator("#keys")).to_be_hidden()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert page.url.endswith("/find")


def test_a_refusal_does_not_take_the_place_of_what_is_shown(page: Page, who: list[Viewer]) -> None:
    """It is greyed, with its age, until the desk answers again; a page that is opened tells why."""
    expect(page.get_by_role("link", name="public.tenants").first).to_be_visible()
    who[0] = Viewer("ann", NONE)
    expect(page.locator("html")).to_have_class("is-stale")
    expect(page.get_by_role("link", name="public.tenants").first).to_be_visible()
    expect(page.locator("#age")).to_contain_text("ago")
    expect(page.locator("main")).not_to_contain_text("this needs the right")
    who[0] = Viewer("ann", ALL)
    expect(page.locator("html")).not_to_have_class("is-stale")
    who[0] = Viewer("ann", NONE)
    page.goto("/jobs")
    expect(page.locator("main")).to_contain_text("this needs the right look")
