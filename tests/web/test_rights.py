"""Each route is allowed by its line in the table, and by nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from poller.errors import ConfigurationError
from poller.web import desk
from poller.web.answers import PROBLEM
from poller.web.rights import ALL, NONE, Right, Viewer, names, rights_of
from poller.web.route import API
from poller.web.routes import ROUTES
from tests.web.desks import BASE, OWN, SETS, browser, named, path_of

if TYPE_CHECKING:
    from starlette.requests import Request

REFUSED = (401, 403)


@pytest.mark.parametrize("rights", SETS, ids=lambda rights: "+".join(names(rights)) or "none")
def test_a_route_needs_exactly_its_right(url: str, rights: Right) -> None:
    """Each route with each set of rights: refused if its right is not among them, and never else."""
    client = browser(url, rights)
    for route in ROUTES:
        answer = client.request(route.method, path_of(route))
        is_allowed = route.right is None or route.right in rights
        is_as_it_is = (answer.status_code in REFUSED) is not is_allowed
        assert is_as_it_is or (route.path, answer.status_code) == ("/enter", 404), named(route)


def test_whom_nobody_knows_gets_nothing(url: str) -> None:
    """401, and no page; a program gets a problem, and is not led anywhere."""
    client = TestClient(desk(url, authorize=lambda _: None), base_url=BASE, headers=OWN)
    for route in ROUTES:
        if route.right is not None:
            answer = client.request(route.method, path_of(route), follow_redirects=False)
            assert answer.status_code == 401, named(route)
            if route.path.startswith(API):
                assert answer.headers["content-type"] == PROBLEM
                assert answer.headers["www-authenticate"] == "Bearer"


def test_what_changes_something_needs_more_than_to_look() -> None:
    """But for how pages look, which is kept in the browser."""
    own = {"/display", "/login", "/logout"}
    for each in ROUTES:
        if not each.is_safe and each.path not in own:
            assert each.right is not None, named(each)
            assert Right.OPERATE in each.right or Right.MOVE in each.right, named(each)


def test_only_probes_files_and_the_ways_in_are_open() -> None:
    """A route without a right is a decision, and stands here."""
    opened = {each.path for each in ROUTES if each.right is None}
    assert opened == {"/healthz", "/readyz", "/static/{digest}/{name}", "/enter", "/login", "/logout"}


def test_no_two_lines_are_for_one_route() -> None:
    """The second would never be asked."""
    lines = [(each.method, each.path) for each in ROUTES]
    assert len(set(lines)) == len(lines)
    assert {method for method, _ in lines} <= {"GET", "POST"}


def test_authorize_may_be_whatever_returns_a_coroutine(url: str) -> None:
    """As a host that is asynchronous has it; and it gets the request."""

    async def authorize(request: Request) -> Viewer | None:
        return Viewer("ann", ALL) if request.headers.get("x-who") == "ann" else None

    class Authorize:
        async def __call__(self, request: Request) -> Viewer | None:
            return await authorize(request)

    for each in (authorize, Authorize()):
        client = TestClient(desk(url, authorize=each), base_url=BASE, headers=OWN, follow_redirects=False)
        assert client.post("/display", data={"next": "/"}).status_code == 401
        assert client.post("/display", data={"next": "/"}, headers={"X-Who": "ann"}).status_code == 303


def test_authorize_may_refuse_as_its_host_does(url: str) -> None:
    """By raising: a status and words of its own, or a redirect to its login, for which an open page loads anew."""
    raised = HTTPException(403, "not staff")

    def authorize(_: Request) -> Viewer | None:
        raise raised

    client = TestClient(desk(url, authorize=authorize), base_url=BASE, headers=OWN, follow_redirects=False)
    assert client.get("/").status_code == 403
    assert client.get("/api/v1/status").json()["detail"] == "not staff"
    raised = HTTPException(303, headers={"Location": "/accounts/login"})
    assert client.get("/").headers["Location"] == "/accounts/login"
    assert client.get("/", headers={"HX-Request": "true"}).status_code == 401


def test_there_is_no_desk_without_authorize(url: str) -> None:
    """None is open by omission."""
    with pytest.raises(TypeError, match="authorize"):
        desk(url)  # type: ignore[call-arg]


def test_rights_are_read_from_their_names() -> None:
    """And one that is misspelt is refused."""
    assert rights_of("look,values , operate,move") == ALL
    assert rights_of("") == NONE
    with pytest.raises(ConfigurationError, match="no right 'admin'"):
        rights_of("look,admin")
