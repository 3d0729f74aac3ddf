"""A table with two status columns is two state machines: a move in one ends nothing that is known of the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from poller import handler
from poller.client import status as overview
from poller.db.connection import Link
from poller.model.outcome import Became, Outcome
from poller.ready_made.retention import age_out
from poller.services.sweeper import Sweeper
from poller.store.binding import bind
from poller.store.liveness import register_handlers
from poller.testing import Engine
from tests.engines import WAYS, column, do_nothing, fail, moves, settling
from tests.harness import wait_until
from tests.maintained import beside, run
from tests.times import one_in

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from poller.store.binding import Binding
    from tests.claiming import NewWorker
    from tests.harness import Project

PARKED = Outcome(Became.PARKED, attempt=1, error="no")
KNOWN = "select h.status_column, h.status from poller.attempt a join poller.handler h on h.id = a.handler_id"


@pytest.fixture
def orders(db: psycopg.Connection[Any]) -> None:
    """A table of one order, which is packed and whose payment fails."""
    db.execute(
        "create table orders"
        " (id int primary key, status text not null, payment text, at timestamptz default '2000-01-01')"
    )
    db.execute("insert into orders values (1, 'new', 'packed')")


HERE: dict[str, tuple[Any, dict[str, Any]]] = {
    **WAYS,
    "during": (do_nothing, {"during": "packing"}),
    "on_failure": (fail, {"to": "sent", "on_failure": "packed", "attempts": 1}),
}


def _of_payment(function: Callable[..., Any]) -> Any:
    return moves("orders", function, column="payment", status="packed", to="paid")


def _bound(db: psycopg.Connection[Any], **options: Any) -> Binding:
    return bind(db, handler("orders", **options)(do_nothing))


def _park_payment(db: psycopg.Connection[Any], join: NewWorker) -> Binding:
    """Have the handler of `payment` park row 1 at the status `packed`."""
    payment = _bound(db, column="payment", status="packed", to="paid")
    worker = join(payment)
    assert worker.settle(worker.claim(), PARKED) == 1
    return payment


# --- moves ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("settled_by", "orders")
@pytest.mark.parametrize("way", one_in(3, HERE))
def test_g11_a_move_in_one_column_ends_nothing_that_is_known_of_another(
    url: str, db: psycopg.Connection[Any], join: NewWorker, way: str
) -> None:
    """In every way that a move is written: the payment's handler has parked the row at a status of the same name."""
    function, options = HERE[way]
    packing = moves(
        "orders", function or settling(url, "packed"), **{"status": "new", "to": "packed", **options}
    )
    _park_payment(db, join)
    with Engine(url, packing, _of_payment(do_nothing)) as engine:
        done = engine.run_due()
    assert [each.became for each in done] == ["failed" if way == "on_failure" else "moved"]
    assert column(db, "select status from orders") == ["packed"]
    assert db.execute(KNOWN).fetchall() == [("payment", "packed")]


@pytest.mark.usefixtures("orders")
def test_g11_nor_does_the_move_of_a_row_whose_worker_died(
    url: str, db: psycopg.Connection[Any], join: NewWorker
) -> None:
    """To its on_failure."""
    _park_payment(db, join)
    packing = _bound(db, status="new", to="sent", on_failure="packed", attempts=1)
    worker = join(packing)
    assert len(worker.claim()) == 1
    db.execute("update poller.worker set died_at = now() where id = %s", [worker.id])
    link = Link(url, "test")
    assert Sweeper(link, [packing]).sweep() == 1
    link.close()
    assert column(db, "select status from orders") == ["packed"]
    assert db.execute(KNOWN).fetchall() == [("payment", "packed")]


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize(
    ("ages", "left"), [("status", [("payment", "packed")]), ("payment", [("status", "new")])]
)
def test_g11_a_job_that_moves_rows_ends_what_is_known_of_its_own_column(
    url: str, db: psycopg.Connection[Any], join: NewWorker, ages: str, left: list[tuple[str, str]]
) -> None:
    """Of both statuses: each of the columns has a handler that has parked the row, and one of the other's statuses."""
    _park_payment(db, join)
    worker = join(_bound(db, status="new", to="sent"))
    assert worker.settle(worker.claim(), PARKED) == 1
    status, to = ("new", "packed") if ages == "status" else ("packed", "new")
    ageing = age_out(
        "orders", column="at", older_than="1d", status_column=ages, status=status, to=to, pause="0s"
    )
    assert run(ageing, url).rows == 1
    assert db.execute(KNOWN).fetchall() == left


# --- who is who -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("orders")
def test_g11_programs_that_give_one_status_to_two_columns_do_not_share_a_handler(
    db: psycopg.Connection[Any], join: NewWorker
) -> None:
    """One package may not, since commands name handlers by table and status; two packages do not know of each other."""
    db.execute("update orders set status = 'packed'")
    payment = _park_payment(db, join)
    packed = _bound(db, status="packed", to="sent")
    worker = join(packed)
    assert packed.id != payment.id
    assert [task.attempt for task in worker.claim()] == [1], "it is parked for the payment's handler alone"
    numbered = overview.numbered(
        db, [_bound(db, status="packed", to="sent"), _bound(db, column="payment", status="packed", to="paid")]
    )
    assert [each.id for each in numbered] == [packed.id, payment.id]

    """One after the other or at once; each column's history and wait are its own."""


@pytest.mark.usefixtures("orders")
def test_a_status_column_that_is_renamed_takes_along_what_is_known(
    db: psycopg.Connection[Any], join: NewWorker
) -> None:
    """The handler that names the new one is the same handler: what is in flight or parked stays so."""
    payment = _park_payment(db, join)
    db.execute("alter table orders rename payment to paid_state")
    renamed = _bound(db, column="paid_state", status="packed", to="paid")
    assert join(renamed).claim() == []
    assert renamed.id == payment.id
    assert db.execute(KNOWN).fetchall() == [("paid_state", "packed")]


@pytest.mark.usefixtures("orders")
def test_two_programs_that_name_a_renamed_column_at_once_have_one_handler(
    url: str, db: psycopg.Connection[Any], join: NewWorker
) -> None:
    """The second waits for the first, and finds it done."""
    payment = _park_payment(db, join)
    db.execute("alter table orders rename payment to paid_state")
    first, second = (_bound(db, column="paid_state", status="packed", to="paid") for _ in range(2))
    link = Link(url, "first")
    link.connection.autocommit = False
    register_handlers(link.connection, [first])
    with beside(lambda: join(second)) as joined:
        waits = "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
        wait_until("the second one waits", lambda: db.execute(waits).fetchone())
        link.connection.commit()
        joined()
    link.close()
    assert payment.id == first.id == second.id


@pytest.mark.usefixtures("orders")
def test_a_handler_that_is_given_another_column_of_the_table_is_another_handler(
    db: psycopg.Connection[Any], join: NewWorker
) -> None:
    """The old column is there still, and so is what was known of it."""
    db.execute("update orders set status = 'packed'")
    payment = _park_payment(db, join)
    other = join(_bound(db, status="packed", to="sent"))
    assert len(other.claim()) == 1
    assert other.binding.id != payment.id
    assert db.execute(KNOWN).fetchall() == [("payment", "packed")]


@pytest.mark.usefixtures("orders")
def test_a_during_may_be_called_as_a_status_of_another_column(url: str) -> None:
    """Only a handler of its own column would take the row away."""
    packing = moves("orders", status="new", to="sent", during="packed")
    with Engine(url, packing, _of_payment(do_nothing)) as engine:
        done = engine.run_due()
    assert sorted((each.status, each.to) for each in done) == [("new", "sent"), ("packed", "paid")]


@pytest.mark.usefixtures("orders")
def test_release_gives_a_row_its_status_back_in_the_column_of_its_lease(
    project: Project, db: psycopg.Connection[Any], join: NewWorker
) -> None:
    """Another program holds it, by a column of its own: this one's `during` is not what was written."""
    db.execute("update orders set status = 'packing', payment = 'new'")
    project.handlers(
        """
@handler("orders", status="new", to="sent", during="packing")
def pack(row): ...
"""
    )
    assert len(join(_bound(db, column="payment", status="new", to="paid")).claim()) == 1
    said = project.run("release", "orders:new")
    assert said.returncode == 0, said.stderr
    assert said.stderr == "", "what holds it was registered, and has no during"
    assert db.execute("select status, payment from orders").fetchall() == [("packing", "new")]


@pytest.mark.usefixtures("orders")
def test_a_selector_means_the_handlers_of_its_status_whatever_their_columns(
    project: Project, db: psycopg.Connection[Any], join: NewWorker
) -> None:
    """`TABLE:STATUS` has no place for a column: an order to try a row again is given to both."""
    db.execute("update orders set status = 'packed'")
    _park_payment(db, join)
    worker = join(_bound(db, status="packed", to="sent"))
    assert worker.settle(worker.claim(), PARKED) == 1
    assert project.run("failures", "orders:packed", "--json").stdout.count('"parked": true') == 2
    assert project.run("retry", "orders:packed:1").returncode == 0
    assert column(db, "select state from poller.attempt") == ["waiting", "waiting"]
