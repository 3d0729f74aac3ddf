"""`poller explain`: each reason provoked on the real engine, alone and with others, with the fact that proves it."""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import Client, Fail, Retry, Snooze, handler
from poller.client.explain import ClaimExplained, RowExplained
from poller.client.refusals import NothingSelectedError, RefusedError
from poller.errors import ConfigurationError
from poller.store.binding import bind
from poller.testing import Engine
from tests.command_line import the_line, value
from tests.harness import wait_until, workers_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.client.explain import Reason
    from tests.claiming import NewWorker
    from tests.command_line import InProcess
    from tests.harness import Project


def _work(row: Any) -> None: ...


@pytest.fixture(autouse=True)
def thing(db: psycopg.Connection[Any]) -> None:
    """A table of three rows that are due."""
    db.execute(
        "create table thing (id int primary key, status text not null default 'pending', site int,"
        " ready boolean default true, at timestamptz default '2020-01-01')"
    )
    db.execute("insert into thing (id, site) values (1, 7), (2, 7), (3, 8)")


def made(**options: Any) -> Any:
    """Return a handler of the table."""
    return handler("thing", status="pending", to="normal", **options)(_work)


def explained(url: str, one: Any, key: str = "1") -> RowExplained:
    """Return why a row of the handler is not worked on."""
    found = Client(url, [one]).explain(f"thing:pending:{key}")
    assert isinstance(found, RowExplained)
    assert found.claimable == (not found.reasons)
    return found


def reasons(url: str, one: Any, key: str = "1") -> list[str]:
    """Return the reasons, in order."""
    return [each.reason for each in explained(url, one, key).reasons]


def only(url: str, one: Any, key: str = "1") -> Reason:
    """Return the one reason that there is."""
    [found] = explained(url, one, key).reasons
    return found


def tried(url: str, raised: Callable[[], BaseException], **options: Any) -> Any:
    """Return a handler that has raised something at each row."""

    def fails(row: Any) -> None:
        raise raised()

    one = handler("thing", status="pending", to="normal", **options)(fails)
    with Engine(url, one) as engine:
        assert engine.run_due()
    return one


# --- one at a time ------------------------------------------------------------------------------------


def test_a_row_that_is_due_is_claimable(join: NewWorker, url: str, db: psycopg.Connection[Any]) -> None:
    """As long as a worker is there that has its handler."""
    one = made()
    known_to(db, join(bind(db, one)).id)
    assert explained(url, one).reasons == ()


def test_a_row_that_only_waits_for_a_slot_is_said_so(
    able: Any, here: InProcess, url: str, db: psycopg.Connection[Any]
) -> None:
    """It is claimable; but while others take long, that alone would be no answer."""
    one = made()
    worker = able(one)
    db.execute("update poller.worker set slots = 2")
    worker.claim(2)
    assert explained(url, one, "3").waits
    assert here.run("explain", "thing:pending:3").stdout == (
        "public.thing:pending:3 is due, and waits for a slot: those of all workers that have its handler are taken\n"
    )
    able(one)
    assert not explained(url, one, "3").waits


def known_to(db: psycopg.Connection[Any], worker: int) -> None:
    """Have a worker know all handlers."""
    db.execute(
        "update poller.worker set handlers = array(select id from poller.handler) where id = %s", [worker]
    )


@pytest.fixture
def able(join: NewWorker, db: psycopg.Connection[Any]) -> Any:
    """Makes a worker that lives and knows a handler."""

    def make(one: Any) -> Any:
        worker = join(bind(db, one))
        known_to(db, worker.id)
        return worker

    return make


def test_gone(able: Any, url: str) -> None:
    """There is nothing else to say, then."""
    one = made()
    able(one)
    assert only(url, one, "99").detail == "public.thing has no row 99"
    with pytest.raises(
        ConfigurationError, match=r"'x' cannot be a key of public\.thing: invalid input syntax"
    ):
        explained(url, one, "x")


def test_a_key_that_is_missing_is_no_question_about_the_handler(able: Any, url: str) -> None:
    """A variable of a shell that was empty is told, as it is by orders."""
    able(made())
    with pytest.raises(RefusedError, match=r"nothing stands behind the last colon of 'thing:pending:'"):
        Client(url).explain("thing:pending:")
    assert isinstance(Client(url, handlers=[made()]).explain("thing:pending"), ClaimExplained)


def test_status(able: Any, url: str, db: psycopg.Connection[Any]) -> None:
    """With the one that it shows; one that is shown while it is in work is told apart."""
    one = made(during="busy")
    able(one)
    db.execute("update thing set status = 'held' where id = 1")
    found = only(url, one)
    assert (found.reason, found.facts) == ("status", {"status": "held"})
    assert found.detail == "its status is 'held', not 'pending'"
    db.execute("update thing set status = 'busy' where id = 1")
    assert "during, but no worker holds it" in only(url, one).detail
    db.execute("alter table thing alter status drop not null; update thing set status = null where id = 1")
    found = only(url, made())
    assert (found.detail, found.facts) == ("its status is not set, not 'pending'", {"status": None})


@pytest.mark.parametrize("during", [None, "busy"])
def test_leased(able: Any, url: str, during: str | None) -> None:
    """By whom, and since when."""
    one = made(during=during)
    worker = able(one)
    worker.claim(1)
    found = only(url, one)
    assert found.reason == "leased"
    assert (found.facts["worker"], found.facts["host"], found.facts["pid"]) == (worker.id, "test", 1)
    assert found.facts["since"].tzinfo is not None
    assert found.detail.startswith(f"worker {worker.id} (test, pid 1) has it since 20")


def test_leased_by_the_dead(able: Any, url: str, db: psycopg.Connection[Any]) -> None:
    """Until the sweeper has come by; nobody else can have the row either."""
    one = made()
    able(one).claim(1)
    db.execute("update poller.worker set died_at = now()")
    leased, no_worker = explained(url, one).reasons
    assert leased.detail.endswith("which is dead: the row is about to be taken back")
    assert no_worker.reason == "no_worker"


def test_waiting(able: Any, url: str, db: psycopg.Connection[Any]) -> None:
    """Until its next attempt is due, with the error of the last."""
    one = tried(url, lambda: Retry("1h", "no paper"))
    able(one)
    found = only(url, one)
    assert (found.reason, found.facts["attempt"]) == ("waiting", 1)
    assert "no paper" in found.facts["error"]
    assert abs((found.facts["next_at"] - value(db, "select now() + interval '1 h'")).total_seconds()) < 60
    db.execute("update poller.attempt set next_at = now()")
    assert reasons(url, one) == []


def test_snoozed(able: Any, url: str) -> None:
    """On purpose."""
    one = tried(url, lambda: Snooze("1h"))
    able(one)
    assert only(url, one).reason == "snoozed"
    assert "next_at" in only(url, one).facts


def test_parked(able: Any, url: str) -> None:
    """For good, with the error."""
    one = tried(url, lambda: Fail("broken"))
    able(one)
    found = only(url, one)
    assert (found.reason, found.facts["attempt"], found.facts["error"]) == ("parked", 1, "broken")


def test_paused(able: Any, url: str) -> None:
    """By whom, since when, and until when."""
    one = made()
    able(one)
    Client(url, person="ann").pause("thing", "1h")
    found = only(url, one)
    assert found.reason == "paused"
    assert found.facts["by"].endswith("(ann)")
    assert round((found.facts["until"] - found.facts["since"]).total_seconds()) == 3600


def test_where(able: Any, url: str, db: psycopg.Connection[Any]) -> None:
    """With the condition."""
    one = made(where="ready and site < 8")
    able(one)
    db.execute("update thing set ready = null where id = 1")
    found = only(url, one)
    assert (found.reason, found.facts["where"]) == ("where", "ready and site < 8")
    assert reasons(url, one, "2") == []


@pytest.mark.parametrize(
    ("at", "detail"), [("2999-01-01", "it is due at 2999-01-01"), (None, "its at is not set")]
)
def test_due(able: Any, url: str, db: psycopg.Connection[Any], at: str | None, detail: str) -> None:
    """With the time."""
    one = made(due="at")
    able(one)
    db.execute("update thing set at = %s where id = 1", [at])
    found = only(url, one)
    assert (found.reason, found.facts["column"]) == ("due", "at")
    assert detail in found.detail


@pytest.mark.parametrize(
    ("kind", "at", "due_at"),
    [
        ("timestamp", "2999-01-01 12:00", "2999-01-01T17:00:00+00:00"),
        ("date", "2999-01-01", "2999-01-01T05:00:00+00:00"),
        ("date", "infinity", "9999-12-31"),
        ("timestamptz", "infinity", "9999-12-31"),
    ],
)
def test_a_due_of_any_type_is_an_instant(  # noqa: PLR0913, PLR0917 - its fixtures
    able: Any, url: str, db: psycopg.Connection[Any], kind: str, at: str, due_at: str
) -> None:
    """A time without a zone is read in the database's; what has no end is the last that Python knows."""
    db.execute(f"alter table thing drop column at, add column at {kind}")  # type: ignore[call-overload]
    db.execute("update thing set at = %s where id = 1", [at])
    name = db.info.dbname
    db.execute(f"alter database {name} set timezone = 'America/New_York'")  # type: ignore[call-overload]
    one = made(due="at")
    able(one)
    found = only(url, one)
    assert found.reason == "due"
    assert found.facts["due_at"].astimezone(UTC).isoformat().startswith(due_at)


def test_per_key(able: Any, url: str) -> None:
    """With the row that goes before: one that is due earlier, in flight, or in backoff."""
    one = made(per_key="site")
    worker = able(one)
    found = only(url, one, "2")
    assert (found.reason, found.facts["value"]) == ("per_key", "7")
    assert found.facts["behind"] == [{"key": "1", "why": "due before it"}]
    assert reasons(url, one, "1") == reasons(url, one, "3") == []
    [task, *_] = worker.claim()
    assert only(url, one, "2").facts["behind"] == [{"key": "1", "why": "in flight"}]
    worker.fail([task])
    assert only(url, one, "2").facts["behind"] == [{"key": "1", "why": "waiting"}]
    assert reasons(url, one, "1") == []


def test_per_key_of_a_row_far_back(able: Any, url: str, db: psycopg.Connection[Any]) -> None:
    """Behind more rows than are looked at: some of them go before it all the same."""
    db.execute(
        "insert into thing (id, status, site) select i, 'pending', 9 from generate_series(1001, 4000) i"
    )
    one = made(per_key="site")
    able(one)
    found = only(url, one, "3999")
    assert (found.reason, found.facts["behind"][0]["key"]) == ("per_key", "1001")


def test_a_condition_that_fails_at_the_row(able: Any, url: str) -> None:
    """The claim fails at it, too: that is what keeps the row, and the key is sound."""
    one = made(where="10 / (id - 1) > 1")
    able(one)
    found = only(url, one, "1")
    assert (found.reason, found.facts["error"]) == ("where", "division by zero")


def test_a_table_that_is_locked(able: Any, url: str) -> None:
    """As a row that is: with the session that has it."""
    one = made()
    able(one)
    with psycopg.connect(url) as other:
        other.execute("lock table thing in exclusive mode")
        found = only(url, one, "1")
        assert (found.reason, found.facts["pid"]) == ("locked", other.info.backend_pid)


@pytest.mark.parametrize("where", [None, "site > 0"])
def test_a_table_that_cannot_even_be_read(able: Any, url: str, where: str | None) -> None:
    """As a row that is locked; what poller itself knows of the row is told with it."""
    one = made(where=where)
    worker = able(one)
    hurried = Client(url, [one], hurried=True)
    with psycopg.connect(url, application_name="ddl") as other:
        other.execute("lock table thing in access exclusive mode")
        found: Any = hurried.explain("thing:pending:1")
        [locked] = found.reasons
        assert (locked.reason, locked.facts["pid"]) == ("locked", other.info.backend_pid)
        assert "(ddl) has its whole table locked, in a transaction since" in locked.detail
        without_code: Any = Client(url, hurried=True).explain("thing:pending:1")
        assert [each.reason for each in without_code.reasons] == ["locked"]
    worker.claim(1)
    with psycopg.connect(url) as other:
        other.execute("lock table thing in access exclusive mode")
        found = hurried.explain("thing:pending:1")
        assert [each.reason for each in found.reasons] == ["leased", "locked"]


def test_limit(able: Any, url: str) -> None:
    """With those who hold what it allows."""
    one = made(limit=2)
    worker = able(one)
    worker.claim(2)
    found = only(url, one, "3")
    assert (found.reason, found.facts["limit"], found.facts["in_flight"]) == ("limit", 2, 2)
    assert found.facts["holders"] == [{"worker": worker.id, "rows": 2}]


def test_rate(able: Any, url: str) -> None:
    """With when it allows the next."""
    one = made(rate="2/1h")
    worker = able(one)
    worker.settle(worker.claim(2))
    found = only(url, one, "3")
    assert (found.reason, found.facts["rows"], found.facts["window"]) == ("rate", 2, 3600.0)
    assert 3500 < found.facts["next_in"] < 3700


def test_locked(able: Any, url: str, db: psycopg.Connection[Any]) -> None:
    """With who has it; a look at it holds up nobody."""
    one = made()
    worker = able(one)
    with psycopg.connect(url, application_name="psql") as person:
        person.execute("update thing set site = 9 where id = 1")
        found = only(url, one)
        assert (found.reason, found.facts["pid"]) == ("locked", person.info.backend_pid)
        assert found.facts["application"] == "psql"
        assert reasons(url, one, "2") == []
    assert reasons(url, one) == []
    assert len(worker.claim()) == 3


@pytest.mark.fault("F28")
def test_a_row_that_row_security_keeps_from_changes(
    able: Any, url: str, db: psycopg.Connection[Any], role: str
) -> None:
    """No claim of the role ever takes it, though it sees it: nobody has it locked."""
    one = made()
    able(one)
    db.execute(
        "alter table thing enable row level security; create policy look on thing for select using (true);"
        "create policy change on thing for update using (id <> 2) with check (true)"
    )
    db.execute(f"grant select, update on thing to {role}")
    as_role = f"{url}{'&' if '?' in url else '?'}options=-c%20role%3D{role}"
    assert only(as_role, one, "2").detail == f"row security keeps the role {role} from changing it"
    assert reasons(as_role, one, "1") == []
    with psycopg.connect(url) as person:
        person.execute("select from thing where id = 1 for update")
        told = f"session {person.info.backend_pid} of postgres (unnamed) has it locked"
        assert only(as_role, one, "1").detail == told  # since when, only those see who may see all sessions


def test_who_only_reads_is_told_of_a_lock_by_its_holder(able: Any, url: str) -> None:
    """A session that may not lock cannot try; it says nothing of what it cannot know."""
    one = made()
    able(one)
    with psycopg.connect(url) as person:
        person.execute("update thing set site = 9 where id = 1")
        hurried = Client(url, [one], hurried=True)
        told: Any = hurried.explain("thing:pending:1")
        assert [each.reason for each in told.reasons] == ["locked"]
        free: Any = hurried.explain("thing:pending:2")
        assert free.claimable


def test_no_worker(able: Any, url: str, db: psycopg.Connection[Any]) -> None:
    """None at all, none that has the handler, or none that goes on."""
    one = made()
    assert only(url, one).detail == "no worker is alive", "not even the database knows the handler yet"
    worker = able(one)
    Client(url).drain(worker.id)
    assert only(url, one).detail == "all workers that have its handler are draining or stopping: 1"
    db.execute("update poller.worker set drain_at = null, handlers = '{}'")
    assert only(url, one).detail == "none of the 1 live workers has its handler"
    db.execute("update poller.worker set heartbeat_at = now() - interval '1 day'")
    assert only(url, one).facts == {"living": 0, "ending": 0}


# --- several at once ----------------------------------------------------------------------------------


def test_three_at_once_come_in_the_order_in_which_they_have_to_be_removed(
    able: Any, url: str, db: psycopg.Connection[Any]
) -> None:
    """And once one is removed, the others are left."""
    one = tried(url, lambda: Fail("broken"), where="ready")
    able(one)
    db.execute("update thing set ready = false where id = 1")
    Client(url).pause("thing:pending")
    assert reasons(url, one) == ["parked", "paused", "where"]
    Client(url).retry("thing:pending:1")
    assert reasons(url, one) == ["paused", "where"]
    Client(url).resume("thing")
    assert reasons(url, one) == ["where"]
    db.execute("update thing set ready = true")
    assert reasons(url, one) == []


def test_all_that_can_be_true_together_is_told(able: Any, url: str, db: psycopg.Connection[Any]) -> None:
    """Limits of the fleet beside the row's own."""
    one = made(where="ready", due="at", limit=1, rate="1/1h")
    worker = able(one)
    worker.claim(1)
    db.execute("update thing set status = 'x', ready = false, at = '2999-01-01' where id = 2")
    Client(url).pause("thing")
    Client(url).drain(worker.id)
    with psycopg.connect(url) as person:
        person.execute("select from thing where id = 2 for update")
        expected = ["status", "paused", "where", "due", "limit", "rate", "locked", "no_worker"]
        assert reasons(url, one, "2") == expected
    assert reasons(url, one, "1") == ["leased", "paused", "no_worker"]


# --- how it is asked for ------------------------------------------------------------------------------


def test_without_the_code_what_was_written_down_is_asked(
    able: Any, url: str, here: InProcess, db: psycopg.Connection[Any]
) -> None:
    """Its `where` is not run: it is a reason, as long as nobody has looked; all else is known."""
    one = made(where="1/0 > 0", due="at", per_key="site", limit=1)
    able(one)
    db.execute("update thing set at = '2999-01-01' where id = 1")
    ended = here.run("explain", "thing:pending:1", "--json")
    found = json.loads(ended.stdout)
    assert [*found] == ["claimable", "reasons"]
    where, due = found["reasons"]
    assert (where["reason"], where["where"], where["checked"]) == ("where", "1/0 > 0", False)
    assert where["detail"] == "its handler's code is not here, so its where is not evaluated: 1/0 > 0"
    assert (due["reason"], due["column"]) == ("due", "at")
    assert due["due_at"] == "2999-01-01T00:00:00+00:00"
    note = "nowhere has no such handler; not evaluated: its where\n"
    assert ended.stderr == note
    db.execute("update thing set at = null where id <> 2; update thing set at = '2020-01-01' where id = 2")
    ended = here.run("explain", "thing:pending:2")
    assert ended.stdout.startswith("public.thing:pending:2 is due, if this is true of it:\n  1. where  its")
    assert not json.loads(here.run("explain", "thing:pending:2", "--json").stdout)["claimable"]
    assert here.run("explain", "thing:pending").stderr == note


def test_without_the_code_a_handler_without_conditions_is_known_wholly(
    able: Any, here: InProcess, db: psycopg.Connection[Any]
) -> None:
    """Nothing is left open; of one that an older version has registered, it is."""
    able(made())
    ended = here.run("explain", "thing:pending:1", "--json")
    assert (json.loads(ended.stdout), ended.stderr) == ({"claimable": True, "reasons": []}, "")
    db.execute("update poller.handler set definition = null")
    ended = here.run("explain", "thing:pending:1")
    assert "has no such handler; not evaluated: its where and order_by" in ended.stderr


def test_people_read_a_line_for_each_reason(able: Any, here: InProcess, url: str) -> None:
    """Numbered, in order."""
    able(made())
    assert here.run("explain", "thing:pending:1").stdout == (
        "public.thing:pending:1 is due, and nothing keeps a worker from it\n"
    )
    Client(url).pause("thing")
    head, line = here.run("explain", "public.thing:pending:1").stdout.splitlines()
    assert head == "public.thing:pending:1 is not claimed:"
    assert line.startswith("  1. paused  public.thing:pending is paused by ")


def test_what_is_named_wrongly_is_refused(able: Any, here: InProcess) -> None:
    """With what there is."""
    able(made())
    assert "known: thing:pending" in the_line(here.run("explain", "thing:gone:1"), status=1)
    assert "known: thing:pending" in the_line(here.run("explain", "thing"), status=2)
    assert "no handler is known for table nothing" in the_line(here.run("explain", "nothing:a:1"), status=1)


def test_the_claim_of_a_handler_is_shown_with_its_plan_and_what_it_lacks(
    able: Any, url: str, db: psycopg.Connection[Any]
) -> None:
    """The very statement that is sent; with the index made, nothing is lacking."""
    one = made(where="site > 0")
    able(one)
    found = Client(url, [one]).explain("thing:pending")
    assert isinstance(found, ClaimExplained)
    assert "poller.take(" in found.statement
    assert "%(" not in found.statement
    assert any("Scan" in line for line in found.plan)
    [lack] = found.lacks
    assert "no index serves its claims" in lack.what
    db.execute(lack.todo.replace("CONCURRENTLY ", ""))  # type: ignore[call-overload]
    again = Client(url, [one]).explain("thing:pending")
    assert isinstance(again, ClaimExplained)
    assert again.lacks == ()


def test_the_statement_that_is_shown_can_be_run(able: Any, url: str, db: psycopg.Connection[Any]) -> None:
    """As it is, behind `explain`."""
    one = made(where="site % 2 = 1")
    able(one)
    found = Client(url, [one]).explain("thing:pending")
    assert isinstance(found, ClaimExplained)
    assert db.execute(f"explain {found.statement}").fetchall()  # type: ignore[call-overload]


def test_a_composite_key_may_be_written_in_any_form(able: Any, url: str, db: psycopg.Connection[Any]) -> None:
    """As a JSON array, however it is spaced."""
    db.execute("create table pair (a int, b text, status text default 'new', primary key (a, b))")
    db.execute("insert into pair values (1, 'x')")
    one = handler("pair", status="new", to="old")(_work)
    worker = able(one)
    worker.claim()
    found = Client(url, [one]).explain('pair:new:[1,"x"]')
    assert isinstance(found, RowExplained)
    assert [each.reason for each in found.reasons] == ["leased"]


def test_beside_a_fleet_a_row_is_explained_as_it_moves(project: Project, db: psycopg.Connection[Any]) -> None:
    """From the command line: leased while its handler runs, and of another status afterwards."""
    project.handlers("""
        import pathlib, time

        @handler("thing", status="pending", to="normal")
        def work(row):
            while not pathlib.Path("go").exists():
                time.sleep(0.01)
    """)
    project.start("run")
    wait_until("it is held", lambda: value(db, "select count(*) from poller.claim"))
    [(number, pid)] = workers_of(db)
    [leased] = json.loads(project.run("explain", "thing:pending:1", "--json").stdout)["reasons"]
    assert (leased["reason"], leased["worker"], leased["pid"]) == ("leased", number, pid)
    (project.folder / "go").touch()
    wait_until("it is done", lambda: value(db, "select status from thing where id = 1") == "normal")
    [status] = json.loads(project.run("explain", "thing:pending:1", "--json").stdout)["reasons"]
    assert (status["reason"], status["status"]) == ("status", "normal")


def test_nothing_is_known_of_a_table_without_a_handler(url: str) -> None:
    """Neither here nor in the database."""
    with pytest.raises(NothingSelectedError):
        Client(url).explain("thing:pending:1")


def test_what_is_no_handlers_is_said_so_in_a_line(
    able: Any, here: InProcess, db: psycopg.Connection[Any]
) -> None:
    """Tables of poller's own, and jobs, whatever they are called; a table of a job's name is explained."""
    able(made())
    db.execute(
        "insert into poller.job (name, function, declared)"
        " values ('nightly: \"purge\"', 'f', true), ('backup', 'f', true), ('thing', 'f', true)"
    )
    runs = "poller.run is a table of poller's own: its rows are the runs of jobs; see: poller runs JOB"
    for asked, line in {
        "poller.run": runs,
        "poller.run:backup:7": runs,
        "poller.worker:x": "poller.worker is a table of poller's own: no handler works on it",
        "backup": "backup is a job, and not a table with handlers; see: poller jobs, and poller runs 'backup'",
        "backup:7": "backup is a job, and not a table with handlers; see: poller jobs, and poller runs 'backup'",
        'nightly: "purge"': 'nightly: "purge" is a job, and not a table with handlers;'
        " see: poller jobs, and poller runs 'nightly: \"purge\"'",
    }.items():
        assert the_line(here.run("explain", asked), 2) == line
    assert here.run("explain", "thing:pending:1").returncode == 0


def test_no_value_of_a_row_is_told_of_which_the_where_fails(url: str, db: psycopg.Connection[Any]) -> None:
    """Postgres quotes what it cannot convert; a key that is typed is no secret."""
    db.execute("alter table thing add column note text not null default 's3cret'")
    one = made(where="note::int > 0")
    first = explained(url, one).reasons[0]
    assert first.detail == 'its handler\'s where fails for it: invalid input syntax for type integer: "…"'
    with pytest.raises(RefusedError, match=r'cannot be a key of public.thing: invalid .* integer: "one"'):
        explained(url, one, "one")
