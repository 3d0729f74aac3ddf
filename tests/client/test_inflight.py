"""`poller inflight`: what is leased, by which worker, since when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from poller import Client
from poller.client.refusals import NothingSelectedError
from tests.command_line import hold, known, objects

if TYPE_CHECKING:
    import psycopg

    from tests.command_line import InProcess


@pytest.fixture
def held(db: psycopg.Connection[Any]) -> list[int]:
    """Three leases of two handlers; their workers."""
    pending, paid = known(db, "public.tenants", "pending"), known(db, "shop.orders", "paid")
    return [hold(db, pending, "1", "2"), hold(db, paid, "9"), hold(db, pending, "3")]


def test_each_row_has_its_worker_and_its_time(
    here: InProcess, held: list[int], db: psycopg.Connection[Any]
) -> None:
    """The one that has been in flight for longest comes first."""
    db.execute("update poller.claim set claimed_at = now() - interval '5 m' where worker_id = %s", [held[2]])
    found = objects(here.run("inflight", "--json"))
    assert [(each["table"], each["status"], each["key"], each["worker"]) for each in found] == [
        ("public.tenants", "pending", "3", held[2]),
        ("public.tenants", "pending", "1", held[0]),
        ("public.tenants", "pending", "2", held[0]),
        ("shop.orders", "paid", "9", held[1]),
    ]
    assert found[0]["since"].endswith("+00:00")
    lines = here.run("inflight").stdout.splitlines()
    assert lines[0].split() == ["table", "status", "key", "worker", "since"]
    assert lines[1].endswith("5m ago")


@pytest.mark.parametrize(
    ("selector", "keys"),
    [("tenants", "123"), ("orders:paid", "9"), ("tenants:pending:2", "2"), ("tenants:7", "")],
)
def test_a_selector_chooses(url: str, held: list[int], selector: str, keys: str) -> None:
    """As for all other commands."""
    assert [each.key for each in Client(url).inflight(selector).items] == [*keys]


def test_they_come_page_by_page(url: str, held: list[int], db: psycopg.Connection[Any]) -> None:
    """Keys of one lease are told apart."""
    every = [each.key for each in Client(url).inflight().items]
    seen, after = [], None
    for _ in range(4):
        page = Client(url).inflight(limit=1, after=after)
        seen += [each.key for each in page.items]
        after = page.next
    assert (seen, after) == (every, None)


def test_nothing_in_flight_is_an_answer(here: InProcess, url: str, db: psycopg.Connection[Any]) -> None:
    """A table without a handler is none."""
    known(db, "public.tenants", "pending")
    assert here.run("inflight").stdout == "nothing is in flight\n"
    assert Client(url).inflight("tenants").items == ()
    with pytest.raises(NothingSelectedError):
        Client(url).inflight("nothing")
