"""`poller ui`: what starts, what is refused, and that nothing listens before all is checked."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx2
import psycopg
import pytest

from poller.cli import ui
from poller.web import serve
from poller.web.shown import shown
from tests.command_line import known, the_line, value
from tests.harness import cpu_seconds, wait_until
from tests.web.desks import confirmed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.command_line import InProcess
    from tests.harness import Project

READY = 1.5  # seconds
STOP = 1.0  # seconds
WAITS = (
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
)
PROXY = "--trusted-proxy=127.0.0.1"


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may listen in this test."""
    monkeypatch.setattr(ui, "_listening", lambda *_: pytest.fail("it listens"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "choose who may log in with --auth"),
        (["--host", "::"], "choose who may log in with --auth"),
        (["--host", "::ffff:127.0.0.1"], "choose who may log in with --auth"),
        (["--host", "192.0.2.1"], "choose who may log in with --auth"),
        (["--host", "0.0.0.0", "--auth", "none"], "--auth none would let in everybody"),
        (["--host", "::", "--auth", "none"], "--auth none would let in everybody"),
        (["--host", "no such host"], "is neither an address"),
        (["--auth", "nobody"], "--auth must be token, none"),
        (["--auth", "file:"], "--auth must be token, none"),
        (["--auth", "file:nowhere.toml"], "nowhere.toml cannot be read"),
        (["--auth", "file:nowhere.toml", "--allow", "look"], "--allow is not for --auth file"),
        (["--auth", "header:X-User"], "needs --trusted-proxy"),
        (["--auth", "header:X User", PROXY], "--auth must be token, none"),
        (["--auth", "header:X-User", "--trusted-proxy", "proxy"], "trusted proxy must be an address"),
        (["--trusted-proxy", "proxy"], "trusted proxy must be an address"),
        (["--allow", "admin"], "there is no right 'admin'"),
        (["--database", "mysql://localhost/x"], "poller needs postgres://"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("never")
def test_what_makes_no_sense_is_refused_before_anything_listens(
    here: InProcess, arguments: list[str], said: str
) -> None:
    """Exit status 2, and one line that says what to do."""
    assert said in the_line(here.run("ui", *arguments))


@pytest.mark.usefixtures("never")
def test_a_name_that_leads_elsewhere_is_no_loopback(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """However innocent it sounds: each address counts."""
    found = [(0, 0, 0, "", ("127.0.0.1", 0)), (0, 0, 0, "", ("192.0.2.1", 0))]
    monkeypatch.setattr(ui.socket, "getaddrinfo", lambda *_, **__: found)
    assert "choose who may log in" in the_line(here.run("ui", "--host", "localhost"))


def test_a_port_that_is_taken_is_told(here: InProcess) -> None:
    """And another program's page is not taken for the desk."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port}: Address already in use" in the_line(here.run("ui", "--port", port))


def test_without_the_extra_it_says_what_to_install(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever part is missing."""
    monkeypatch.setattr("poller.web.find_spec", lambda name: None if name == "uvicorn" else object())
    assert the_line(here.run("ui")) == "the desk needs uvicorn; run: pip install 'poller[ui]'"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ([], r"http://127\.0\.0\.1:\d+/enter\?token=[\w-]{43}\n"),
        (["--host", "localhost", "--auth", "none"], r"http://(127\.0\.0\.1|\[::1\]):\d+/\n"),
        (["--host", "0.0.0.0", "--auth", "header:X-User", PROXY], r"http://0\.0\.0\.0:\d+/\n"),
        (
            ["--host", "0.0.0.0", "--auth", "token", "--allow", "look"],
            r"http://0\.0\.0\.0:\d+/enter\?token=[\w-]{43}\n",
        ),
    ],
)
def test_what_starts_says_where(
    here: InProcess, monkeypatch: pytest.MonkeyPatch, arguments: list[str], shown: str
) -> None:
    """One line, on standard output."""
    served: list[socket.socket] = []
    monkeypatch.setattr(serve, "serve", lambda _, listener: served.append(listener))
    ended = here.run("ui", "--port", "0", *arguments)
    assert (ended.returncode, ended.stderr, len(served)) == (0, "", 1)
    assert re.fullmatch(shown, ended.stdout)


def test_options_are_variables_and_settings(
    here: InProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With `ui` in their names, since others have hosts and ports, too."""
    monkeypatch.setenv("POLLER_UI_HOST", "0.0.0.0")
    assert "--host 0.0.0.0" in the_line(here.run("ui"))
    monkeypatch.delenv("POLLER_UI_HOST")
    (tmp_path / "poller.toml").write_text('ui-auth = "nobody"\n[desk.tables.orders]\nshow = ["slug"]\n')
    assert "nobody" in the_line(here.run("ui"))


MISSPELT = {
    '[desk.table.tenants]\nshow = "*"': "there is no setting desk.table; did you mean tables?",
    '[dsk.tables.tenants]\nshow = "*"': "there is no setting 'dsk'; did you mean desk?",
    '[alert]\nto = "ops"': "there is no setting 'alert'; did you mean alerts?",
    "desk = 3": "desk must be a table of settings",
    "[desk]\ntables = 3": "desk.tables must be a table of settings",
    '[desk.tables]\nshow = ["slug"]': "desk.tables.show must be a table of settings",
    '[desk.tables.tenants]\nshown = ["slug"]': "there is no setting desk.tables.tenants.shown; did you mean show?",
    "[desk.tables.tenants]": "desk.tables.tenants must be show =",
}
ABSENT = {
    '[desk.tables.tenant]\nshow = "*"': "there is no table 'tenant'; this database has public.tenants",
    '[desk.tables."shop.tenants"]\nshow = "*"': "there is no table 'shop.tenants'; this database has public.tenants",
    '[desk.tables."public.tenants"]\nshow = ["slg"]': "public.tenants has no column 'slg'; did you mean 'slug'? it has",
}


def test_what_is_misspelt_in_the_settings_is_named(
    here: InProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, db: psycopg.Connection[Any]
) -> None:
    """With what would be right: a key before anything listens; what the database does not have is no reason not to."""
    db.execute("create table tenants (id int primary key, slug text, status text)")
    db.execute('create table "odd.name" (id int primary key, slug text)')
    served: list[int] = []
    monkeypatch.setattr(serve, "serve", lambda *_: served.append(1))
    with monkeypatch.context() as patch:
        patch.setattr(ui, "_listening", lambda *_: pytest.fail("it listens"))
        for text, said in MISSPELT.items():
            (tmp_path / "poller.toml").write_text(text)
            line = the_line(here.run("ui", "--port", "0"))
            assert line.startswith("poller.toml: "), text
            assert said in line, text
    for text, said in ABSENT.items():
        (tmp_path / "poller.toml").write_text(text)
        answer = here.run("ui", "--port", "0")
        assert answer.returncode == 0
        assert answer.stderr.startswith("poller.toml: desk.tables: "), answer.stderr
        assert said in answer.stderr
    for text, options in {
        '[desk.tables."public.tenants"]\nshow = ["slug", "*"]\n[desk.tables.tenants]\nshow = "slug"': (),
        """[desk.tables.'"odd.name"']\nshow = "slug"\n[desk.tables.'public."odd.name"']\nshow = "*\"""": (),
        '[desk.tables.tenant]\nshow = "*"': ("--database", "postgresql://127.0.0.1:1/away"),
    }.items():
        (tmp_path / "poller.toml").write_text(text)
        answer = here.run("ui", "--port", "0", *options)
        assert (answer.returncode, answer.stderr) == (0, "")
    assert len(served) == 3 + len(ABSENT)
    assert shown({'"odd.name"': {"show": "slug"}}).of('public."odd.name"')("slug")


@pytest.fixture
def started(project: Project) -> Iterator[tuple[subprocess.Popen[str], str, float]]:
    """A desk of its own process, its first line, and when that stood there."""
    command = [sys.executable, "-m", "poller", "ui", "--port", "0"]
    hostile = {
        "FORWARDED_ALLOW_IPS": "*",
        "UVICORN_HOST": "0.0.0.0",
        "UVICORN_PROXY_HEADERS": "1",
        "WEB_CONCURRENCY": "4",
    }
    environment = project.environment(**hostile)
    (project.folder / "handlers").mkdir()
    (project.folder / "handlers" / "__init__.py").write_text("raise SystemExit('imported')")
    with subprocess.Popen(
        command,
        cwd=project.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield process, line.strip(), cpu_seconds(process.pid)
        process.kill()


def test_a_desk_is_served_until_it_is_stopped(started: tuple[subprocess.Popen[str], str, float]) -> None:
    """It is ready soon; lets in who has the link; logs nothing that is secret; and ends at once when told to."""
    process, link, took = started
    base = link.partition("/enter")[0]
    assert httpx2.get(f"{base}/healthz").json() == {"status": "ok"}
    with httpx2.Client(base_url=base) as browser:
        assert browser.get("/display", headers={"X-Forwarded-For": "10.0.0.7"}).status_code == 405
        assert browser.get(link).status_code == 303
        assert browser.get(link).status_code == 401
        own = {"Sec-Fetch-Site": "same-origin"}
        assert browser.post("/display", data={"next": "/"}, headers=own).status_code == 303
        assert httpx2.get(f"{base}/readyz").json()["status"] == "ready"
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        printed, logged = process.communicate(timeout=10)
    assert process.returncode == 0
    assert time.monotonic() - began < 2
    assert logged == ""
    assert re.fullmatch(r"http://\S+/enter\?token=\S+\n", printed), (
        "a new link, since somebody came with the old one"
    )
    assert link not in printed
    assert took < READY, "of a processor's time: other tests run beside it"


@pytest.mark.alone
@pytest.mark.parametrize("is_held", [False, True], ids=["", "whose batch waits for a lock"])
def test_with_fifty_connections_and_an_act_under_way_it_ends_within_a_second(
    project: Project,
    db: psycopg.Connection[Any],
    is_held: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Idle ones, and some in the middle of a request; of the act that stays which is written down."""
    number = known(db, "public.tenants", "pending")
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, crashes, company, next_at, error, visit)"
        " select %s, i::text, 'parked', 5, 1, 1, now(), 'no', gen_random_uuid() from generate_series(1, 5000) as i",
        [number],
    )
    rights = "look,values,operate,move"
    desk = project.start("ui", "--port", "0", "--auth", "none", "--allow", rights)
    desk.wait_for_log("/\n")
    base = desk.log.strip().rstrip("/")
    with contextlib.ExitStack() as stack:
        if is_held:
            other = stack.enter_context(psycopg.connect(project.url))
            other.execute("lock table poller.action in share mode")
        for tab in range(50):
            made = socket.create_connection(("127.0.0.1", int(base.rpartition(":")[2])), timeout=20)
            stack.enter_context(made).sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
            if tab % 10:
                made.sendall(b"\r\n")
                assert made.recv(20).startswith(b"HTTP/1.1 200")
        with httpx2.Client(base_url=base, headers={"Sec-Fetch-Site": "same-origin"}) as browser:
            form = {"act": "retry", "table": "public.tenants", "status": "pending"}
            assert browser.post("/confirm", data=confirmed(browser, form)).status_code == 303
        asked = WAITS if is_held else "select count(*) from poller.action"
        wait_until("a batch is done, or waits", lambda: value(db, asked))
        began = time.monotonic()
        desk.signal(signal.SIGTERM)
        assert desk.wait() == 0
        took = time.monotonic() - began
    written = value(db, "select coalesce(sum(affected), 0) from poller.action")
    assert (written == 0) is is_held
    assert written == value(db, "select count(*) from poller.attempt where state = 'waiting'")
    assert desk.log.count("\n") == 1
    assert took < STOP, f"{took:.2f} s"


def test_the_last_part_of_an_answer_is_sent_at_once() -> None:
    """It does not wait until the browser has acknowledged the part before: 40 ms on a connection that is kept."""

    async def is_sent_at_once(listener: socket.socket) -> int:
        accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def met(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            own = writer.get_extra_info("socket")
            accepted.set_result(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(met, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            writer.close()
            return await asyncio.wait_for(accepted, 10)

    assert asyncio.run(is_sent_at_once(ui._listening("127.0.0.1", 0)))
