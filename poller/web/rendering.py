"""Renders templates. All that is put into one is escaped, and a name that is missing is an error.

Addresses within pages are paths, made from where the desk is mounted, never from the request's `Host`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import jinja2
from markupsafe import Markup, escape

from poller.client.retrying import cause
from poller.duration import words
from poller.telemetry.printable import lines, one_line
from poller.web import assets
from poller.web.causes import told
from poller.web.route import path_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from starlette.types import Scope

TEMPLATES = Path(__file__).parent / "templates"
PAGES = (
    ("Home", "/"),
    ("Trouble", "/trouble"),
    ("Jobs", "/jobs"),
    ("Runs", "/runs"),
    ("Workers", "/workers"),
    ("Limits", "/limits"),
    ("Check", "/check"),
    ("Actions", "/actions"),
    ("Alerts", "/alerts"),
    ("Find", "/find"),
)
KEYS = (
    ("?", "show or hide this"),
    ("/", "find"),
    ("g", "then the first letter of a page's name: go there; again: to the next with this letter"),
    ("j k", "the next row, the one before"),
    ("x", "choose the row"),
    ("Enter", "open it"),
    ("r", "refresh now"),
    ("p", "pause, or go on"),
    ("z", "zone of times"),
    ("d", "theme"),
)
CLOCK = Markup("\0")  # stands in a page for the time at which it is sent: the rest may have been made before
SWITCH = ("1", "0")
THEMES, ZONES, SECONDS = ("", "light", "dark"), ("utc", "local"), ("0", "1", "2", "5", "10")


class Look(NamedTuple):
    """How a viewer wants pages to be: kept in cookies."""

    theme: str
    zone: str
    refresh: str
    keys: str = "1"


def look_of(cookies: Mapping[str, str]) -> Look:
    """Return how pages are to be, by the cookies."""
    return Look(
        _one_of(cookies.get("poller_theme"), THEMES, ""),
        _one_of(cookies.get("poller_zone"), ZONES, "utc"),
        _one_of(cookies.get("poller_refresh"), SECONDS, "2"),
        _one_of(cookies.get("poller_keys"), SWITCH, "1"),
    )


def part(template: str, scope: Scope, **values: Any) -> str:
    """Return a page for any request, also without a known viewer."""
    return rendered(template, **frame(scope), **values)


def frame(scope: Scope) -> dict[str, Any]:
    """Return what the frame around each page shows, of a page without a viewer."""
    root = str(scope.get("root_path", ""))
    return {
        "asset": lambda name: root + assets.address(name),
        "can_leave": False,
        "clock": CLOCK,
        "every": 0,
        "here": path_of(scope),
        "is_live": False,
        "keys": KEYS,
        "layout": "base.html",
        "look": Look("", "utc", "0"),
        "now": None,
        "pages": PAGES,
        "place": "",
        "self_path": "/",
        "url": partial(address, root),
        "version": "",
        "viewer": None,
    }


def address(root: str, path: str, **query: Any) -> str:
    """Return the address of a page of the desk; fields of the query that are None are left out.

    >>> address("/desk", "/row", table="a/b", key="1&2", after=None)
    '/desk/row?table=a%2Fb&key=1%262'
    """
    path, _, before = path.partition("?")
    given = dict(parse_qsl(before, keep_blank_values=True)) | query
    text = urlencode({name: value for name, value in given.items() if value is not None})
    return f"{root}{path}" + (f"?{text}" if text else "")


def rendered(template: str, **values: Any) -> str:
    """Return a page, or a part of one."""
    return _environment.get_template(template).render(values)


def clock(at: datetime) -> str:
    """Return a time of day, as pages show it."""
    macros: Any = _environment.get_template("macros.html").module
    return str(macros.clock(at))


def since(at: datetime, now: datetime) -> str:
    """Return how long ago a time is, or how far ahead."""
    age = (now - at).total_seconds()
    return f"{words(age)} ago" if age >= 0 else f"in {words(-age)}"


def moment(at: datetime) -> str:
    """Return a time to the second, for programs."""
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def cut(text: str, most: int) -> str:
    """Return the beginning of a text."""
    return text if len(text) <= most else f"{text[:most]}…"


def word(name: str) -> str:
    """Return a name so that it is seen though it is empty."""
    return name or '""'


def pairs(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return names as the options of a choice."""
    return [(each, word(each)) for each in names]


def took(seconds: float | None) -> str:
    """Return how long something took."""
    if seconds is None:
        return ""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else words(seconds)


def _one_of(given: str | None, known: tuple[str, ...], default: str) -> str:
    return given if given in known else default


def _plain(value: Any) -> Any:
    """Return a value as it is shown: of texts the characters that would forge a line, or turn it around, are escaped."""
    return one_line(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _lines(text: str) -> Markup:
    """Return a text of several lines, as it is shown."""
    return Markup(escape(lines(text)))  # noqa: S704 - it is escaped


_environment = jinja2.Environment(
    autoescape=True,
    auto_reload=False,
    finalize=_plain,
    loader=jinja2.FileSystemLoader(TEMPLATES),
    lstrip_blocks=True,
    trim_blocks=True,
    undefined=jinja2.StrictUndefined,
)
_environment.filters |= {
    "cause": cause,
    "cut": cut,
    "lines": _lines,
    "moment": moment,
    "pairs": pairs,
    "since": since,
    "told": told,
    "took": took,
    "word": word,
}
_environment.tests["printable"] = str.isprintable
