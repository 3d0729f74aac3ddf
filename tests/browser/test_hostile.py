"""Names and texts that would be more than text: none becomes an element, an attribute, a script or a live link."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from psycopg.types.json import Jsonb

from tests.browser.desk import Looked, served
from tests.servers import fresh_database

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

STRINGS = [
    "<script>pwned()</script>",
    "</title><script>pwned()</script>",
    "</textarea><svg onload=pwned()>",
    "<img src=x onerror=pwned()>",
    "<svg><script>pwned()</script></svg>",
    "</svg><iframe src=javascript:pwned()>",
    "<a href=javascript:pwned()>x</a>",
    "<body onpageshow=pwned()>",
    "<details open ontoggle=pwned()>",
    "<math><mi xlink:href=javascript:pwned()>",
    "<style>*{display:none}</style>",
    "<link rel=stylesheet href=//evil.example/x>",
    "<meta http-equiv=refresh content=0;//evil.example>",
    "<base href=//evil.example/>",
    "<form action=//evil.example><button>x",
    "<!--",
    "-->",
    "<![CDATA[<img src=x onerror=pwned()>]]>",
    '" onmouseover="pwned()',
    "' onfocus='pwned()' autofocus='",
    '" hx-get="/actions" hx-trigger="load" x="',
    '" style="position:fixed"',
    'x" autofocus onfocus=pwned() y="',
    "`onerror=pwned()`",
    "javascript:pwned()",
    "data:text/html,<script>pwned()</script>",
    "//evil.example/",
    "{{7*7}}",
    "{% raw %}{{ self }}",
    "${7*7}#{7*7}",
    "%3Cscript%3Epwned()%3C/script%3E",
    "&lt;script&gt;pwned()&lt;/script&gt;",
    "&#60;img src=x onerror=pwned()&#62;",
    "\u202egnp.exe",
    "a\u2028b\u0085c\u200bd",
    "\x1b[31mred\x1b]0;title\x07",
    "a\r\nSet-Cookie: a=b",
    "../../etc/passwd?a=b#c",
    "'; drop table x; --",
    "\ufeff\U0001f4a9e\u0301" * 4,
    "W" * 3000,
]
FOUND = Path(__file__).with_name("found.js").read_text(encoding="utf-8").partition("\n")[2].strip()
HERE = f"() => ({FOUND})(document)"
# Pages as the browser reads them, without showing each of two hundred.
READ = f"""(paths) => Promise.all(paths.map(async (path) => {{
  const text = await (await fetch(path)).text();
  return ({FOUND})(new DOMParser().parseFromString(text, "text/html")).map((each) => path + ": " + each);
}})).then((found) => found.flat())"""


@pytest.fixture(scope="module")
def strings(server: str, template: str) -> Any:
    """A database in which everything that can be named has such a name; its URL, and the names of the tables."""
    with fresh_database(server, template=template) as url:
        with psycopg.connect(url, autocommit=True) as db:
            for number, text in enumerate(STRINGS):
                _plant(db, text, _name(number))
        yield url


def test_no_string_becomes_more_than_text(browser: Browser, strings: str) -> None:
    """On no page that shows it, drawn or listed, nor where it is asked about."""
    with served(strings, tables={}) as base, Looked(browser, base) as looked:
        looked.page.expose_function("pwned", lambda: looked.wrong.append("a script has run"))
        for path in (
            "/",
            "/trouble",
            "/jobs",
            "/runs",
            "/workers",
            "/actions",
            "/find?q=%3Cimg%20src%3D/%3E",
            *_about(3),
            *_about(20),
        ):
            looked.at(path)
            assert looked.page.evaluate(HERE) == [], path
        for number in range(len(STRINGS)):
            assert looked.page.evaluate(READ, _about(number)) == []


def _about(number: int) -> list[str]:
    """Return the pages about what is called by one of the strings."""
    text, name = STRINGS[number], _name(number)
    asked: list[tuple[str, dict[str, str]]] = [
        ("/rows", {"table": _written(name), "status": text}),
        ("/row", {"table": _written(name), "key": text}),
        ("/job", {"name": name}),
    ]
    return [f"{path}?{urlencode(query)}" for path, query in asked] + [f"/runs/{number + 1}"]


def _name(number: int) -> str:
    """Return a name for a table or a job: other than the others', and not longer than Postgres keeps."""
    return f"{number} {STRINGS[number]}"[:40]


def _written(name: str) -> str:
    quoted = name.replace('"', '""')
    return f'public."{quoted}"'


def _plant(db: psycopg.Connection[Any], text: str, name: str) -> None:
    """Have a table, its column, a status, a key, a handler, a job with a run, a worker and an order be called so."""
    table, column = Identifier(name), Identifier(name)
    db.execute(
        SQL("create table {} (id text primary key, {} text, note text default {})").format(
            table, column, text
        )
    )
    db.execute(SQL("create index on {} ({}, id)").format(table, column))
    db.execute(SQL("insert into {} values ({}, {})").format(table, text, text))
    definition = Jsonb({"to": [text, f"{text}2"], "function": text, "place": text, "on_failure": f"{text}3"})
    number = db.execute(
        "insert into poller.handler (table_name, status, status_column, definition)"
        " values (%s, %s, %s, %s) returning id",
        [_written(name), text, name, definition],
    ).fetchone()[0]  # type: ignore[index]
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, error, visit, kind, place)"
        " values (%s, %s, 'parked', 3, %s, gen_random_uuid(), %s, %s)",
        [number, text, text[:1900], text[:100], text[:100]],
    )
    db.execute(
        "insert into poller.job (name, function, schedule, next_at, declared, args)"
        " values (%s, %s, '@every 5m', now(), true, %s)",
        [name, name, Jsonb({text: text})],
    )
    db.execute(
        "insert into poller.run (job, function, status, attempt, started_at, finished_at, error, output, kind, place)"
        " values (%s, %s, 'failed', 1, now(), now(), %s, %s, %s, %s)",
        [name, name, text, text, text[:100], text[:100]],
    )
    worker = db.execute(
        "insert into poller.worker (supervisor, host, pid, slots, handlers, lease)"
        " values (gen_random_uuid(), %s, 1, 4, '{}', '1 hour') returning id",
        [text],
    ).fetchone()[0]  # type: ignore[index]
    db.execute(
        "insert into poller.claim (handler_id, worker_id, keys) values (%s, %s, %s)", [number, worker, [text]]
    )
    db.execute(
        "insert into poller.action (actor, via, action, target, affected, detail) values (%s, %s, %s, %s, 1, %s)",
        [text] * 5,
    )
