"""The desk within another application: under any path, every link, form and file stays there."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from html import unescape
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from django.http import HttpResponse
from django.urls import path
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from poller.web import desk, passwords
from poller.web.entrances import OneTimeLink, accounts
from poller.web.rights import ALL, Viewer
from poller.web.routes import ROUTES
from tests.harness import wait_until
from tests.web.desks import BASE, OWN, path_of

if TYPE_CHECKING:
    import psycopg

    from poller.web.doors import Doors
    from tests.harness import Project

ROOT = Path(__file__).parents[2]
NOWHERE = "postgresql://127.0.0.1:1/nowhere"
PEOPLED = True

ADDRESSES = re.compile(r'(?:href|src|action|formaction|hx-get)="([^"#][^"]*)"')


def mounted(inner: Any, prefix: str) -> TestClient:
    """Return what asks an application that has a desk under a path."""
    host = Route("/", lambda _: PlainTextResponse("the host's"))
    app = Starlette(routes=[host, Mount(prefix, inner)]) if prefix else inner
    return TestClient(app, base_url=BASE, headers=OWN, follow_redirects=False)


@pytest.mark.parametrize("prefix", ["", "/ops/desk"])
def test_every_link_leads_to_a_page_of_the_desk(url: str, db: psycopg.Connection[Any], prefix: str) -> None:
    """From page to page, as far as links go: none is missing, and none leads out."""
    client = mounted(desk(url, authorize=lambda _: Viewer("ann", ALL)), prefix)
    seen, ahead = set[str](), [f"{prefix}/"]
    while ahead:
        path = ahead.pop()
        seen.add(path)
        answer = client.get(path)
        assert answer.status_code in {200, 303}, path
        assert answer.headers.get("Location", f"{prefix}/").startswith(f"{prefix}/")
        found = {unescape(each) for each in ADDRESSES.findall(answer.text)}
        forms = {f"{prefix}/{each}" for each in ("confirm", "display", "logout")}
        for each in found - forms:
            assert each.startswith((f"{prefix}/", "data:image/svg+xml")), (path, each)
            if each not in seen and each.startswith("/") and each not in ahead:
                ahead.append(each)
    assert len(seen) > 25
    kinds = {each.removeprefix(prefix).partition("?")[0] for each in seen}
    assert kinds >= {
        "/",
        "/machine",
        "/rows",
        "/row",
        "/trouble",
        "/jobs",
        "/job",
        "/runs",
        "/runs/1",
        "/workers",
        "/actions",
    }
    assert prefix == "" or client.get("/").text == "the host's"


# --- within hosts, and behind proxies, as docs/desk.md says ---------------------------------------------

PASSWORD = "correct horse"
ACCOUNT = f'[users.ann]\npassword = "{passwords.hashed(PASSWORD)}"\nrights = "look, values, operate, move"\n'
PLACES = {  # of the pages that need a query, and of files
    "/machine": "/machine?table=public.tenants",
    "/rows": "/rows?table=public.tenants&status=closing",
    "/row": "/row?table=public.tenants&key=6",
    "/job": "/job?name=tick",
    "/trigger": "/trigger?name=tick",
    "/count": "/count?table=public.tenants&status=closing",
}
NOT_HERE = {
    "/enter",
    "/acts/{id:int}",
    "/static/{digest}/{name}",
}  # a page of another way in, none under way; links
HOSTS = ("Starlette", "FastAPI", "Django, asgi.py", "WSGI")


def of_docs(beginning: str) -> str:
    """Return a program of the page."""
    text = (ROOT / "docs" / "desk.md").read_text()
    [found] = [
        each for each in re.findall(r"```\w+\n(.*?)```", text, re.DOTALL) if each.startswith(beginning)
    ]
    return str(found)


def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ops: Any = None) -> None:
    """Have the modules of a shop's site, which the page's programs import."""
    settings = {
        "SECRET_KEY": "none",
        "ROOT_URLCONF": "shop.urls",
        "ALLOWED_HOSTS": ["localhost"],
        "INSTALLED_APPS": [f"django.contrib.{each}" for each in ("auth", "contenttypes", "sessions")],
        "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "site.sqlite"}},
        "USE_TZ": True,
    }
    page = ModuleType("shop.urls")
    page.__dict__["urlpatterns"] = [path("", lambda _: HttpResponse("the host's"))]
    made = {"settings": settings, "ops": {"ops": ops}, "wsgi": {"application": _site}}
    monkeypatch.setitem(sys.modules, "shop", ModuleType("shop"))
    monkeypatch.setitem(sys.modules, "shop.urls", page)
    for name, content in made.items():
        module = ModuleType(f"shop.{name}")
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, f"shop.{name}", module)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "shop.settings")


def _site(_: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the host's"]


def within(host: str) -> Any:
    """Return a site with the desk under /ops, as the page's program makes it."""
    made: dict[str, Any] = {}
    exec(compile(of_docs(f"# {host}"), "desk.md", "exec"), made)
    return made["app"]


def proxied(inner: Any, *, keeps: bool, said: list[str] | None = None, peer: str = "10.0.0.7") -> Any:
    """Return what a proxy makes of a desk: under a path that it keeps or strips."""

    async def proxy(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"] if keeps else scope["path"].removeprefix("/ops") or "/"
        told = [(b"x-forwarded-prefix", each.encode()) for each in (["/ops"] if said is None else said)]
        given = {**scope, "path": path, "client": (peer, 1), "headers": [*scope["headers"], *told]}
        await inner(given, receive, send)

    return proxy


def browser_at(app: Any, *, is_wsgi: bool = False) -> Any:
    """Return what asks a site, and keeps cookies."""
    if is_wsgi:
        return httpx2.Client(transport=httpx2.WSGITransport(app), base_url=BASE, headers=OWN)
    return TestClient(app, base_url=BASE, headers=OWN, follow_redirects=False)


@pytest.fixture
def behind_login(url: str, db: psycopg.Connection[Any], tmp_path: Path) -> Doors:
    """A desk with a form of name and password, which trusts a proxy."""
    file = tmp_path / "desk.toml"
    file.write_text(ACCOUNT)
    file.chmod(0o600)
    return desk(url, authorize=accounts(file), trusted_proxies=["10.0.0.7"])


@pytest.mark.parametrize("host", HOSTS)
def test_each_host_has_the_whole_desk_under_a_path(
    behind_login: Doors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str
) -> None:
    """From the login on; its own pages stay where they are."""
    shop(monkeypatch, tmp_path, behind_login)
    client = browser_at(within(host), is_wsgi=host == "WSGI")
    holds_whole(client)
    if host.startswith(("Django", "WSGI")):
        assert client.get("/").text == "the host's"


@pytest.mark.parametrize("keeps", [True, False], ids=["kept", "stripped"])
def test_a_proxy_has_the_whole_desk_under_a_path(behind_login: Doors, keeps: bool) -> None:  # noqa: FBT001 - a parameter
    """Which it says; whether it sends that on or not."""
    holds_whole(browser_at(proxied(behind_login, keeps=keeps)))
    assert holds_page(browser_at(proxied(behind_login, keeps=keeps, said=["/ops/"])), "/ops/login")
    assert (
        browser_at(proxied(behind_login, keeps=keeps)).get("/ops").headers["Location"]
        == "/ops/login?next=%2F"
    )


def holds_whole(client: Any, act: str = "pause") -> None:
    """Assert that each page is there under /ops, and that no address or cookie leads out."""
    shown = client.get("/ops/jobs")
    assert (shown.status_code, shown.headers["Location"]) == (303, "/ops/login?next=%2Fjobs")
    assert holds_page(client, "/ops/login?next=%2Fjobs")
    given = {"name": "ann", "password": PASSWORD, "next": "/jobs"}
    came = client.post("/ops/login", data=given)
    went = client.post("/ops/display", data={"theme": "dark", "next": "/jobs"})
    for each in (came, went):
        assert (each.status_code, each.headers["Location"]) == (303, "/ops/jobs")
        assert "Path=/ops" in each.headers["Set-Cookie"].split("; ")
    files = set[str]()
    for route in ROUTES:
        if route.is_safe and route.path not in NOT_HERE:
            files |= holds_page(client, "/ops" + PLACES.get(route.path, path_of(route)))
    assert {each.rpartition("/")[2] for each in files} == {"desk.css", "desk.js", "htmx.min.js"}
    assert {client.get(each).status_code for each in files} == {200}
    form = {"act": act, "name": "tick"}
    answer = client.post("/ops/confirm", data=form)
    token = re.search(r'name="token" value="([^"]*)"', answer.text)
    assert token is not None
    done = client.post("/ops/confirm", data=form | {"shown": "", "token": token[1]})
    assert (done.status_code, done.headers["Location"]) == (303, "/ops/job?name=tick")


def holds_page(client: Any, path: str) -> set[str]:
    """Assert that a page is there, with no address that leads out of /ops; return its files."""
    answer = client.get(path)
    assert answer.status_code < 400 or (path.startswith("/ops/api/") and answer.status_code == 400), path
    assert answer.headers.get("Location", "/ops/").startswith("/ops/")
    found = {unescape(each) for each in ADDRESSES.findall(answer.text)}
    assert [each for each in found if not each.startswith(("/ops/", "data:image/svg+xml"))] == []
    return {each for each in found if each.startswith("/ops/static/")}


@pytest.mark.parametrize(
    "said",
    [
        *(
            ["//evil.example"],
            ["javascript:alert(1)"],
            ["/a\r\nSet-Cookie: x=1"],
            ["/ops", "/other"],
            ["/../x"],
        ),
        *(
            ["ops"],
            ["https://evil.example/"],
            ["/a//b"],
            ["/a?b"],
            ["/%2fevil"],
            ["/ops, /other"],
            ["/\\evil"],
        ),
    ],
    ids=str,
)
def test_a_prefix_that_is_no_path_is_refused(said: list[str]) -> None:
    """From a proxy that is trusted; from others it is not even looked at."""
    inner = desk(NOWHERE, authorize=lambda _: Viewer("ann", ALL), trusted_proxies=["10.0.0.0/24"])
    refused = browser_at(proxied(inner, keeps=True, said=said)).get("/healthz")
    assert refused.status_code == 400
    assert "evil" not in str(refused.headers) + refused.text
    other = proxied(inner, keeps=True, said=said, peer="10.0.1.7")
    went = browser_at(other).post("/display", data={"theme": "dark", "next": "/jobs"})
    assert went.headers["Location"] == "/jobs"
    assert "Path=/;" in f"{went.headers['Set-Cookie']};"


def test_djangos_own_users_come_in(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the session of the site, who is staff; as the page's program says."""
    made: dict[str, Any] = {}
    shop(monkeypatch, tmp_path)
    import django  # noqa: PLC0415 - once there are settings

    django.setup()
    from django.contrib.auth import get_user_model  # noqa: PLC0415
    from django.core.management import call_command  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    exec(compile(of_docs("# Django, shop/ops.py"), "desk.md", "exec"), made)
    client = browser_at(desk(url, authorize=made["authorize"]))
    assert client.get("/jobs").status_code == 401
    for name, is_staff in (("ann", True), ("bob", False)):
        user = get_user_model().objects.create_user(name, password="x", is_staff=is_staff)
        session = made["SessionStore"]()
        session.update(
            {
                "_auth_user_id": str(user.pk),
                "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
                "_auth_user_hash": user.get_session_auth_hash(),
            }
        )
        session.save()
        client.cookies.set("sessionid", session.session_key)
        answer = client.get("/jobs")
        assert answer.status_code == (200 if is_staff else 401)
        assert ("<summary>ann</summary>" in answer.text) is is_staff


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not here: no real proxy is tried")
def test_nginx_has_the_whole_desk_under_a_path(project: Project, db: psycopg.Connection[Any]) -> None:
    """As the page configures it, and with the path stripped."""
    (project.folder / "desk.toml").write_text(ACCOUNT)
    (project.folder / "desk.toml").chmod(0o600)
    served = project.start(
        "ui", "--port=0", "--auth=file:desk.toml", "--trusted-proxy=127.0.0.1", "--allowed-host=shop.example"
    )
    served.wait_for_log("/\n")
    kept = of_docs("location /ops/").replace("http://127.0.0.1:8765", served.log.strip().rstrip("/"))
    stripped = kept.replace(";", "/;", 1)
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [each.getsockname()[1] for each in (free, other)]
    servers = [
        f"server {{ listen 127.0.0.1:{port}; {part} }}"
        for port, part in zip(ports, (kept, stripped), strict=True)
    ]
    (project.folder / "nginx.conf").write_text(
        "daemon off; pid nginx.pid; error_log stderr; events {} http { access_log off; "
        + " ".join(
            f"{each}_temp_path {each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + "\n".join(servers)
        + "}"
    )
    with subprocess.Popen(["nginx", "-p", str(project.folder), "-c", "nginx.conf", "-e", "stderr"]) as nginx:
        try:
            for port, act in zip(ports, ("pause", "resume"), strict=True):
                wait_until("nginx listens", lambda at=port: _listens(at))
                with httpx2.Client(
                    base_url=f"http://127.0.0.1:{port}", headers={**OWN, "Host": "shop.example"}
                ) as client:
                    holds_whole(client, act)
        finally:
            nginx.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as made:
        return made.connect_ex(("127.0.0.1", port)) == 0


def test_cookies_and_redirects_stay_under_the_prefix() -> None:
    """Of the session, and of how pages are to be; a Host or a header says nothing of where that is."""
    shown: list[str] = []
    entrance = OneTimeLink(Viewer("ann", ALL), shown.append)
    entrance.show()
    client = mounted(desk(NOWHERE, authorize=entrance), "/ops/desk")
    forged = {
        "X-Forwarded-Prefix": "//evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
    }
    came = client.get("/ops/desk/enter", params={"token": shown[0]}, headers=forged)
    went = client.post("/ops/desk/display", data={"theme": "dark", "next": "/jobs"}, headers=forged)
    assert (came.headers["Location"], went.headers["Location"]) == ("/ops/desk/", "/ops/desk/jobs")
    for answer in (came, went):
        assert "Path=/ops/desk" in answer.headers["Set-Cookie"]
    assert client.get("/ops/desk/healthz").json() == {"status": "ok"}


def test_the_desk_has_no_lifespan_of_its_own() -> None:
    """A host that does not pass it on mounts it all the same; one that does waits for nothing."""
    with TestClient(desk(NOWHERE, authorize=lambda _: None), base_url=BASE) as client:
        assert client.get("/healthz").status_code == 200
