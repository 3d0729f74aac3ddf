"""`poller move`: a person's change of status, compare-and-set, a thousand rows at a time, written down."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import Client, Fail, handler
from poller.client import moves
from poller.client.refusals import NothingSelectedError
from poller.db.statements import array
from poller.errors import ConfigurationError
from poller.store.binding import bind
from poller.testing import Engine
from tests.command_line import objects, the_line, value
from tests.harness import wait_until
from tests.store.test_plans import Explaining

if TYPE_CHECKING:
    from tests.claiming import NewWorker
    from tests.command_line import InProcess
    from tests.harness import Project


AS_ENUM = """
create type state as enum ('pending', 'normal', 'odd', 'stuck');
alter table thing alter status drop default, alter status type state using status::state
"""


def _work(row: Any) -> None: ...


def _fails(row: Any) -> None:
    raise Fail("broken")


@pytest.fixture(autouse=True)
def thing(url: str, db: psycopg.Connection[Any]) -> None:
    """A table whose handler is known."""
    db.execute("create table thing (id int primary key, status text not null default 'pending')")
    with Engine(url, handler("thing", status="pending", to=("normal", "odd"), on_failure="stuck")(_work)):
        pass


def rows(db: psycopg.Connection[Any], count: int, status: str = "pending") -> None:
    """Enter rows of a status."""
    db.execute(
        "insert into thing select coalesce((select max(id) from thing), 0) + i, %s from generate_series(1, %s) as i",
        [status, count],
    )


def statuses(db: psycopg.Connection[Any]) -> dict[str, int]:
    """Return how many rows have which status."""
    return dict(db.execute("select status, count(*) from thing group by 1").fetchall())


def test_the_rows_of_a_status_are_moved_and_no_others(url: str, db: psycopg.Connection[Any]) -> None:
    """Also of a status that no handler takes: rows that went to `on_failure` are put back so."""
    rows(db, 30, "stuck")
    rows(db, 5, "normal")
    done = Client(url).move("thing:stuck", "pending")
    assert (done.table, done.status, done.rows, done.locked) == ("public.thing", "pending", 30, 0)
    assert statuses(db) == {"pending": 30, "normal": 5}


def test_rows_are_moved_by_their_keys(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """With their status or without; further keys stand at the end."""
    rows(db, 5)
    assert here.run("move", "thing:pending:1", "odd").stdout == "moved 1 row of public.thing to odd\n"
    assert here.run("move", "thing:2", "odd").returncode == 0
    assert here.run("move", "thing", "odd", "3", "4").stdout == "moved 2 rows of public.thing to odd\n"
    assert statuses(db) == {"pending": 1, "odd": 4}
    assert "no row of thing:pending:1 shows 'pending'" in the_line(
        here.run("move", "thing:pending:1", "normal"), 1
    )


def test_it_is_compared_and_set(url: str, db: psycopg.Connection[Any]) -> None:
    """What somebody else changes meanwhile is left as it is: here between the choice and the lock."""
    rows(db, 3)
    with psycopg.connect(url) as person:
        person.execute("update thing set status = 'normal' where id = 2")
        moving = threading.Thread(target=lambda: Client(url).move("thing:pending", "odd"))
        moving.start()
        wait_until("the others are moved", lambda: statuses(db) == {"pending": 1, "odd": 2})
        person.commit()
        moving.join()
    assert statuses(db) == {"normal": 1, "odd": 2}


def test_what_another_transaction_has_locked_is_left_and_told(
    here: InProcess, url: str, db: psycopg.Connection[Any]
) -> None:
    """It is not waited for beyond a moment."""
    rows(db, 3)
    with psycopg.connect(url) as person:
        person.execute("select from thing where id = 2 for update")
        ended = here.run("move", "thing:pending", "odd")
        assert ended.stdout == (
            "moved 2 rows of public.thing to odd; 1 row left, since another transaction has them locked\n"
        )
        assert "another transaction has the rows of thing:pending locked" in the_line(
            here.run("move", "thing:pending", "odd"), 1
        )
        assert here.run("move", "thing:2", "odd").returncode == 1
    assert statuses(db) == {"pending": 1, "odd": 2}


def test_g4_what_is_in_flight_ends_superseded(join: NewWorker, url: str, db: psycopg.Connection[Any]) -> None:
    """With `during` or without: the row is moved under its handler, whose outcome changes nothing."""
    for during in (None, "busy"):
        db.execute("truncate thing, poller.event")
        rows(db, 2)
        one = handler("thing", status="pending", to="normal", during=during)(_work)
        worker = join(bind(db, one))
        tasks = worker.claim()
        assert Client(url).move("thing:pending:1", "odd").rows == 1
        worker.settle(tasks)
        assert statuses(db) == {"odd": 1, "normal": 1}
        verdicts = db.execute("select verdict from poller.history where key = '1' order by at").fetchall()
        assert verdicts == [("moved by hand",), ("superseded",)]
        assert value(db, "select count(*) from poller.claim") == 0


def test_its_attempts_are_forgotten(url: str, db: psycopg.Connection[Any]) -> None:
    """It is a new visit: also of a status whose handler had parked the row before."""
    rows(db, 2)
    one = handler("thing", status="pending", to="normal")(_fails)
    with Engine(url, one) as engine:
        engine.run_due()
        assert value(db, "select count(*) from poller.attempt where state = 'parked'") == 2
        Client(url).move("thing:pending:1", "odd")
        assert db.execute("select key from poller.attempt").fetchall() == [("2",)]
        Client(url).move("thing:odd:1", "pending")
        assert [each.key for each in engine.run_due()] == ["1"]


def test_it_is_written_into_the_history_of_each_row_and_the_list_of_orders(
    here: InProcess, db: psycopg.Connection[Any]
) -> None:
    """Who, from where, to where."""
    rows(db, 3)
    assert here.run("move", "thing:pending", "odd", "1", "2", "--actor", "ann").returncode == 0
    [event] = objects(here.run("history", "thing", "1", "--json"))
    assert (event["verdict"], event["status"], event["to"]) == ("moved by hand", "pending", "odd")
    [line] = objects(here.run("actions", "--json"))
    assert (line["action"], line["target"], line["affected"], line["via"]) == (
        "move",
        "thing:pending",
        2,
        "cli",
    )
    assert line["actor"].endswith("(ann)")
    assert "thing:pending 1 2 to odd" in here.run("actions").stdout


def test_many_are_moved_a_thousand_at_a_time(url: str, db: psycopg.Connection[Any]) -> None:
    """Each batch a transaction of its own, in one line of the list; no statement takes more."""
    rows(db, 3500)
    seen: list[int] = []
    done = Client(url).move("thing:pending", "odd", progress=seen.append)
    assert (done.rows, seen[:4]) == (3500, [1000, 2000, 3000, 3500])
    batches = db.execute("select count(*) from thing group by xmin::text order by 1").fetchall()
    assert batches == [(500,), (1000,), (1000,), (1000,)]
    [line] = Client(url).actions().items
    assert (line.affected, line.detail) == (3500, "to odd")


def test_a_move_can_be_stopped(url: str, db: psycopg.Connection[Any]) -> None:
    """After the batch in hand; what is moved stays so, and is written down."""
    rows(db, 3500)
    stop = threading.Event()
    done = Client(url).move("thing:pending", "odd", progress=lambda *_: stop.set(), stop=stop)
    assert (done.stopped, done.rows) == (True, 1000)
    assert statuses(db) == {"pending": 2500, "odd": 1000}
    assert Client(url).actions().items[0].affected == 1000


def test_two_operators_move_the_same_rows_once(url: str, db: psycopg.Connection[Any]) -> None:
    """None is doubled, none is lost."""
    rows(db, 4000)
    moved: list[int] = []

    def move() -> None:
        moved.append(Client(url).move("thing:pending", "odd").rows)

    both = [threading.Thread(target=move) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert sum(moved) == 4000
    assert value(db, "select count(*) from poller.event") == 4000


@pytest.mark.parametrize(
    ("selector", "status", "why"),
    [
        ("thing", "odd", "not all rows of a table are moved at once"),
        ("all", "odd", "not all rows of all tables are moved at once"),
        ("thing:pending", "pending", "has the status 'pending' already"),
        ("thing:x", "odd", "invalid input syntax"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    here: InProcess, db: psycopg.Connection[Any], selector: str, status: str, why: str
) -> None:
    """In a line, before anything is changed."""
    rows(db, 1)
    assert why in the_line(here.run("move", selector, status))
    assert statuses(db) == {"pending": 1}
    assert value(db, "select count(*) from poller.action") == 0


@pytest.mark.parametrize(
    ("ddl", "why"),
    [
        (
            AS_ENUM,
            "cannot hold the status 'gone'; it takes pending, normal, odd, stuck",
        ),
        ("alter table thing add check (status <> 'gone')", "its CHECK thing_status_check asks for"),
        ("alter table thing alter status type varchar(7)", None),
        ("alter table thing alter status type varchar(3) using 'pen'", "would not keep the status 'gone'"),
    ],
)
def test_a_status_that_the_column_cannot_have_is_refused(
    url: str, db: psycopg.Connection[Any], ddl: str, why: str | None
) -> None:
    """By its type or its CHECKs; nothing is changed."""
    rows(db, 1)
    db.execute(ddl)  # type: ignore[call-overload]
    if why is None:
        assert Client(url).move("thing:1", "gone").rows == 1
        return
    with pytest.raises(ConfigurationError) as refused:
        Client(url).move("thing:1", "gone")
    assert why in str(refused.value)
    assert "gone" not in statuses(db)


def test_a_trigger_that_sets_another_status_has_refused_the_move(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """What the history says must be what the table shows."""
    rows(db, 2)
    db.execute(
        "create function meddle() returns trigger language plpgsql as"
        " $$ begin new.status := 'changed'; return new; end $$;"
        "create trigger meddle before update on thing for each row execute function meddle()"
    )
    with pytest.raises(psycopg.Error, match="changed the status to 'changed'"):
        Client(url).move("thing:pending", "odd")
    assert statuses(db) == {"pending": 2}
    assert value(db, "select count(*) from poller.event") == 0


def test_the_status_column_is_told_by_the_status_where_there_are_several(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Where it may be either, it is asked."""
    db.execute("alter table thing add payment text default 'new'")
    with Engine(url, handler("thing", status="new", to="paid", column="payment")(_work)):
        pass
    rows(db, 2)
    assert Client(url).move("thing:new:1", "paid").rows == 1
    assert db.execute("select payment from thing order by id").fetchall() == [("paid",), ("new",)]
    assert Client(url).move("thing:2", "odd").rows == 1
    with pytest.raises(ConfigurationError, match="has the status columns status, payment"):
        Client(url).move("thing:2", "strange")


def test_composite_keys_and_enums(url: str, db: psycopg.Connection[Any]) -> None:
    """Statuses that no handler names are known by the enum."""
    db.execute("create type state as enum ('a', 'b', 'c d', '50%', '{x}')")
    db.execute("create table pair (n int, t text, s state not null, primary key (n, t))")
    with Engine(url, handler("pair", status="a", to="b", column="s")(_work)):
        pass
    db.execute("insert into pair values (1, 'x', 'c d'), (1, 'y', '50%'), (2, 'x', 'c d')")
    asked = Client(url)
    assert asked.move('pair:c d:[1,"x"]', "{x}").rows == 1
    assert asked.move("pair:50%", "a").rows == 1
    assert asked.move("pair:{x}", "50%").rows == 1
    assert asked.move("pair", "b", ['[1, "x"]', '[2, "x"]']).rows == 2
    assert db.execute("select s::text from pair order by n, t").fetchall() == [("b",), ("a",), ("b",)]


def test_a_move_wakes_the_workers(url: str, db: psycopg.Connection[Any]) -> None:
    """There may be a handler for the new status."""
    rows(db, 3, "stuck")
    db.execute("listen poller")
    Client(url).move("thing:stuck", "pending")
    assert len(list(db.notifies(timeout=0.5))) == 1


def test_within_a_transaction_of_the_callers_it_is_part_of_that(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Nothing is committed for them."""
    rows(db, 1500)
    with psycopg.connect(url) as connection:
        connection.execute("select")
        assert Client(connection).move("thing:pending", "odd").rows == 1500
        connection.rollback()
    assert statuses(db) == {"pending": 1500}
    assert Client(url).actions().items == ()
    with pytest.raises(NothingSelectedError):
        Client(url).move("thing:odd", "pending")


def test_rows_are_moved_beside_a_fleet(project: Project, db: psycopg.Connection[Any]) -> None:
    """There and back while two workers handle them: each ends, none is in two places."""
    rows(db, 2000)
    project.handlers("""
        import time

        @handler("thing", status="pending", to="normal")
        def work(row):
            time.sleep(0.005)
    """)
    fleet = project.start("run", "--workers", "2")
    wait_until("it works", lambda: statuses(db).get("normal", 0) > 50)
    for _ in range(5):
        project.run("move", "thing:pending", "odd")
        project.run("move", "thing:odd", "pending")
    wait_until("all are done", lambda: statuses(db) == {"normal": 2000})
    assert "deadlock" not in fleet.log
    wait_until("nothing is held", lambda: value(db, "select count(*) from poller.claim") == 0)
    assert value(db, "select count(*) from poller.attempt") == 0


@pytest.mark.parametrize("analyzed", [True, False])
def test_a_batch_looks_at_little_more_than_it_moves(
    url: str, db: psycopg.Connection[Any], *, analyzed: bool
) -> None:
    """By the index of the handler's claims, however large the table is; by their keys by the primary key."""
    db.execute("alter table thing set (autovacuum_enabled = false)")
    db.execute(
        "insert into thing select i, case when i % 41 = 0 then 'pending' else 'normal' end"
        " from generate_series(1, 205000) as i"
    )
    db.execute("create index on thing (id) where status = 'pending'")
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, error, visit)"
        " select h.id, t.id::text, 'parked', 1, 'no', gen_random_uuid()"
        " from poller.handler as h, thing as t where t.status = 'pending'"
    )
    if analyzed:
        db.execute("analyze")
    looked = Explaining(db)
    for selector, keys, batches in (("thing:pending", (), 3), ("thing", ("41", "82"), 1)):
        asked = moves._read(db, moves.MoveOrder(selector, "odd", keys))
        after = None
        for _ in range(batches):
            named = array(asked.keys) if asked.keys else None
            rows, after = moves._moved(looked, asked, keys=named, after=after)  # type: ignore[arg-type]
            assert rows == (len(keys) or moves.BATCH_ROWS)
        assert max(looked.visited) < 35 * moves.BATCH_ROWS, looked.visited
        db.execute("update thing set status = 'pending' where status = 'odd'")
