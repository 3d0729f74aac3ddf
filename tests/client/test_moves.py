"""`poller move`: a person's change of status, compare-and-set, a thousand rows at a time, written down."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import Client, Fail, Snooze, handler
from poller.client import actions, moves
from poller.client.refusals import NothingSelectedError
from poller.errors import ConfigurationError
from poller.store.binding import bind
from poller.testing import Engine
from tests.client.watching import watched
from tests.command_line import objects, the_line, value
from tests.gates import GATE, unlock, wait_at_gate
from tests.harness import PATIENCE, wait_until

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


def test_rows_that_went_to_another_status_are_not_retried_and_the_order_says_how_they_go_back(
    url: str, here: InProcess, db: psycopg.Connection[Any]
) -> None:
    """`failures` lists them with the rest, so that a person retries them first."""
    rows(db, 2)
    with Engine(
        url, handler("thing", status="pending", to="normal", on_failure="stuck", attempts=1)(_fails)
    ) as engine:
        engine.run_due()
    told = the_line(here.run("retry", "thing:pending"), 1)
    assert "rows of public.thing:pending that are out of attempts show 'stuck'" in told
    assert told.endswith("put them back with: poller move 'public.thing:stuck' 'pending'")
    assert (
        here.run("move", "public.thing:stuck", "pending").stdout
        == "moved 2 rows of public.thing to pending\n"
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


def test_a_row_that_leaves_its_partition_meanwhile_holds_up_no_other(
    url: str, db: psycopg.Connection[Any], gate: psycopg.Connection[Any]
) -> None:
    """It is under another key by then; Postgres fails the statement, and the others are tried again."""
    db.execute(
        "drop table thing; create table thing (id int, place text, status text, primary key (id, place))"
        " partition by list (place); create table a partition of thing for values in ('a');"
        "create table b partition of thing for values in ('b');"
        "insert into thing select i, 'a', 'pending' from generate_series(1, 3) as i;"
        "create function at_gate() returns trigger language plpgsql as $$ begin"  # its snapshot is taken by then
        f" perform pg_advisory_xact_lock_shared({GATE}); return null; end $$;"
        "create trigger at_gate before update on thing for each statement execute function at_gate()"
    )
    with psycopg.connect(url, autocommit=True) as person, ThreadPoolExecutor() as pool:
        person.execute("set session_replication_role = replica")
        moving = pool.submit(Client(url).move, "thing:pending", "odd")
        wait_at_gate(gate)
        person.execute("update thing set place = 'b' where id = 2")
        unlock(gate)
        assert moving.result(PATIENCE).rows == 2
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


def test_a_move_reaches_no_more_rows_than_it_may(url: str, db: psycopg.Connection[Any]) -> None:
    """However many show the status."""
    rows(db, 2500)
    assert Client(url).move("thing:pending", "odd", most=1001).rows == 1001
    assert statuses(db) == {"pending": 1499, "odd": 1001}


def test_two_operators_move_the_same_rows_once(url: str, db: psycopg.Connection[Any]) -> None:
    """None is doubled, none is lost."""
    rows(db, 4000)
    moved: list[int] = []

    at_once = threading.Barrier(2)

    def move() -> None:
        at_once.wait()
        with contextlib.suppress(NothingSelectedError):  # the other may be through before this one has looked
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
        ("thing", "odd", "one order cannot move all rows of a table"),
        ("all", "odd", "one order cannot move all rows of all tables"),
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
        ("alter table thing add check (status <> 'gone')", "its CHECK thing_status_check requires"),
        ("alter table thing alter status type varchar(7)", None),
        ("alter table thing alter status type varchar(3) using 'pen'", "cannot store the status 'gone'"),
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
    with pytest.raises(
        NothingSelectedError,
        match=r"nothing was moved: the database refuses row 1: .* changed the status to 'changed'",
    ):
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


def test_a_status_of_one_column_is_not_moved_to_one_of_another(
    here: InProcess, url: str, db: psycopg.Connection[Any]
) -> None:
    """Unless the column is named, in which the rows show it, though no handler knows it there."""
    db.execute("alter table thing add mail text not null default 'pending'")
    with Engine(url, handler("thing", status="queued", to="sent", column="mail")(_work)):
        pass
    rows(db, 3)
    db.execute("update thing set status = 'odd' where id = 3; update thing set mail = 'sent' where id = 1")
    told = the_line(here.run("move", "thing:pending", "queued"))
    assert "has the status columns status, mail, and any may be meant; name the column" in told
    assert "with --column status or --column mail" in told
    with pytest.raises(ConfigurationError, match="any may be meant"):
        Client(url).move("thing", "queued", shown="pending")
    with pytest.raises(NothingSelectedError, match="'post' is not a status column"):
        Client(url).move("thing", "queued", shown="pending", column="post")
    assert value(db, "select count(*) from poller.action") == 0
    ended = here.run("move", "thing:pending", "queued", "--column", "mail")
    assert ended.stdout == "moved 2 rows of public.thing to queued\n"
    shown = db.execute("select status, mail from thing order by id").fetchall()
    assert shown == [("pending", "sent"), ("pending", "queued"), ("odd", "queued")]
    assert Client(url).move("thing:sent", "lost", column="mail").rows == 1
    drawn = {each.column: each.edges for each in Client(url).graph("thing").machines}
    assert "queued" not in {each.to for each in drawn["status"]}


def test_a_move_of_one_of_several_columns_is_written_down_with_it(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """And drawn in it; one that was written down without is in none, where either may be meant."""
    db.execute("create table pair (id int primary key, x text, y text)")
    db.execute("insert into pair values (1, 'p', 'q'), (2, 'p', 'q')")
    of_x, of_y = (
        handler("pair", status="p", to="q", column="x"),
        handler("pair", status="r", to=("p", "q"), column="y"),
    )
    with Engine(url, of_x(_work), of_y(_work)):
        pass
    assert Client(url).move("pair:q", "p", column="y").rows == 2
    with pytest.raises(NothingSelectedError, match=r"no row of pair:q \(x\) shows 'q'"):
        Client(url).move("pair:q", "p", column="x")
    [line] = Client(url).actions().items
    assert (line.target, line.detail) == ("pair:q", "to p (y)")

    def seen() -> set[tuple[str, str, str]]:
        machines = Client(url).graph("pair").machines
        edges = ((each.column, edge) for each in machines for edge in each.edges)
        return {(column, edge.from_, edge.to) for column, edge in edges if edge.kind == "seen"}

    db.execute("delete from poller.event")
    assert seen() == {("y", "q", "p")}
    db.execute("update poller.action set detail = 'to p'")
    assert seen() == set()


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


# --- what is left, and why ----------------------------------------------------------------------------


def left(
    url: str, selector: str, keys: tuple[str, ...] = (), status: str = "odd"
) -> dict[str, tuple[int, str]]:
    """Move rows; return how many were left for each reason, and the detail of one."""
    done = Client(url).move(selector, status, keys)
    return {each.reason: (each.rows, each.detail) for each in done.left}


REFUSING = {
    "a CHECK of several columns": (
        "alter table thing add constraint no_two check (id <> 2 or status <> 'odd')",
        'new row for relation "thing" violates check constraint "no_two"',
    ),
    "a unique index": (
        (
            "create unique index only_one on thing ((status = 'odd')) where id in (2, -1) and status = 'odd';"
            "insert into thing values (-1, 'odd')"
        ),
        'duplicate key value violates unique constraint "only_one"',
    ),
    "a constraint that is checked at the commit": (
        (
            "create function look() returns trigger language plpgsql as"
            " $$ begin if new.id = 2 then raise 'not this one'; end if; return null; end $$;"
            "create constraint trigger look after update on thing initially deferred for each row"
            " execute function look()"
        ),
        "not this one",
    ),
    "a trigger that raises": (
        (
            "create function look() returns trigger language plpgsql as"
            " $$ begin if new.id = 2 then raise 'not this one'; end if; return new; end $$;"
            "create trigger look before update on thing for each row execute function look()"
        ),
        "not this one",
    ),
}


@pytest.mark.parametrize("by", REFUSING)
def test_a_row_that_the_table_refuses_is_left_alone_and_told(
    url: str, here: InProcess, db: psycopg.Connection[Any], by: str
) -> None:
    """Its neighbours are moved; what is written down are these."""
    rows(db, 1500)
    ddl, message = REFUSING[by]
    db.execute(ddl)  # type: ignore[call-overload]
    assert left(url, "thing:pending") == {"refused": (1, f"the database refuses row 2: {message}")}
    assert db.execute("select id from thing where status = 'pending'").fetchall() == [(2,)]
    [line] = Client(url).actions().items
    assert line.affected == 1499 == value(db, "select count(*) from poller.event")
    assert the_line(here.run("move", "thing:pending", "odd"), 1) == (
        f"nothing was moved: the database refuses row 2: {message}"
    )


def test_a_row_whose_change_a_trigger_swallows_is_told(url: str, db: psycopg.Connection[Any]) -> None:
    """It was not locked."""
    rows(db, 3)
    db.execute(
        "create function swallow() returns trigger language plpgsql as"
        " $$ begin return case when new.id <> 2 then new end; end $$;"
        "create trigger swallow before update on thing for each row execute function swallow()"
    )
    expected = "a trigger of public.thing has skipped the change of row 2"
    assert left(url, "thing:pending") == {"refused": (1, expected)}


@pytest.mark.fault("F28")
def test_a_row_that_row_security_keeps_from_changes_is_not_said_to_be_locked(
    url: str, db: psycopg.Connection[Any], role: str
) -> None:
    """It can be seen, and a policy for updates leaves it out; beside it one that is locked indeed."""
    rows(db, 3)
    db.execute(
        "alter table thing enable row level security; create policy look on thing for select using (true);"
        "create policy change on thing for update using (id <> 2) with check (true)"
    )
    db.execute(f"grant select, update on thing to {role}; grant all on all tables in schema poller to {role}")
    with psycopg.connect(url) as person:
        person.execute("select from thing where id = 3 for update")
        found = left(f"{url}{'&' if '?' in url else '?'}options=-c%20role%3D{role}", "thing:pending")
    assert found["refused"] == (1, f"row security keeps the role {role} from changing row 2")
    assert found["locked"] == (1, "another transaction has row 3 locked")
    assert statuses(db) == {"pending": 2, "odd": 1}


def test_a_table_that_refuses_all_rows_ends_the_order(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """After some: each costs a statement of its own. What concerns no row is raised at once."""
    rows(db, 3000)
    db.execute("alter table thing add constraint fewer check (id < 1001 or status <> 'odd')")
    ended = here.run("move", "thing:pending", "odd")
    assert ended.stdout == (
        "moved 1,000 rows of public.thing to odd; 20 rows left: for one, the database refuses row 1001:"
        ' new row for relation "thing" violates check constraint "fewer"; the order ended there\n'
    )
    assert ended.returncode == 0
    db.execute(
        "create function closed() returns trigger language plpgsql as $$ begin raise 'closed'; end $$;"
        "create trigger closed before update on thing execute function closed()"
    )
    assert "the database refused: closed" in the_line(here.run("move", "thing:pending", "odd"))


def test_named_rows_that_are_gone_or_show_another_status_are_told(
    here: InProcess, url: str, db: psycopg.Connection[Any]
) -> None:
    """Each with its own reason."""
    rows(db, 3)
    rows(db, 1, "normal")
    assert left(url, "thing:pending", ("1", "4", "99", "98", "01")) == {
        "status": (1, "row 4 shows 'normal'"),
        "gone": (2, "public.thing has no row 99"),
    }
    ended = here.run("move", "thing", "odd", "1", "2", "99")
    assert ended.stdout == (
        "moved 1 row of public.thing to odd; 1 row left: row 1 shows 'odd'; 1 row left: public.thing has no row 99\n"
    )
    assert the_line(here.run("move", "thing:pending:99", "odd"), 1) == (
        "nothing to move: public.thing has no row 99"
    )
    assert "invalid input syntax" in the_line(here.run("move", "thing", "odd", "3", "x"))
    assert statuses(db) == {"pending": 1, "odd": 2, "normal": 1}, (
        "nothing is changed before all keys are read"
    )


def test_a_row_that_its_transactional_handler_has_locked_is_told_apart(
    join: NewWorker, url: str, db: psycopg.Connection[Any]
) -> None:
    """From one that another session has."""
    rows(db, 3)
    worker = join(bind(db, handler("thing", status="pending", to="normal")(_work)))
    worker.claim(1)
    with psycopg.connect(url) as session:
        session.execute("select from thing where id in (1, 2) for update")
        assert left(url, "thing:pending") == {
            "leased": (1, f"a handler in worker {worker.id} has row 1 locked"),
            "locked": (1, "another transaction has row 2 locked"),
        }


def test_a_row_that_changes_after_it_was_found_is_left(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or goes: between the look at the page and the lock."""
    rows(db, 4)
    find = moves.Moving._page

    def change(self: moves.Moving, *asked: Any) -> Any:
        found = find(self, *asked)
        db.execute("delete from thing where id = 1")
        db.execute("update thing set status = 'normal' where id = 2")
        return found

    monkeypatch.setattr(moves.Moving, "_page", change)
    assert left(url, "thing:pending") == {
        "gone": (1, "public.thing has no row 1"),
        "status": (1, "row 2 shows 'normal'"),
    }
    assert statuses(db) == {"normal": 1, "odd": 2}


def test_a_row_that_is_free_again_in_a_moment_is_moved(url: str, db: psycopg.Connection[Any]) -> None:
    """It is tried again by its key."""
    rows(db, 3)
    with psycopg.connect(url) as session:
        session.execute("select from thing where id = 2 for update")
        assert left(url, "thing:pending", ("1", "2")).keys() == {"locked"}
        timer = threading.Timer(0.1, session.rollback)
        timer.start()
        assert left(url, "thing:pending") == {}
        timer.join()
    assert statuses(db) == {"odd": 3}


def test_a_row_whose_status_is_not_set_is_moved_by_its_key(url: str, db: psycopg.Connection[Any]) -> None:
    """Its history has no status for that; a picture has none either."""
    db.execute("alter table thing alter status drop not null; insert into thing values (1, null)")
    assert Client(url).move("thing:1", "pending").rows == 1
    [event] = Client(url).history("thing", "1").items
    assert (event.status, event.to, statuses(db)) == ("", "pending", {"pending": 1})
    [machine] = Client(url).graph().machines
    assert not [each for each in machine.edges if each.kind == "seen"]


def test_a_table_that_is_locked_is_waited_for_once(
    here: InProcess, url: str, db: psycopg.Connection[Any]
) -> None:
    """Not at each batch, nor for ever."""
    rows(db, 2500)
    with psycopg.connect(url) as session:
        session.execute("lock table thing in exclusive mode")
        began = time.monotonic()
        assert the_line(here.run("move", "thing:pending", "odd"), 1) == (
            "nothing was moved: another transaction has the rows of thing:pending locked"
        )
        assert time.monotonic() - began < 8


def test_an_empty_status_is_none_unless_a_handler_knows_it(
    here: InProcess, url: str, db: psycopg.Connection[Any]
) -> None:
    """A variable of the shell that is not set is not an order to move all rows away."""
    rows(db, 1)
    assert "name the status to move the rows to" in the_line(here.run("move", "thing:pending", ""))
    with Engine(url, handler("thing", status="new", to="")(_work)):
        pass
    assert Client(url).move("thing:pending", "").rows == 1


def test_a_key_means_that_row_alone(url: str, db: psycopg.Connection[Any]) -> None:
    """Also a text that looks like a composite key in another spelling."""
    db.execute("create table note (id text primary key, status text not null default 'pending')")
    db.execute("""insert into note values ('["a","b"]'), ('["a", "b"]'), ('')""")
    with Engine(
        url, handler("note", status="pending", to=("normal", "odd"), limit=1)(lambda _: Snooze("1h"))
    ):
        pass
    assert Client(url).move("note", "odd", ['["a","b"]']).rows == 1
    assert db.execute("select id from note where status = 'odd'").fetchall() == [('["a","b"]',)]
    assert Client(url).move("note", "odd", ["", '["a", "b"]']).rows == 2


def test_a_status_that_only_the_rows_know(url: str, db: psycopg.Connection[Any]) -> None:
    """With a key, with further keys, or alone; what is neither is said so."""
    rows(db, 4, "lost: in transit")
    asked = Client(url)
    assert asked.move("thing:lost: in transit:1", "odd").rows == 1
    assert asked.move("thing:lost: in transit", "odd", ["2"]).rows == 1
    assert asked.move("thing:lost: in transit", "odd").rows == 2
    with pytest.raises(NothingSelectedError, match="has the key '77', or shows it as its status"):
        asked.move("thing:77", "odd")


@pytest.mark.parametrize("count", [5, 12_000])
def test_what_is_a_key_and_a_status_is_not_guessed(
    here: InProcess, url: str, db: psycopg.Connection[Any], count: int
) -> None:
    """Row 3, or the rows that show 3? Keys that stand apart are keys. In a larger table the statistics tell."""
    rows(db, count)
    db.execute("update thing set status = '3' where id <> 3; analyze thing")
    told = the_line(here.run("move", "thing:3", "odd"))
    assert (
        "'3' may mean the row of public.thing with that key, or the rows that show it as their status" in told
    )
    assert told.endswith(
        "for the row: poller move 'public.thing' 'odd' '3'; for the others: poller move 'public.thing' 'odd' --from '3'"
    )
    assert "may mean" in the_line(here.run("move", "thing:3", "odd", "4"))
    assert statuses(db) == {"3": count - 1, "pending": 1}
    assert Client(url).move("public.thing", "odd", ["3"]).rows == 1
    assert Client(url).move("thing:4", "odd").rows == 1


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
    with watched() as watch:
        assert Client(url).move("thing", "odd", ["41", "82"]).rows == 2
    assert max(rows for rows, text in watch.seen if '"thing"' in text) < 30, watch.most
    with watched() as watch:
        assert Client(url).move("thing:pending", "odd").rows == 4998
    assert watch.most[0] < 12 * actions.BATCH_ROWS, watch.most
    assert len([text for _, text in watch.seen if "update" in text and "~moved" in text]) == 5
    assert sum(rows for rows, text in watch.seen if "~page" in text) < 6000
