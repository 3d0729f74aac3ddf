"""`poller retry` and `poller release`: an operator's orders, beside the fleet or without one."""

from __future__ import annotations

import contextlib
import random
import re
import threading
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import Client, fixed_rate
from poller.client.refusals import NothingSelectedError
from poller.testing import Engine
from tests.command_line import HANDLERS, hold, known, make_tenants, objects, the_line, trouble, value
from tests.engines import column, fail, moves
from tests.harness import wait_until

if TYPE_CHECKING:
    from tests.command_line import InProcess
    from tests.harness import Project


def attempts(db: psycopg.Connection[Any]) -> dict[str, tuple[str, int, bool]]:
    """Return state, attempt and whether it is due, by key."""
    rows = db.execute("select key, state, attempt, next_at <= now() from poller.attempt").fetchall()
    return {key: (state, attempt, due) for key, state, attempt, due in rows}


def test_a_parked_row_that_is_put_back_has_all_its_attempts_again(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """And the same idempotency key: what its handler did before is known elsewhere by that."""
    make_tenants(db, "pending")
    project.handlers("""
        from tenacity import wait_none
        import pathlib

        @handler("tenants", status="pending", to="normal", attempts=2, wait=wait_none())
        def initialise(tenant: Row, ctx: Context) -> None:
            with open("tried.txt", "a") as file:
                file.write(f"{ctx.attempt} {ctx.key}\\n")
            if not pathlib.Path("mended").exists():
                raise RuntimeError("broken")
    """)
    assert project.run("run", "--drain").returncode == 1
    (project.folder / "mended").touch()

    ended = project.run("retry", "tenants:pending")

    assert (ended.returncode, ended.stdout) == (0, "retrying 1 row\n")
    assert project.run("run", "--drain").returncode == 0
    tried = [line.split() for line in (project.folder / "tried.txt").read_text().splitlines()]
    assert [number for number, _ in tried] == ["1", "2", "1"]
    assert len({key for _, key in tried}) == 1
    assert value(db, "select status from tenants") == "normal"


@pytest.mark.parametrize(
    ("arguments", "back"),
    [
        (["all"], {"parked", "waiting", "other"}),
        (["tenants"], {"parked", "waiting"}),
        (["public.tenants:pending"], {"parked", "waiting"}),
        (["tenants:parked"], {"parked"}),
        (["tenants:pending:waiting"], {"waiting"}),
        (["tenants", "parked", "snoozed"], {"parked", "snoozed"}),
    ],
    ids=lambda each: " ".join(sorted(each)),
)
def test_retry_puts_back_what_the_selector_names(
    here: InProcess, db: psycopg.Connection[Any], arguments: list[str], back: set[str]
) -> None:
    """Snoozed rows only by their keys; rows in flight never."""
    pending = known(db, "public.tenants", "pending")
    for state in ("parked", "waiting", "snoozed"):
        trouble(db, pending, state, state)
    trouble(db, pending, "held", "waiting")
    hold(db, pending, "held")
    trouble(db, known(db, "shop.orders", "paid"), "other")

    assert here.run("retry", *arguments).returncode == 0

    assert {key for key, state in attempts(db).items() if state == ("waiting", 0, True)} == back
    assert value(db, "select count(*) from poller.attempt where crashes > 0 or company > 0") == 5 - len(back)


def test_retry_takes_keys_with_any_characters(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """As arguments of their own; what begins with a dash goes after `--`."""
    pending = known(db, "public.tenants", "pending")
    strange = ["a:b", "pending", "ü \n'\"%{}\\", '{"x"}', "-v", ""]
    for key in strange:
        trouble(db, pending, key)
    ended = here.run("retry", "tenants", "--", *strange)
    assert ended.stdout == "retrying 6 rows\n"
    assert set(attempts(db).values()) == {("waiting", 0, True)}


def test_retry_wakes_the_workers(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """By one notification, however many rows."""
    pending = known(db, "public.tenants", "pending")
    for key in "123":
        trouble(db, pending, key)
    db.execute("listen poller")
    here.run("retry", "all")
    assert len(list(db.notifies(timeout=0.5))) == 1


def test_an_order_that_reaches_nothing_is_answered_with_1(
    here: InProcess, db: psycopg.Connection[Any]
) -> None:
    """In one line, and nobody is woken."""
    known(db, "public.tenants", "pending")
    assert "no row of tenants:pending is parked" in the_line(here.run("retry", "tenants:pending"), status=1)
    assert "no row of tenants 7 is in flight" in the_line(here.run("release", "tenants", "7"), status=1)
    assert "no handler is known for table order" in the_line(here.run("retry", "order"), status=1)


def test_a_released_row_is_taken_again_and_its_holder_changes_nothing(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Between a live worker and its own lease: the second attempt counts, what the first answers does not."""
    make_tenants(db, "pending")
    project.handlers("""
        import pathlib, time

        @handler("tenants", status="pending", to=("first", "second"), during="busy")
        def initialise(tenant: Row, ctx: Context) -> str:
            if ctx.attempt == 2:
                return "second"
            while not pathlib.Path("go").exists():
                time.sleep(0.01)
            return "first"
    """)
    fleet = project.start("run", "--log-level", "debug")
    wait_until("the row is held", lambda: value(db, "select status from tenants") == "busy")

    ended = project.run("release", "tenants", "1")

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "released 1 row\n", "")
    wait_until("another attempt is done", lambda: value(db, "select status from tenants") == "second")
    (project.folder / "go").touch()
    fleet.end()
    assert value(db, "select status from tenants") == "second"
    events = objects(project.run("history", "tenants", "1", "--json"))
    assert [(event["verdict"], event["attempt"]) for event in events] == [("released", 1), ("moved", 2)]
    assert value(db, "select count(*) from poller.attempt") == 0


def test_release_takes_single_rows_out_of_a_lease(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """The rest of the batch stays where it is; a lease that holds nothing any more is gone."""
    pending = known(db, "public.tenants", "pending")
    hold(db, pending, "1", "2", "3")
    hold(db, pending, "4")
    trouble(db, pending, "4", "waiting", attempt=1)
    assert here.run("release", "tenants", "2", "4", "9").stdout == "released 2 rows\n"
    assert db.execute("select keys from poller.claim").fetchall() == [(["1", "3"],)]
    assert attempts(db) == {"2": ("waiting", 1, True), "4": ("waiting", 2, True)}


def test_release_gives_the_status_back_that_a_during_has_replaced(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """As far as the handlers can be asked; where they cannot, it says so."""
    make_tenants(db, "busy", "busy", "normal")
    pending = known(db, "public.tenants", "pending")
    hold(db, pending, "1")
    ended = project.run("release", "tenants:1", "--handlers", "nowhere")
    assert "nowhere has no handler for public.tenants:pending" in ended.stderr
    assert value(db, "select status from tenants where id = 1") == "busy"

    project.handlers(HANDLERS)
    hold(db, pending, "2", "3")
    ended = project.run("release", "all")
    assert ended.stderr == ""
    rows = db.execute("select id, status from tenants where id > 1 order by id").fetchall()
    assert rows == [(2, "pending"), (3, "normal")], "a status that somebody else wrote is left alone"


def test_release_gives_the_status_back_without_the_code_as_the_handler_was_registered(
    here: InProcess, url: str, db: psycopg.Connection[Any]
) -> None:
    """Nothing is left in a status that no handler takes; runs of jobs wait again, too."""
    make_tenants(db, "busy")

    @fixed_rate("1h")
    def backup() -> None: ...

    with Engine(url, moves("tenants", during="busy"), backup):
        pass
    numbers = dict(db.execute("select table_name, id from poller.handler").fetchall())
    run = value(
        db,
        "insert into poller.run (job, function, planned_at, status) values ('backup', 'backup', now(), 'running')"
        " returning id",
    )
    hold(db, numbers["public.tenants"], "1")
    hold(db, numbers["poller.run"], str(run))
    ended = here.run("release", "all")
    assert (ended.stdout, ended.stderr) == ("released 2 rows\n", "")
    assert value(db, "select status from tenants") == "pending"
    assert value(db, "select status from poller.run where id = %s", run) == "pending"


WAYS_BACK = {
    "refused": "raise exception 'no way back'",
    "swallowed": "return null",
}


@pytest.mark.parametrize("how", WAYS_BACK)
def test_a_row_that_was_parked_while_it_showed_a_during_goes_back_when_it_is_retried(
    here: InProcess, url: str, db: psycopg.Connection[Any], how: str
) -> None:
    """No worker would take it otherwise. While its way back is refused it is left, and told; its neighbours go on."""
    make_tenants(db, "pending", "pending")
    db.execute(f"""
        create function keep() returns trigger language plpgsql as $$ begin
          if old.id = 1 and old.status = 'busy' and new.status = 'pending' then {WAYS_BACK[how]}; end if;
          return new; end $$;
        create trigger keep before update on tenants for each row execute function keep()""")
    with Engine(url, moves("tenants", fail, during="busy", attempts=1)) as engine:
        engine.run_due()
    assert dict(db.execute("select id, status from tenants").fetchall()) == {1: "busy", 2: "pending"}
    assert "it still shows 'busy'" in here.run("failures").stdout
    assert "an order to retry takes it back" in here.run("explain", "tenants:pending:1").stdout

    ended = here.run("retry", "tenants")
    assert (ended.returncode, ended.stdout) == (0, "retrying 1 row\n")
    assert (
        "left public.tenants:pending:1: it still shows 'busy'; the table refuses the way back: "
        in ended.stderr
    )
    assert "move public.tenants:busy:1 to another status" in ended.stderr
    assert {key: state for key, (state, *_) in attempts(db).items()} == {"1": "parked", "2": "waiting"}
    ended = here.run("retry", "tenants:1")
    assert (ended.returncode, ended.stdout) == (1, "retrying 0 rows\n")
    assert "tenants:busy:1" in here.run("move", "tenants:pending:1", "pending").stderr

    db.execute("drop trigger keep on tenants")
    ended = here.run("retry", "tenants")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "retrying 1 row\n", "")
    with Engine(url, moves("tenants", during="busy")) as engine:
        assert sorted(each.became for each in engine.run_due()) == ["moved", "moved"]


def stuck(url: str, db: psycopg.Connection[Any], rows: int, *others: str) -> None:
    """Make parked rows that show their handler's `during`, and behind them parked rows of other statuses."""
    make_tenants(db, *["busy"] * rows, *others)
    with Engine(url, moves("tenants", during="busy")):
        pass
    number = value(db, "select id from poller.handler")
    for key in range(1, rows + len(others) + 1):
        trouble(db, number, str(key))


def refuse_the_way_back(db: psycopg.Connection[Any]) -> None:
    """Have a trigger keep all rows in their `during`."""
    db.execute("""
        create function keep() returns trigger language plpgsql as $$ begin raise exception 'no way back'; end $$;
        create trigger keep before update on tenants for each row when (old.status = 'busy')
          execute function keep()""")


@pytest.mark.parametrize("named", [(), ("1", "2", "3", "4", "5")])
def test_rows_that_another_transaction_has_locked_are_not_waited_for(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, named: tuple[str, ...]
) -> None:
    """They are left, and told as locked: the table has refused nothing. Each other is retried once."""
    monkeypatch.setattr("poller.client.retrying.MOST_PASSES", 2)
    stuck(url, db, 4, "pending")
    with psycopg.connect(url) as other:
        other.execute("update tenants set status = status where id in (2, 3)")
        began = monotonic()
        done = Client(url).retry("tenants", named)
        assert monotonic() - began < 2
    assert (done.rows, done.locked, done.kept) == (3, 2, 0)
    assert Client(url).retry("tenants").rows == 2


def test_a_table_that_is_locked_is_waited_for_once(url: str, db: psycopg.Connection[Any]) -> None:
    """However many of its rows would go back; those that need not are retried."""
    stuck(url, db, 8, "pending")
    with psycopg.connect(url) as other:
        other.execute("lock table tenants in share mode")
        began = monotonic()
        done = Client(url).retry("tenants")
        assert monotonic() - began < 4
    assert (done.rows, done.locked, done.kept) == (1, 8, 0)


@pytest.mark.parametrize("is_locked", [True, False], ids=["locked", "not granted"])
def test_rows_that_cannot_be_looked_at_are_retried_and_told(
    here: InProcess, url: str, db: psycopg.Connection[Any], role: str, *, is_locked: bool
) -> None:
    """They may still show a `during`."""
    stuck(url, db, 2)
    db.execute(f"grant all on all tables in schema poller to {role}")
    db.execute(f"grant all on all sequences in schema poller to {role}")
    as_role = f"{url}{'&' if '?' in url else '?'}options=-c%20role%3D{role}"
    with psycopg.connect(url) as other:
        if is_locked:
            other.execute("lock table tenants in access exclusive mode")
        ended = here.run("retry", "tenants", "--database", url if is_locked else as_role)
    assert (ended.returncode, ended.stdout) == (0, "retrying 2 rows\n")
    assert "2 rows could not be looked at, and may still show their handler's during" in ended.stderr


def test_a_retry_in_the_callers_transaction_leaves_its_constraints_deferred(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """What is wrong until the end of it is the caller's; in transactions of poller's own it is found row by row."""
    stuck(url, db, 2)
    db.execute(
        "create table note (id int primary key, tenant int unique, constraint of_note foreign key (tenant)"
        " references note (id) deferrable initially deferred)"
    )
    with db.transaction():
        assert Client(db).retry("tenants").rows == 2
        db.execute("insert into note values (1, 2)")
        db.execute("insert into note values (2, null)")
    assert value(db, "select count(*) from note") == 2


def test_a_row_that_a_deferred_constraint_keeps_leaves_its_neighbours(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """It is found out before the batch is committed."""
    stuck(url, db, 2)
    db.execute("""
        create function keep() returns trigger language plpgsql as $$ begin raise exception 'no way back'; end $$;
        create constraint trigger keep after update on tenants initially deferred for each row
          when (new.id = 1) execute function keep()""")
    done = Client(url).retry("tenants")
    assert (done.rows, done.kept) == (1, 1)


def test_rows_that_the_table_refuses_are_told_apart_until_there_are_enough(
    here: InProcess, url: str, db: psycopg.Connection[Any]
) -> None:
    """The others are left as they are, and told as not tried; rows that need not go back are retried all the same."""
    stuck(url, db, 100, "pending")
    refuse_the_way_back(db)
    few = Client(url).retry("tenants:pending", [str(key) for key in range(1, 101)], most=1)
    assert few.rows == 0
    assert 20 <= few.kept + few.untried < 25
    ended = here.run("retry", "tenants", *map(str, range(1, 102)))
    assert (ended.returncode, ended.stdout) == (0, "retrying 1 row\n")
    assert re.search(r"left 7\d more that were not tried one by one\n", ended.stderr)
    assert "reasons" not in ended.stderr


def test_an_order_that_is_told_to_stop_tells_no_more_rows_apart(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """What the table refuses then is left, and tried by the next order."""
    stuck(url, db, 10)
    refuse_the_way_back(db)
    stop = StopAt(5)
    done = Client(url).retry("tenants", stop=stop)
    assert (done.rows, done.stopped, done.kept + done.untried) == (0, True, 10)
    assert done.untried


class StopAt(threading.Event):
    """Is set once it was asked so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._left = times

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0


def test_who_may_not_write_the_table_retries_what_need_not_go_back(
    here: InProcess, url: str, db: psycopg.Connection[Any], role: str
) -> None:
    """A row that shows its handler's status is retried; one that shows a `during` is left, and told."""
    make_tenants(db, "pending", "busy")
    with Engine(url, moves("tenants", during="busy")):
        pass
    for key in ("1", "2"):
        trouble(db, value(db, "select id from poller.handler"), key)
    db.execute(f"grant select on tenants to {role}; grant all on all tables in schema poller to {role}")
    db.execute(f"grant all on all sequences in schema poller to {role}")
    as_role = f"{url}{'&' if '?' in url else '?'}options=-c%20role%3D{role}"
    done = Client(as_role).retry("tenants", ["1", "2"])
    assert (done.rows, done.kept) == (1, 1)
    assert "permission denied" in done.why[0]


def test_a_row_in_flight_keeps_its_during_when_others_are_retried(
    here: InProcess, url: str, db: psycopg.Connection[Any]
) -> None:
    """Its worker's outcome decides; one that an order before had left waiting in its `during` goes back."""
    make_tenants(db, "busy", "busy")
    with Engine(url, moves("tenants", during="busy")):
        pass
    pending = value(db, "select id from poller.handler")
    for key in ("1", "2"):
        trouble(db, pending, key)
    hold(db, pending, "1")
    assert here.run("retry", "tenants", "1", "2").stdout == "retrying 1 row\n"
    assert dict(db.execute("select id, status from tenants").fetchall()) == {1: "busy", 2: "pending"}


def test_a_row_that_another_handler_holds_in_the_same_during_is_left_to_it(
    here: InProcess, url: str, db: psycopg.Connection[Any]
) -> None:
    """It has been moved to that one's status since: it is retried once it comes back, and two never work on it."""
    make_tenants(db, "busy")
    with Engine(url, moves("tenants", during="busy")):
        pass
    trouble(db, value(db, "select id from poller.handler"), "1")
    hold(db, known(db, "public.tenants", "other"), "1")
    assert here.run("retry", "tenants:pending", "1").stdout == "retrying 1 row\n"
    assert column(db, "select status from tenants") == ["busy"]


def test_a_key_means_that_row_alone_however_it_is_spelled(
    here: InProcess, url: str, db: psycopg.Connection[Any]
) -> None:
    """Of one column it is a text like any other; of several a JSON array in any spelling."""
    db.execute("create table note (id text primary key, status text)")
    db.execute("create table pair (a text, b text, status text, primary key (a, b))")
    note, pair = known(db, "public.note", "pending"), known(db, "public.pair", "pending")
    one, other = '["a","b"]', '["a", "b"]'
    for key in (one, other):
        trouble(db, note, key)
    trouble(db, pair, other)
    for selector in ("note", "pair"):
        assert len(Client(url).failures(f"{selector}:pending:{one}").items) == 1
        assert here.run("retry", selector, one).stdout == "retrying 1 row\n"
        assert len(Client(url).history(selector, one).items) == 1
    assert attempts(db)[one][0] == "waiting"
    assert db.execute("select key from poller.attempt where state = 'parked'").fetchall() == [(other,)]
    hold(db, note, one, other)
    assert here.run("release", f"note:pending:{one}").stdout == "released 1 row\n"


def test_an_order_that_ends_in_a_colon_is_for_no_row(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """What was to stand behind it, a variable of a shell, is missing: it does not mean all rows."""
    make_tenants(db, "pending")
    pending = known(db, "public.tenants", "pending")
    trouble(db, pending, "1")
    hold(db, pending, "2")
    for order in ("retry", "release", "move", "pause", "resume"):
        for selector in ("tenants:", "tenants:pending:"):
            if order in ("pause", "resume") and selector != "tenants:":
                continue  # there is no such handler
            ended = here.run(order, selector, *(["normal"] if order == "move" else []))
            assert "nothing stands behind the last colon of 'tenants:" in the_line(ended), order
    assert value(db, "select count(*) from poller.action") == 0
    assert here.run("failures", "tenants:").returncode == 0, "a question does no harm"


def test_the_empty_status_of_a_table_is_its_own(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """Behind a colon it means the rows of that status; without one, all; in another table it means nothing."""
    make_tenants(db, "pending")
    db.execute("create table letters (id int primary key, status text)")
    numbers = [
        known(db, *each)
        for each in (("public.letters", ""), ("public.letters", "sent"), ("public.tenants", "pending"))
    ]

    def paused() -> list[int]:
        return [
            row[0]
            for row in db.execute("select id from poller.handler where paused_at is not null order by 1")
        ]

    assert here.run("pause", "letters:").returncode == 0
    assert paused() == numbers[:1]
    assert here.run("pause", "letters").returncode == 0
    assert paused() == numbers[:2]
    assert here.run("resume", "letters:").returncode == 0
    assert paused() == numbers[1:2]
    for number, key in zip(numbers, "123", strict=True):
        trouble(db, number, key)
        hold(db, number, f"{key}0")
    for order in ("retry", "release", "pause", "resume"):
        assert "nothing stands behind the last colon" in the_line(here.run(order, "tenants:")), order
    assert [each["key"] for each in objects(here.run("failures", "letters:", "--json"))] == ["1"]
    assert {each["key"] for each in objects(here.run("failures", "letters", "--json"))} == {"1", "2"}
    assert here.run("retry", "letters:").stdout == "retrying 1 row\n"
    assert here.run("release", "letters").stdout == "released 2 rows\n"
    assert here.run("retry", "letters").stdout != "retrying 1 row\n"


def test_orders_may_cross_the_fleet_at_any_moment(project: Project, db: psycopg.Connection[Any]) -> None:
    """Rows are put back and taken away at random while two workers drain them: all get there."""
    make_tenants(db)
    db.execute("insert into tenants (id) select generate_series(1, 400)")
    project.handlers("""
        import random, time
        from tenacity import wait_none

        @handler("tenants", status="pending", to="normal", attempts=10_000, wait=wait_none())
        def initialise(tenant: Row) -> None:
            time.sleep(random.random() / 100)
            if random.random() < 0.2:
                raise RuntimeError("not now")
    """)
    fleet = project.start("run", "--drain", "--workers", "2")
    wait_until("it works", lambda: value(db, "select count(*) from tenants where status = 'normal'") > 10)
    dice, asked = random.Random(1), Client(db)
    while value(db, "select count(*) from tenants where status = 'normal'") < 350:
        key = str(dice.randint(1, 400))
        orders = (
            partial(asked.retry, "all"),
            partial(asked.release, "tenants", [key]),
            partial(asked.release, "all"),
        )
        with contextlib.suppress(NothingSelectedError):
            dice.choice(orders)()
    assert fleet.wait() == 0, fleet.log
    assert db.execute("select status, count(*) from tenants group by 1").fetchall() == [("normal", 400)]
    assert "deadlock" not in fleet.log
    assert value(db, "select count(*) from poller.history where verdict = 'moved'") == 400
