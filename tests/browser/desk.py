"""A desk as people have it: served over HTTP, and a browser that looks at it, kept off any network."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

import uvicorn

from poller.web import desk
from poller.web.entrances import Accounts
from poller.web.rights import ALL, Viewer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

SHUT = Accounts({}, ())  # who comes has to log in
NAMES = ("chromium", "chromium-browser", "google-chrome")
ALONE = (  # by itself it asks for updates; here each name but the desk's address leads nowhere
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
WATCH = """
window.violations = [];
addEventListener("securitypolicyviolation", (at) => violations.push(`${at.violatedDirective} ${at.blockedURI}`));
"""


@contextlib.contextmanager
def served(url: str, authorize: Any = lambda _: Viewer("ann", ALL), **options: Any) -> Iterator[str]:
    """Serve the desk of a database on any free port, and give its address."""
    app = desk(url, authorize=authorize, **options)
    settings = uvicorn.Config(app, log_level="critical", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as that of `poller ui`
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def executable() -> str | None:
    """Return the path of the system's browser; None if it has none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's browser."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - where it is missing the tests are skipped

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=executable(), args=ALONE)
        try:
            yield made
        finally:
            made.close()


class Looked:
    """A person with a window, in which all is written down that should not happen.

    Args:
        browser: of which it is a window.
        base: the desk's address.
        **options: of Playwright's contexts.
    """

    def __init__(self, browser: Browser, base: str, **options: Any) -> None:
        self.base = base
        self.wrong: list[str] = []
        self.requests: list[str] = []
        self._context = browser.new_context(
            base_url=base,
            **{"viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"} | options,
        )
        self._context.add_init_script(WATCH)
        self._context.set_default_timeout(20_000)
        self._context.set_default_navigation_timeout(30_000)
        self.page: Page = self._context.new_page()
        self.page.on(
            "dialog", lambda dialog: (self.wrong.append(f"asks {dialog.message}"), dialog.dismiss())[0]
        )
        self.page.on("console", lambda said: self._hear(said.type, said.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def _hear(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and not text.startswith(
            "Failed to load resource"
        ):  # a refusal says 4xx, too
            self.wrong.append(text)

    def at(self, path: str) -> Page:
        """Go to a page, having seen that nothing went wrong on the one before."""
        self.nothing_went_wrong()
        self.page.goto(path, wait_until="load")
        return self.page

    def nothing_went_wrong(self) -> None:
        """See that no policy was violated, nothing was said on the console, and no other host was asked."""
        if self.page.url.startswith("http"):
            self.wrong += self.page.evaluate("window.violations || []")
        assert self.wrong == []
        assert [each for each in self.requests if not each.startswith((self.base, "data:"))] == []
