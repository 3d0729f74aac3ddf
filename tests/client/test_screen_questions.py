"""The questions of the live screen: what the whole fleet does, its limits, and what a word means."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from poller import Client, fixed_rate
from poller.client.find import Found
from poller.errors import PollerError
from poller.testing import Engine
from tests.client.watching import BOUND, watched
from tests.command_line import hold, known, make_tenants, trouble, value
from tests.engines import moves

LIMITED = moves("tenants", limit=3, rate="10/1m", per_key="tenant_no", per_key_limit=2)


@fixed_rate("1h")
def tick() -> None:
    """Do nothing."""


def test_totals_add_up_what_handlers_and_workers_do(url: str, db: psycopg.Connection[Any]) -> None:
    """Runs of jobs and workers that are dead count for nothing."""
    one, other = known(db, "public.tenants", "pending"), known(db, "shop.orders", "paid")
    trouble(db, one, "1", "parked")
    trouble(db, other, "1", "waiting")
    trouble(db, other, "2", "snoozed")
    hold(db, one, "3", "4")
    dead = hold(db, known(db, "poller.run", "tick"), "5")
    db.execute("update poller.worker set died_at = now() where id = %s", [dead])
    db.execute(
        "insert into poller.tally (handler_id, worker_id, minute, moved, failed)"
        " values (%s, %s, date_trunc('minute', poller.now()), 7, 2)",
        [one, dead],
    )
    found = Client(url).totals()
    assert (found.workers, found.slots, found.in_flight) == (1, 8, 2)
    assert (found.waiting, found.parked) == (2, 1)
    assert (found.done_per_minute, found.failed_per_minute) == (7, 2)
    assert found.as_of.tzinfo is not None


def test_limits_are_told_with_what_the_fleet_has_used_of_them(url: str, db: psycopg.Connection[Any]) -> None:
    """As the handlers were registered; those without any are left out."""
    make_tenants(db, *["pending"] * 4)
    db.execute("alter table tenants add tenant_no int default 1")
    with Engine(url, LIMITED, moves("tenants", status="closing", to="closed")) as engine:
        engine.run_due()
    number = value(db, "select id from poller.handler where status = 'pending'")
    hold(db, number, "9")
    [line] = Client(url).limits().items
    assert (line.table, line.status, line.limit, line.in_flight) == ("public.tenants", "pending", 3, 1)
    assert (line.per_key, line.per_key_limit) == (["tenant_no"], 2)
    assert (line.rate, line.window, line.begun) == (10, 60, 4)
    assert line.next_in is not None
    assert 0 < line.next_in < 62
    db.execute("delete from poller.start")
    [line] = Client(url).limits().items
    assert (line.begun, line.next_in) == (0, None)


def test_a_definition_of_an_older_version_has_no_limits(url: str, db: psycopg.Connection[Any]) -> None:
    """It was not written down then."""
    known(db, "public.tenants", "pending")
    assert Client(url).limits().items == ()


def test_a_word_is_found_in_names_and_keys(url: str, db: psycopg.Connection[Any]) -> None:
    """In each table that has handlers, by its own kind of key."""
    make_tenants(db, "pending", "normal")
    db.execute("create table parcel (site int, name text, status text, primary key (site, name))")
    db.execute("""insert into parcel values (1, 'a:b', 'pending'), (2, '1', 'pending')""")
    first, second = moves("tenants"), moves("parcel")
    with Engine(url, tick) as engine:
        engine.advance("1h")
        engine.run_due()
    client = Client(url, [first, second])

    def found(word: str) -> list[Found]:
        return list(client.find(word).items)

    run = Found("run", job="tick", run=2)
    assert found("2") == [run, Found("row", "public.tenants", "normal", "2")]
    assert found("1") == [
        Found("run", job="tick", run=1),
        Found("row", "public.tenants", "pending", "1"),
    ]
    assert found("tenants:1") == [Found("row", "public.tenants", "pending", "1")]
    assert found('[1,"a:b"]') == [Found("row", "public.parcel", "pending", '[1, "a:b"]')]
    assert found("tick") == [Found("job", job="tick")]
    handler = Found("handler", "public.tenants", "pending")
    assert found("tenants") == found("public.tenants:pending") == [handler]
    for word in ("nothing", "", "9" * 40, "a\0b", "tenants:", ":", "'; drop table tenants", "[1"):
        assert found(word) in ([], [handler]), word
    assert value(db, "select count(*) from tenants") == 2


def test_g11_a_table_that_is_locked_hides_no_other_from_a_search(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """What it holds is missing, and that is told; the rest is there."""
    make_tenants(db, "pending")
    db.execute("create table parcel (id int primary key, status text)")
    db.execute("insert into parcel values (1, 'pending')")
    client = Client(url, [moves("tenants"), moves("parcel")], hurried=True)
    with db.transaction():
        db.execute("lock table tenants in access exclusive mode")
        found = client.find("1")
        assert list(found.items) == [Found("row", "public.parcel", "pending", "1")]
        assert client.nearest("2").faults == found.faults
    assert found.faults == ("public.tenants is left out: another session has its table locked",)
    assert client.find("no key of theirs").faults == ()
    db.execute("drop table parcel")
    found = client.find("1")
    assert [each.table for each in found.items] == ["public.tenants"]
    [fault] = found.faults
    assert fault.startswith("parcel is left out: it is gone")


@pytest.mark.parametrize("word", ["19999", "thing", "nothing"])
def test_g12_nothing_of_it_goes_through_a_large_table(
    url: str, db: psycopg.Connection[Any], word: str
) -> None:
    """A word is looked for by primary keys; sums and limits come from poller's own tables."""
    db.execute("create table thing (id bigint primary key, status text not null)")
    db.execute("insert into thing select i, 'pending' from generate_series(1, 20000) as i")
    db.execute("analyze thing")
    client = Client(url, [moves("thing")])
    with watched() as watch:
        client.find(word)
        client.nearest(word)
        client.totals()
        client.limits()
    assert watch.most[0] <= BOUND, watch.most


def test_a_search_asks_each_table_once_however_many_handlers_it_has(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Whether they fit it is not asked, nor where a word cannot be a key; the caller's transaction is left whole."""
    make_tenants(db, "pending")
    db.execute("create table parcel (id uuid primary key, status text)")
    work = [
        moves(name, status=f"s{at}", to="normal") for name in ("tenants", "parcel", "gone") for at in range(5)
    ]
    with watched() as watch:
        [row] = Client(url, work).find("1").items
    assert row == Found("row", "public.tenants", "pending", "1")
    texts = [text for _, text in watch.seen]
    assert len([each for each in texts if '"public"."tenants"' in each]) == 1
    assert not [each for each in texts if '"public"."parcel"' in each]
    assert len(texts) < 20, texts  # those that set the session up included
    with psycopg.connect(url) as own:
        own.execute("create temporary table kept (id int)")
        assert list(Client(own, work).find("1").items) == [row]
        assert list(Client(own, work).find("f" * 32).items) == []
        own.execute("select from kept")


def test_questions_that_are_asked_together_describe_a_table_once(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """For as long as the block lasts, and no longer; an order describes it for itself."""
    make_tenants(db, "pending")
    with Engine(url, moves("tenants")):
        pass
    client = Client(url, hurried=True)
    with watched() as watch, client.together() as asked:
        assert asked.row("tenants", "1").statuses == {"status": "pending"}
        with pytest.raises(PollerError):
            asked.history("tenants", "1")
        asked.explain("tenants:pending", "1")
    assert len([text for _, text in watch.seen if "relrowsecurity" in text]) == 1
    db.execute("alter table tenants add later text")
    with client.together() as asked:
        assert [each.name for each in asked.row("tenants", "1").columns][-1] == "later"


def test_registered_handlers_are_those_that_fit_their_tables(url: str, db: psycopg.Connection[Any]) -> None:
    """They count as their code would, but for its `where`; they cannot be called."""
    make_tenants(db, *["pending"] * 3)
    with Engine(url, moves("tenants", where="id > 1")):
        pass
    known(db, "public.gone", "pending")
    [handler] = Client(url).registered()
    assert (str(handler.table), handler.status, handler.to) == ("public.tenants", "pending", ("normal",))
    [line] = Client(url, [handler]).handlers().items
    assert (line.due, line.to) == (3, ["normal"])
    with pytest.raises(NotImplementedError):
        handler(None)
