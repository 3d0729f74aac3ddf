"""The ways in of a desk that is served alone: what lets whom in, how often, and what is kept of it."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from poller.errors import ConfigurationError
from poller.web import desk, passwords
from poller.web.entrances import LINK_LASTS, Header, OneTimeLink, accounts
from poller.web.proxies import networks
from poller.web.rights import ALL, USUAL, Right, Viewer
from poller.web.sessions import LASTS
from poller.web.tries import MOST, WITHIN
from tests.web.desks import BASE, OWN

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = "postgresql://127.0.0.1:1/nowhere"
ANN = Viewer("ann", USUAL)
PASSWORD, TOKEN = "correct horse", "t0ken-of-ci"
HASHED = passwords.hashed(PASSWORD)
FILE = f"""
[users.ann]
password = "{HASHED}"
rights = "look, values"

[tokens.ci]
sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
rights = "look, operate"
"""


class Clock:
    """A clock that stands, until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def client_of(entrance: Any, base: str = BASE, **options: Any) -> TestClient:
    """Return a browser on a desk's pages."""
    return TestClient(
        desk(NOWHERE, authorize=entrance), base_url=base, headers=OWN, follow_redirects=False, **options
    )


def is_in(client: TestClient, **headers: str) -> bool:
    """Tell whether a browser is known."""
    return client.post("/display", data={"next": "/"}, headers=headers).status_code == 303


# --- the link -----------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    """A clock for the test alone."""
    return Clock()


@pytest.fixture
def shown() -> list[str]:
    """The tokens of the links that the terminal has shown."""
    return []


@pytest.fixture
def link(clock: Clock, shown: list[str]) -> OneTimeLink:
    """A way in by a link, which has been shown."""
    made = OneTimeLink(ANN, shown.append, clock)
    made.show()
    return made


def test_the_link_lets_one_browser_in(link: OneTimeLink, shown: list[str]) -> None:
    """The address that is shown then has no token; the cookie is for this desk's pages alone, and no script's."""
    first, second = client_of(link), client_of(link)
    answer = first.get("/enter", params={"token": shown[0]})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={LASTS}"} <= {*cookie.split("; ")}
    assert shown[0] not in cookie
    assert is_in(first)
    assert second.get("/enter", params={"token": shown[0]}).status_code == 401
    assert not is_in(second)


def test_what_looks_at_links_beforehand_does_not_use_it_up(link: OneTimeLink, shown: list[str]) -> None:
    """A program that shows what a link leads to asks for its head."""
    client = client_of(link)
    assert client.head("/enter", params={"token": shown[0]}).status_code == 200
    assert not is_in(client)
    assert client.get("/enter", params={"token": shown[0]}).status_code == 303


def test_the_link_is_good_for_a_minute(link: OneTimeLink, shown: list[str], clock: Clock) -> None:
    """Then whoever comes has a new one shown in the terminal, and is not told it."""
    client = client_of(link)
    clock.now += LINK_LASTS
    answer = client.get("/enter", params={"token": shown[0]})
    assert answer.status_code == 401
    assert len(shown) == 2
    assert shown[1] not in answer.text
    assert client.get("/enter", params={"token": shown[1]}).status_code == 303


def test_strangers_cannot_have_links_shown_without_end(link: OneTimeLink, shown: list[str]) -> None:
    """There is one that is good, and it is not replaced."""
    client = client_of(link)
    for _ in range(5):
        assert client.get("/enter", params={"token": "guessed"}).status_code == 401
        assert not is_in(client)
    assert len(shown) == 1


@pytest.mark.parametrize("given", ["", "x", "\ud800", "é" * 50])
def test_no_other_token_lets_in(link: OneTimeLink, given: str) -> None:
    """Nor an empty one, before any link was shown."""
    assert link.redeem(given) is None
    assert OneTimeLink(ANN, print).redeem(given) is None


def test_a_session_ends_after_twelve_hours(link: OneTimeLink, shown: list[str], clock: Clock) -> None:
    """Or when it is left; the cookie is worth nothing then, whoever has kept it."""
    client = client_of(link)
    client.get("/enter", params={"token": shown[0]})
    kept = dict(client.cookies)
    clock.now += LASTS
    assert is_in(client)
    assert client.post("/logout").status_code == 303
    client.cookies.update(kept)
    assert not is_in(client)
    link.show()
    client.get("/enter", params={"token": shown[-1]})
    assert is_in(client)
    clock.now += LASTS + 1
    assert not is_in(client)


def test_over_https_the_cookie_stays_there(link: OneTimeLink, shown: list[str]) -> None:
    """And where the desk is mounted, it is for that path."""
    client = client_of(link, "https://localhost", root_path="/desk")
    answer = client.get("/desk/enter", params={"token": shown[0]})
    assert answer.headers["Location"] == "/desk/"
    assert {"Secure", "Path=/desk"} <= {*answer.headers["Set-Cookie"].split("; ")}


# --- the file -----------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of accounts that only its owner can read."""
    path = tmp_path / "desk.toml"
    path.write_text(FILE)
    path.chmod(0o600)
    return path


def test_a_name_and_a_password_let_in(file: Path) -> None:
    """Whoever is not known is asked for them, and led to where they wanted to go."""
    client = client_of(accounts(file))
    asked = client.get("/rows", params={"table": "a&b"})
    assert (asked.status_code, asked.headers["Location"]) == (303, "/login?next=%2Frows%3Ftable%3Da%2526b")
    assert client.get("/", headers={"HX-Request": "true"}).status_code == 401, "no form within a live page"
    form = client.get("/login", params={"next": "/jobs"})
    assert 'name="next" value="/jobs"' in form.text
    answer = client.post("/login", data={"name": "ann", "password": PASSWORD, "next": "/jobs"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/jobs")
    assert is_in(client)


def test_whose_session_is_over_is_told_that_nothing_was_done(file: Path) -> None:
    """With the form to come in again, whatever was sent; not as if a password had been wrong."""
    answer = client_of(accounts(file)).post("/confirm", data={"act": "pause", "name": "tick"})
    assert answer.status_code == 401
    assert "nothing was done" in answer.text
    assert 'action="/login"' in answer.text
    assert "not known here" not in answer.text


@pytest.mark.parametrize(
    ("name", "password"), [("ann", "wrong"), ("bob", PASSWORD), ("", ""), ("ann", "x" * 2000)]
)
def test_no_others_do(file: Path, name: str, password: str) -> None:
    """The page does not tell which of the two is wrong."""
    client = client_of(accounts(file))
    answer = client.post("/login", data={"name": name, "password": password})
    assert answer.status_code == 401
    assert "name and password are not known" in answer.text
    assert not is_in(client)


def test_after_five_tries_an_address_waits_a_minute(file: Path, clock: Clock) -> None:
    """Even with the right password; who has logged in meanwhile goes on, and so does a right password before."""
    made = accounts(file)
    made.tries._clock = clock
    inside, guessing = client_of(made), client_of(made)
    for _ in range(MOST + 2):  # these are no guesses
        assert inside.post("/login", data={"name": "ann", "password": PASSWORD}).status_code == 303
    for _ in range(MOST):
        assert guessing.post("/login", data={"name": "ann", "password": "x"}).status_code == 401
    forged = {"X-Forwarded-For": "192.0.2.1"}
    assert (
        guessing.post("/login", data={"name": "ann", "password": PASSWORD}, headers=forged).status_code == 401
    )
    assert is_in(inside)
    clock.now += WITHIN + 1
    assert guessing.post("/login", data={"name": "ann", "password": PASSWORD}).status_code == 303


def test_right_passwords_at_the_same_time_are_no_guesses(file: Path) -> None:
    """However many there are."""
    made = accounts(file)
    with ThreadPoolExecutor(MOST + 3) as pool:
        found = list(pool.map(lambda _: made.login("ann", PASSWORD, "192.0.2.1"), range(MOST + 3)))
    assert None not in found


def test_a_browser_that_speaks_tls_to_a_proxy_gets_a_cookie_for_tls(file: Path) -> None:
    """Whatever the proxy speaks to the desk."""
    client = client_of(accounts(file))
    given = {"name": "ann", "password": PASSWORD}
    plain = client.post("/login", data=given)
    assert "Secure" not in plain.headers["Set-Cookie"]
    secure = client.post("/login", data=given, headers={"Origin": "https://localhost"})
    assert "Secure" in secure.headers["Set-Cookie"]


def test_programs_come_in_by_a_token_and_people_by_curl(file: Path) -> None:
    """A bearer token, or basic authentication, with the rights that the file gives them."""
    entrance = accounts(file)
    client = client_of(entrance)
    basic = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
    assert is_in(client, authorization=f"Bearer {TOKEN}")
    assert is_in(client, authorization=f"Basic {basic}")
    assert not is_in(client, authorization="Bearer x")
    assert not is_in(client, authorization="Basic !!")
    assert not is_in(client, authorization="Digest x")
    assert entrance.tokens[0].viewer == Viewer("ci", Right.LOOK | Right.OPERATE)


def test_a_file_that_others_can_read_is_refused(file: Path) -> None:
    """It has what is needed to guess passwords."""
    file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="can be read by others; run: chmod 600"):
        accounts(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "neither users nor tokens"),
        ("[users", "does not list"),
        ("[user.ann]\nx = 1", "unknown field `user`"),
        ('[users.ann]\npassword = "hunter2"\nrights = "look"', "does not list"),
        (f'[users.ann]\npassword = "{HASHED}"', "missing required field `rights`"),
        (f'[users.ann]\npassword = "{HASHED}"\nrights = "root"', "no right 'root'"),
        (
            f'[users.ann]\npassword = "{HASHED.replace("$16384$", "$16383$")}"\nrights = "look"',
            "cannot be checked",
        ),
        (f'[users.ann]\npassword = "{HASHED.replace("=", "a")}"\nrights = "look"', "cannot be checked"),
        ('[tokens.ci]\nsha256 = "hunter2"\nrights = "look"', "does not list"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(file: Path, text: str, said: str) -> None:
    """With what is wrong, and never what stands in it."""
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=said) as caught:
        accounts(file)
    assert "hunter2" not in str(caught.value)
    assert HASHED not in str(caught.value)


def test_passwords_are_compared_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a time that does not tell how much is right; each hash has a salt of its own."""
    compared: list[int] = []
    plain = passwords.hmac.compare_digest
    monkeypatch.setattr(passwords.hmac, "compare_digest", lambda *two: (compared.append(1), plain(*two))[1])
    assert passwords.is_right(PASSWORD, HASHED)
    assert not passwords.is_right("", HASHED)
    assert not passwords.is_right(PASSWORD, "no hash")
    assert len(compared) == 2
    assert passwords.hashed(PASSWORD) != HASHED


# --- the header ---------------------------------------------------------------------------------------

PROXY = ("10.0.0.7", 4711)


def behind(peer: tuple[str, int] = PROXY) -> TestClient:
    """Return what asks a desk behind a proxy, from an address."""
    return client_of(Header("X-Forwarded-User", networks(["10.0.0.0/24"]), ALL), client=peer)


@pytest.mark.parametrize("peer", ["10.0.0.7", "::ffff:10.0.0.7"])
def test_a_trusted_proxy_says_who_asks(peer: str) -> None:
    """By the header that was named, whatever its case."""
    assert is_in(behind((peer, 1)), **{"x-forwarded-user": "ann"})


@pytest.mark.parametrize("peer", ["10.0.1.7", "127.0.0.1", "testclient", "::1"])
def test_nobody_else_does(peer: str) -> None:
    """403, whatever their headers say, also of other proxies."""
    headers = {"X-Forwarded-User": "ann", "X-Forwarded-For": "10.0.0.7", "Forwarded": "for=10.0.0.7"}
    assert behind((peer, 1)).post("/display", data={"next": "/"}, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("X-Forwarded-User", "")],
        [("X-Forwarded-User", " ")],
        [("X-Forwarded-User", "ann"), ("X-Forwarded-User", "root")],
        [("X_Forwarded_User", "ann")],
        [("X-Forwarded-User", "ann\x85root")],
        [("X-Forwarded-User", "x" * 2000)],
    ],
)
def test_a_proxy_that_does_not_say_one_name_lets_nobody_in(headers: list[tuple[str, str]]) -> None:
    """Missing, empty, several, under a name that is almost the same, or no name."""
    client = behind()
    request = client.build_request(
        "POST",
        "/display",
        data={"next": "/"},
        headers=[*OWN.items(), *((n, v.encode("latin-1")) for n, v in headers)],
    )
    assert client.send(request).status_code == 401


def test_networks_are_read_as_they_are_written() -> None:
    """Addresses and networks."""
    assert len(networks(["10.0.0.0/8", "::1"])) == 2
    with pytest.raises(ConfigurationError, match="trusted proxy"):
        networks(["proxy.example"])
