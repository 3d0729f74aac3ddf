"""A visit of a row to a status is what its table says: what poller remembers of it ends with the visit."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

from poller import Client, Context, Fail, Snooze, handler
from poller.db.connection import Link
from poller.model.outcome import Became, Outcome
from poller.ready_made import old_rows
from poller.ready_made.retention import age_out
from poller.services.forgetter import MOST_BATCHES, PERIOD_SECONDS, Forgetter
from poller.services.sweeper import Sweeper
from poller.store import visits
from poller.store.binding import Binding, bind
from poller.store.liveness import register_handlers
from poller.store.visits import FORGET_BATCH, Visits
from poller.testing import Engine, move_clock
from tests.engines import WAYS, column, do_nothing, fail, moves, settling
from tests.harness import wait_until
from tests.maintained import retention, run
from tests.times import one_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from poller import Handler
    from tests.claiming import NewWorker
    from tests.conftest import Alter
    from tests.harness import Project

PARKED = Outcome(Became.PARKED, attempt=1, error="no")


@pytest.fixture
def table(db: psycopg.Connection[Any]) -> None:
    """A table of one pending row."""
    db.execute("create table thing (id int generated always as identity primary key, status text not null)")
    db.execute("insert into thing (status) values ('pending')")


@contextlib.contextmanager
def as_role(db: psycopg.Connection[Any], *granted: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of a role that owns nothing, and has these rights."""
    name = f"visitor_{uuid4().hex[:8]}"
    db.execute(f"create role {name} login; grant usage on schema poller, public to {name}")  # type: ignore[call-overload]
    for each in granted:
        db.execute(f"grant {each} to {name}")  # type: ignore[call-overload]
    try:
        with psycopg.connect(db.info.dsn, user=name, password=db.info.password, autocommit=True) as role:
            yield role
    finally:
        db.execute(f"drop owned by {name}; drop role {name}")  # type: ignore[call-overload]


class Failing:
    """A handler's function that notes the keys and attempts it is called with, and raises what it is told to."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.calls: list[tuple[str, int]] = []

    def __call__(self, _: Any, ctx: Context) -> None:
        self.calls.append((ctx.key, ctx.attempt))
        if self.error is not None:
            raise self.error


def _handler(function: Callable[..., Any], **options: Any) -> Handler:
    def work(row: Any, ctx: Context) -> None:
        return function(row, ctx)

    return moves("thing", work, **options)


HELD = ("update thing set status = 'on_hold'", "update thing set status = 'pending'")
AGAIN = "insert into thing (id, status) overriding system value values (1, 'pending')"
CHANGES = {
    "held": HELD,
    "deleted": ("delete from thing", AGAIN),
    "truncated": ("truncate thing restart identity", "insert into thing (status) values ('pending')"),
}

ENDS = {"parked": Fail("no"), "snoozed": Snooze("30d"), "retrying": ValueError("no")}


# --- changes by others --------------------------------------------------------------------------------


@pytest.mark.fault("F70")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("became", ENDS)
def test_g11_a_row_that_comes_back_is_new_work_with_a_key_of_its_own(
    url: str, db: psycopg.Connection[Any], table: None, change: tuple[str, str], became: str
) -> None:
    """Whatever poller knew of it before it was put on hold, deleted or truncated, if it looked in between."""
    failing = Failing(ENDS[became])
    with Engine(url, _handler(failing)) as engine:
        assert [done.became for done in engine.run_due()] == [became]
        db.execute(change[0])  # type: ignore[call-overload]
        assert engine.run_due() == []
        assert column(db, "select count(*) from poller.attempt") == [0]
        db.execute(change[1])  # type: ignore[call-overload]
        failing.error = None
        assert [done.became for done in engine.run_due()] == ["moved"]
    (first, _), (second, attempt) = failing.calls
    assert first != second
    assert attempt == 1


def test_a_row_that_is_changed_and_changed_back_between_two_looks_is_at_the_same_visit(
    url: str, db: psycopg.Connection[Any], table: None
) -> None:
    """poller looks; it has no trigger. `poller retry` is the word for "again"."""
    with Engine(url, _handler(Failing(Fail("no")))) as engine:
        engine.run_due()
        for each in HELD:
            db.execute(each)  # type: ignore[call-overload]
        assert engine.run_due() == []
    assert column(db, "select state from poller.attempt") == ["parked"]


def test_what_has_not_been_committed_does_not_count(
    url: str, db: psycopg.Connection[Any], table: None
) -> None:
    """A row that a transaction has put on hold, and not committed, is parked still."""
    with Engine(url, _handler(Failing(Fail("no")))) as engine, psycopg.connect(url) as person:
        engine.run_due()
        person.execute(HELD[0])
        engine.run_due()
        assert column(db, "select state from poller.attempt") == ["parked"]
        person.commit()
        engine.run_due()
        assert column(db, "select count(*) from poller.attempt") == [0]


def test_a_row_that_shows_its_handlers_during_is_at_the_same_visit(
    url: str, db: psycopg.Connection[Any], table: None
) -> None:
    """As one does whose worker has just died."""
    with Engine(url, _handler(Failing(Fail("no")), during="working")) as engine:
        engine.run_due()
        db.execute("update thing set status = 'working'")
        engine.run_due()
    assert column(db, "select state from poller.attempt") == ["parked"]


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("id text primary key", "('')"),
        ("id text primary key", f"('{'ä' * 2000}')"),
        ("a int, b timestamptz, primary key (a, b)", "(1, '2024-01-01')"),
        ("id int, n int, primary key (n, id)", "(1, 2)"),
    ],
    ids=["empty", "long", "composite", "turned"],
)
def test_keys_of_any_kind_are_forgotten(
    url: str, db: psycopg.Connection[Any], columns: str, values: str
) -> None:
    """The empty text is the first of all keys; a long one is found by its digest."""
    db.execute(f"create table thing ({columns}, status text not null default 'pending')")  # type: ignore[call-overload]
    db.execute(f"insert into thing values {values}")  # type: ignore[call-overload]
    with Engine(url, _handler(Failing(Fail("no")))) as engine:
        engine.run_due()
        engine.run_due()
        assert column(db, "select state from poller.attempt") == ["parked"], "it stands"
        db.execute("delete from thing")
        engine.run_due()
    assert column(db, "select count(*) from poller.attempt") == [0]


def test_failures_lists_no_row_that_is_gone_or_has_moved_on(
    project: Project, db: psycopg.Connection[Any], table: None
) -> None:
    """A fleet that runs looks by itself, in each period; and the row that comes back is taken."""
    project.handlers(
        """
@handler("thing", status="pending", to="normal", attempts=1)
def work(row, ctx):
    if row["id"] < 3: raise ValueError("no")
"""
    )
    db.execute("insert into thing (status) values ('pending')")
    project.start("run")
    wait_until("both are parked", lambda: column(db, "select count(*) from poller.attempt") == [2])
    db.execute("delete from thing where id = 1")
    db.execute("update thing set status = 'on_hold' where id = 2")
    wait_until(
        "they are forgotten",
        lambda: column(db, "select count(*) from poller.attempt") == [0],
        timeout=2 * PERIOD_SECONDS,
    )
    assert project.run("failures").stdout == "no rows are in trouble\n"
    db.execute("update thing set status = 'pending' where id = 2")
    wait_until("it is taken again", lambda: column(db, "select count(*) from poller.attempt") == [1])
    assert column(db, "select count(distinct lease) from poller.event where key = '2'") == [2]


def test_a_drain_begins_with_a_look_and_says_what_it_leaves_alone(
    project: Project, db: psycopg.Connection[Any], table: None
) -> None:
    """So that drain, hold, drain, back, drain takes the row again."""
    project.handlers(
        """
@handler("thing", status="pending", to="normal", attempts=1)
def work(row, ctx):
    raise ValueError("no")
"""
    )

    def drain() -> tuple[int, str]:
        done = project.run("run", "--drain")
        return done.returncode, done.stderr

    assert drain()[0] == 1
    status, said = drain()
    assert status == 0
    assert "left alone: 1 parked" in said
    db.execute(HELD[0])
    status, said = drain()
    assert status == 0
    assert "left alone" not in said
    db.execute(HELD[1])
    status, said = drain()
    assert status == 1
    assert "1 parked" in said


# --- moves by poller ----------------------------------------------------------------------------------


def _park(join: NewWorker, db: psycopg.Connection[Any], status: str = "second") -> Binding:
    """Have a handler of `status` park row 1, which is pending again then."""
    binding = bind(db, handler("thing", status=status, to="third")(Failing(None)))
    worker = join(binding)
    db.execute("update thing set status = %s", [status])
    assert worker.settle(worker.claim(), PARKED) == 1
    db.execute("update thing set status = 'pending'")
    return binding


@pytest.mark.fault("F71")
@pytest.mark.usefixtures("settled_by")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"transactional": True},
        {"batch": 10},
        {"during": "working"},
        {"executor": "process"},
        {"history": "off"},
    ],
    ids=["plain", "transactional", "batch", "during", "process", "history"],
)
def test_g11_a_move_ends_what_the_next_handler_knew(
    url: str, join: NewWorker, db: psycopg.Connection[Any], table: None, options: dict[str, Any]
) -> None:
    """In every way that a handler's answer is written; what it knew of other rows stays."""
    second = _park(join, db)
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, visit)"
        " values (%s, '2', 'parked', 1, gen_random_uuid())",
        [second.id],
    )
    worker = join(bind(db, handler("thing", status="pending", to="second", **options)(do_nothing)))
    tasks = worker.claim()
    assert worker.settle(tasks, Outcome(Became.MOVED, to="second")) == 1
    assert column(db, "select key from poller.attempt") == ["2"]
    assert len(join(second).claim()) == 1


HERE: dict[str, tuple[Any, dict[str, Any]]] = {
    **WAYS,
    "on_failure": (fail, {"to": "third", "on_failure": "second", "attempts": 1}),
}


@pytest.mark.usefixtures("settled_by")
@pytest.mark.parametrize("way", one_in(2, HERE))
def test_g11_the_next_handler_takes_a_row_that_was_moved_to_it_anew(
    url: str, db: psycopg.Connection[Any], table: None, way: str
) -> None:
    """Whatever way the first one is run in: the second has parked the row before."""
    function, options = HERE[way]
    first = moves("thing", function or settling(url, "second"), **{"to": "second", **options})
    second = Failing(Fail("no"))
    with Engine(url, first, _handler(second, status="second", to="third")) as engine:
        engine.run_due()
        assert column(db, "select state from poller.attempt") == ["parked"]
        db.execute("update thing set status = 'pending'")
        engine._forgetter.pass_once = lambda: 0  # type: ignore[method-assign] - it is the move that ends it
        engine.run_due()
    assert [attempt for _, attempt in second.calls] == [1, 1]
    assert len(dict(second.calls)) == 2


def test_g11_so_does_the_move_of_a_row_whose_worker_died(
    url: str, join: NewWorker, db: psycopg.Connection[Any], table: None
) -> None:
    """To its on_failure."""
    second = _park(join, db)
    first = bind(
        db, handler("thing", status="pending", to="third", on_failure="second", attempts=1)(do_nothing)
    )
    worker = join(first)
    assert len(worker.claim()) == 1
    db.execute("update poller.worker set died_at = now() where id = %s", [worker.id])
    link = Link(url, "test")
    assert Sweeper(link, [first]).sweep() == 1
    link.close()
    assert column(db, "select status from thing") == ["second"]
    assert len(join(second).claim()) == 1


def test_g11_so_does_a_job_that_moves_rows(
    url: str, join: NewWorker, db: psycopg.Connection[Any], table: None
) -> None:
    """And it ends what was known at the status that they left."""
    second = _park(join, db)
    first = join(bind(db, handler("thing", status="pending", to="third")(do_nothing)))
    assert first.settle(first.claim(), PARKED) == 1
    db.execute("alter table thing add at timestamptz default '2000-01-01'")
    ageing = age_out("thing", column="at", older_than="1d", status="pending", to="second", pause="0s")
    assert run(ageing, url).rows == 1
    assert column(db, "select count(*) from poller.attempt") == [0]
    assert len(join(second).claim()) == 1


NOCASE = "create collation nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
WORDS = {
    "type": "status caseless",
    "domain": "status checked",
    "collation": "status text collate nocase",
    "collated domain": "status word",
}
WHOLE = """
create table thing (id int generated always as identity, kind text not null default 'a', status text not null,
                    primary key (id, kind)) partition by list (kind);
create table some_things partition of thing for values in ('a', 'b') partition by list (kind);
create table thing_a partition of some_things for values in ('a')
"""
KIN = {
    "a partition's": (WHOLE, "thing", "thing_a"),
    "a part's": (WHOLE, "thing", "some_things"),
    "the whole's": (WHOLE, "thing_a", "thing"),
}
TABLE = "create table thing (id int generated always as identity primary key, {})"
ANEW = {
    **{name: (TABLE.format(column), "thing", "thing", "Second") for name, column in WORDS.items()},
    **{name: (*parts, "second") for name, parts in KIN.items()},
}


@pytest.fixture(params=ANEW)
def anew(request: pytest.FixtureRequest, db: psycopg.Connection[Any], caseless: str) -> tuple[str, str, str]:
    """A pending row: the tables of two handlers, and the status to which the first moves what the second takes."""
    ddl, first, second, to = ANEW[request.param]
    if request.param in ("collation", "collated domain"):
        if not db.execute("select from pg_collation where collname = 'und-x-icu'").rowcount:
            pytest.skip("this server has no collation for which unlike texts are equal")
        db.execute(NOCASE)
        db.execute("create domain word as text collate nocase check (value <> 'refused')")
    db.execute(f"create domain checked as {caseless} check (value <> 'refused')")  # type: ignore[call-overload]
    db.execute(ddl)  # type: ignore[call-overload]
    db.execute("insert into thing (status) values ('pending')")
    known = "insert into poller.handler (table_name, status) values (%s, 'refused')"
    db.execute(known, [f"public.{second}"])  # an older program's, which the column would not take
    return first, second, to


def _bound(db: psycopg.Connection[Any], handler: Handler) -> Binding:
    """Bind on a session as a worker's, which finds a type in no schema but its own."""
    with contextlib.closing(Link(db.info.dsn, "test")) as link:
        return bind(link.connection, handler)


def _park_at(join: NewWorker, db: psycopg.Connection[Any], table: str) -> Binding:
    binding = _bound(db, handler(table, status="second", to="third")(Failing(None)))
    worker = join(binding)
    db.execute("update thing set status = 'second'")
    assert worker.settle(worker.claim(), PARKED) == 1
    db.execute("update thing set status = 'pending'")
    return binding


@pytest.mark.fault("F71")
@pytest.mark.usefixtures("settled_by")
@pytest.mark.parametrize("ended", ["moved", "failed"])
def test_g11_the_next_handler_is_who_takes_the_row_however_it_is_registered(
    join: NewWorker, db: psycopg.Connection[Any], anew: tuple[str, str, str], ended: str
) -> None:
    """The column takes the two statuses for the same one, or the one's table is a part of the other's."""
    first, table, to = anew
    second = _park_at(join, db, table)
    ends = {"moved": {"to": to}, "failed": {"to": "third", "on_failure": to}}[ended]
    worker = join(_bound(db, handler(first, status="pending", **ends)(do_nothing)))  # type: ignore[arg-type]
    assert worker.settle(worker.claim(), Outcome(Became(ended), to=to)) == 1
    assert column(db, "select count(*) from poller.attempt") == [0]
    assert len(join(second).claim()) == 1


def test_g11_so_it_is_for_a_job(
    url: str, join: NewWorker, db: psycopg.Connection[Any], anew: tuple[str, str, str]
) -> None:
    """One that ages rows out."""
    first, table, to = anew
    second = _park_at(join, db, table)
    db.execute("alter table thing add at timestamptz default '2000-01-01'")
    ageing = age_out(first, column="at", older_than="1d", status="pending", to=to, pause="0s")
    assert run(ageing, url).rows == 1
    assert column(db, "select count(*) from poller.attempt") == [0]
    assert len(join(second).claim()) == 1


def test_g11_so_it_is_for_an_order(
    url: str, join: NewWorker, db: psycopg.Connection[Any], anew: tuple[str, str, str]
) -> None:
    """A person's move is written down once, whoever's row it was."""
    first, table, to = anew
    second = _park_at(join, db, table)
    join(_bound(db, handler(first, status="pending", to="third")(do_nothing)))
    assert Client(url).move(f"{first}:pending", to).rows == 1
    assert column(db, "select count(*) from poller.attempt") == [0]
    assert column(db, "select key from poller.event where verdict = 'moved by hand'") == column(
        db, "select case when to_regclass('thing_a') is null then '1' else '[1, \"a\"]' end"
    )
    assert len(join(second).claim()) == 1


def test_a_job_whose_role_may_not_forget_moves_rows_all_the_same(
    url: str, join: NewWorker, db: psycopg.Connection[Any], table: None
) -> None:
    """What was known ends with the next look then."""
    second = _park(join, db)
    db.execute("alter table thing add at timestamptz default '2000-01-01'")
    ageing = age_out("thing", column="at", older_than="1d", status="pending", to="second", pause="0s")
    with as_role(db, "select on poller.handler, poller.claim", "select, update on thing") as role:
        made = old_rows.bind(role, retention(ageing).rule)
        assert role.execute(made.batch, {"keys": "{1}"}).fetchone()[2] == 1  # type: ignore[index]
    assert column(db, "select status from thing") == ["second"]
    assert join(second).claim() == []


# --- races --------------------------------------------------------------------------------------------


class Held:
    """A look at what a handler remembers that is held at a step, on a thread of its own."""

    def __init__(self, url: str, binding: Binding, step: str, patch: pytest.MonkeyPatch) -> None:
        self._link = Link(url, "forgetter")
        self._go, self._there = threading.Event(), threading.Event()
        patch.setattr(visits, "reach", lambda each: self._hold() if each == step else None)
        self._rows: list[int] = []
        self._thread = threading.Thread(target=self._look, args=(binding,))
        self._thread.start()
        assert self._there.wait(30)

    def _hold(self) -> None:
        self._there.set()
        self._go.wait(30)

    def _look(self, binding: Binding) -> None:
        self._rows.append(Visits(self._link).forget_strays(binding, "").rows)

    def go(self) -> int:
        """Let it go on to its end; return how many rows it forgot."""
        self._go.set()
        self._thread.join(30)
        self._link.close()
        return self._rows[0]


@pytest.fixture
def failed(db: psycopg.Connection[Any], join: NewWorker, table: None) -> Binding:
    """A handler that remembers row 1, whose next attempt is due, and which was put on hold."""
    binding = bind(db, handler("thing", status="pending", to="normal")(do_nothing))
    worker = join(binding)
    worker.fail(worker.claim())
    db.execute(HELD[0])
    return binding


def test_g2_a_row_that_is_being_forgotten_is_not_retried(
    url: str, db: psycopg.Connection[Any], join: NewWorker, failed: Binding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is set back in the moment before what was known is gone: it is new work, and not the second attempt."""
    worker = join(failed)
    looking = Held(url, failed, "strays forgotten", monkeypatch)
    db.execute(HELD[1])
    assert worker.retries() == []
    assert looking.go() == 1
    assert [task.attempt for task in worker.claim()] == [1]


def test_g2_control_without_the_lock_of_a_retry_its_attempts_are_forgotten_while_it_is_held(
    url: str, db: psycopg.Connection[Any], join: NewWorker, failed: Binding, alter: Alter
) -> None:
    """Take it away and the race of the test above is lost: so the test provokes it."""
    alter("retake", "for key share of a skip locked", "")
    worker = join(failed)
    with pytest.MonkeyPatch.context() as patch:
        looking = Held(url, failed, "strays forgotten", patch)
    db.execute(HELD[1])
    assert worker.retries() == [("1", 2)]
    assert looking.go() == 1
    assert column(db, "select count(*) from poller.attempt") == [0]


def test_a_row_that_comes_back_while_it_is_looked_at_is_at_the_same_visit(
    url: str, db: psycopg.Connection[Any], join: NewWorker, failed: Binding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second look reads its status again."""
    looking = Held(url, failed, "strays locked", monkeypatch)
    db.execute(HELD[1])
    assert looking.go() == 0
    assert join(failed).retries() == [("1", 2)]


def test_g2_a_row_that_is_held_is_not_forgotten(
    url: str, db: psycopg.Connection[Any], join: NewWorker, failed: Binding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither one that was claimed before the look, nor one whose claim was committed since its snapshot."""
    worker = join(failed)
    db.execute(HELD[1])
    assert worker.retries() == [("1", 2)]
    db.execute(HELD[0])
    assert Visits(worker.link).forget_strays(failed, "").rows == 0
    db.execute("create table claim_of_later as select * from poller.claim")
    db.execute("delete from poller.claim")
    looking = Held(url, failed, "strays locked", monkeypatch)
    db.execute("insert into poller.claim select * from claim_of_later")
    assert looking.go() == 0


def test_g11_a_settle_that_parks_waits_for_no_look(
    url: str, db: psycopg.Connection[Any], join: NewWorker, failed: Binding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered of a row in hand is not even locked."""
    worker = join(failed)
    db.execute(HELD[1])
    tasks = worker.claims.claim_retries(failed, worker.id, 10).tasks
    db.execute(HELD[0])
    looking = Held(url, failed, "strays locked", monkeypatch)
    worker.link.connection.execute("set lock_timeout = '5s'")
    assert worker.settle(tasks, PARKED) == 1
    assert looking.go() == 0
    assert Visits(worker.link).forget_strays(failed, "").rows == 0, (
        "it was superseded, and nothing is remembered"
    )


# --- whose turn it is, and what goes wrong ------------------------------------------------------------


def _remember(db: psycopg.Connection[Any], binding: Binding, rows: int) -> None:
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, visit)"
        " select %s, i, 'parked', 1, gen_random_uuid() from generate_series(1, %s) i",
        [binding.id, rows],
    )


@pytest.fixture
def link(url: str) -> Iterator[Link]:
    made = Link(url, "test", lock_timeout="50ms")
    yield made
    made.close()


def test_one_supervisor_looks_in_each_period(
    db: psycopg.Connection[Any], link: Link, join: NewWorker, table: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those whose workers live and know the handler, in turn; alone, it is always its turn."""
    binding = bind(db, handler("thing", status="pending", to="normal")(do_nothing))
    register_handlers(link.connection, [binding])
    _remember(db, binding, 1)
    db.execute("update thing set status = 'pending'")
    ids = sorted(uuid4() for _ in range(3))
    looked: list[UUID] = []
    forgetters = [Forgetter(link, [binding], each) for each in ids]
    for each, forgetter in zip(ids, forgetters, strict=True):
        monkeypatch.setattr(forgetter, "_go_on", lambda *_, each=each: looked.append(each))

    def looks(turn: int) -> list[int]:
        [now] = column(db, "select extract(epoch from clock_timestamp())::float8")
        move_clock(link.connection, turn * PERIOD_SECONDS + 1 - now)
        looked.clear()
        waits = [each.run_once() for each in forgetters]
        assert all(3 < wait < PERIOD_SECONDS for wait in waits)
        return [ids.index(each) for each in looked]

    assert looks(300) == [0, 1, 2], "none of them has a worker that the others could see"
    for each in ids:
        db.execute(
            "insert into poller.worker (supervisor, host, pid, slots, handlers, lease)"
            " values (%s, 'h', 1, 1, %s, '30s')",
            [each, [binding.id]],
        )
    assert [looks(turn) for turn in (300, 301, 302, 303)] == [[0], [1], [2], [0]]
    db.execute("update poller.worker set died_at = now() where supervisor = %s", [ids[1]])
    del forgetters[1]
    assert [looks(turn) for turn in (300, 301)] == [[0], [2]]


def test_g11_a_table_that_cannot_be_looked_at_stops_no_other(
    db: psycopg.Connection[Any], link: Link, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One is dropped, one is locked, one is not to be read: each is said once, and looked at again when it can be."""
    names = ["locked", "dropped", "revoked", "sound"]
    for name in names:
        db.execute(f"create table {name} (id int primary key, status text)")  # type: ignore[call-overload]
    bindings = [bind(db, handler(name, status="pending", to="normal")(do_nothing)) for name in names]
    register_handlers(link.connection, bindings)
    for each in bindings:
        _remember(db, each, 1)
    forgetter = Forgetter(link, bindings)
    db.execute("drop table dropped")
    with (
        as_role(db, "all on all tables in schema poller", "all on all tables in schema public") as role,
        psycopg.connect(url) as person,
    ):
        db.execute(f"revoke all on revoked from {role.info.user}")  # type: ignore[call-overload]
        person.execute("lock table locked in access exclusive mode")
        link.connection.execute(f"set role {role.info.user}")  # type: ignore[call-overload]
        for _ in range(2):
            forgetter.run_once()
        assert column(
            db,
            "select h.table_name from poller.attempt join poller.handler h on h.id = handler_id order by 1",
        ) == [
            "public.dropped",
            "public.locked",
            "public.revoked",
        ]
    said = [each.getMessage() for each in caplog.records if "cannot check which" in each.getMessage()]
    assert len(said) == 3
    link.connection.execute("reset role")
    forgetter._left_out.clear()
    db.execute("create table dropped (id int primary key, status text)")
    forgetter.run_once()
    forgetter._left_out.clear()
    forgetter.run_once()
    assert column(db, "select count(*) from poller.attempt") == [0]


def test_a_row_that_row_security_hides_is_not_taken_for_gone(
    db: psycopg.Connection[Any], link: Link, table: None
) -> None:
    """A fleet of another role may have parked it, and would begin it again and again. A status that is seen counts."""
    binding = bind(db, handler("thing", status="pending", to="normal")(do_nothing))
    register_handlers(link.connection, [binding])
    db.execute("insert into thing (status) values ('pending'), ('on_hold')")
    _remember(db, binding, 3)
    db.execute("alter table thing enable row level security; create policy visible on thing using (id <> 2)")
    with as_role(db, "all on all tables in schema poller", "select, update on thing") as role:
        link.connection.execute(f"set role {role.info.user}")  # type: ignore[call-overload]
        assert Forgetter(link, [binding]).pass_once() == 1
    assert column(db, "select key from poller.attempt order by 1") == ["1", "2"]


def test_partitions_are_looked_into(db: psycopg.Connection[Any], link: Link) -> None:
    """A row that was moved to another partition stands; one whose partition was detached is gone."""
    db.execute("create table thing (id int primary key, status text) partition by range (id)")
    for name, bounds in {"low": "0) to (100", "high": "100) to (1000"}.items():
        db.execute(f"create table {name} partition of thing for values from ({bounds})")  # type: ignore[call-overload]
    db.execute("insert into thing select i, 'pending' from generate_series(1, 200) i")
    binding = bind(db, handler("thing", status="pending", to="normal")(do_nothing))
    register_handlers(link.connection, [binding])
    _remember(db, binding, 200)
    forgetter = Forgetter(link, [binding])
    assert forgetter.pass_once() == 0
    db.execute("alter table thing detach partition high")
    assert forgetter.pass_once() == 101


def test_g12_a_look_takes_a_bounded_number_of_rows_and_goes_on_there(
    db: psycopg.Connection[Any], link: Link, table: None
) -> None:
    """With 25,000 rows parked, each is looked at within three periods, and no more than 10,000 at a time."""
    binding = bind(db, handler("thing", status="pending", to="normal")(do_nothing))
    register_handlers(link.connection, [binding])
    _remember(db, binding, 25_000)
    forgetter = Forgetter(link, [binding])
    left = []
    for _ in range(3):
        forgetter.run_once()
        left += column(db, "select count(*) from poller.attempt")
    assert left[0] >= 25_000 - 1 - FORGET_BATCH * MOST_BATCHES
    assert left[-1] == 1, "row 1 stands"


def test_an_idle_look_takes_no_number_and_no_lock(
    db: psycopg.Connection[Any], link: Link, table: None
) -> None:
    """Of a transaction; where all is as it was."""
    binding = bind(db, handler("thing", status="pending", to="normal")(do_nothing))
    register_handlers(link.connection, [binding])
    _remember(db, binding, 1)
    with link.connection.transaction():
        assert Forgetter(link, [binding]).pass_once() == 0
        assert link.connection.execute("select pg_current_xact_id_if_assigned()").fetchone() == (None,)
    db.execute("delete from thing")
    with link.connection.transaction():
        assert Forgetter(link, [binding]).pass_once() == 1
        assert link.connection.execute("select pg_current_xact_id_if_assigned()").fetchone() != (None,)
