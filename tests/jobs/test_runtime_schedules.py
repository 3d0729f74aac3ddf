"""`schedule(connection, job, …)`: schedules made while the system runs, in the user's own transaction."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from tenacity import stop_after_delay

from poller import cron, fixed_delay, fixed_rate, job, schedule
from poller.errors import ConfigurationError, DatabaseError
from poller.jobs import job_store
from poller.testing import Engine
from tests.command_line import value
from tests.servers import fresh_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from poller import Job, Run

SOON = timedelta(minutes=10)
SEEN: list[Any] = []


@job(overlap="skip", misfire="all", grace="2m", jitter="0s", keep="3d")
def greet(run: Run, name: str = "you", times: int = 1) -> None:
    """Note what it was called with."""
    SEEN.append((run.job, name, times))


@cron("0 3 * * *")
def nightly() -> None:
    """Take no arguments."""


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    SEEN.clear()


@pytest.fixture
def declared(db: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A database in which both jobs are declared."""
    job_store.declare(db, [greet, nightly])
    return db


def seen() -> list[Any]:
    """Return what has run."""
    return SEEN


@pytest.fixture(scope="module")
def untouched(server: str, template: str) -> Iterator[psycopg.Connection[Any]]:
    """The same for all the tests that change nothing."""
    with (
        fresh_database(server, template=template) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        job_store.declare(connection, [greet, nightly])
        yield connection


def row(db: psycopg.Connection[Any], name: str) -> dict[str, Any]:
    """Return a schedule's row."""
    with db.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute("select * from poller.job where name = %s", [name]).fetchone()
    assert found is not None
    return found


def later(url: str) -> datetime:
    """Return a time that is still to come, by the database's clock."""
    with psycopg.connect(url) as connection:
        now: datetime = value(connection, "select poller.now()")
    return now + SOON


# --- whose transaction --------------------------------------------------------------------------------


def test_it_is_there_if_the_users_transaction_commits(url: str, db: psycopg.Connection[Any]) -> None:
    """Together with whatever else was written; nothing is committed on the user's behalf."""
    db.execute("create table orders (id int)")
    with psycopg.connect(url, row_factory=dict_row) as connection:
        connection.execute("insert into orders values (1)")
        schedule(connection, greet, when="@every 5m", name="lost")
        connection.rollback()
        schedule(connection, greet, when="@every 5m", name="kept")
        assert value(db, "select count(*) from poller.job") == 0
        connection.commit()
    assert value(db, "select array_agg(name) from poller.job") == ["kept"]
    assert value(db, "select count(*) from orders") == 0


async def by_async_psycopg(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row) as connection:
        await schedule(connection, "greet", when="@every 5m", name="kept")


async def by_async_core(url: str) -> None:
    async with async_engine(url).begin() as connection:
        await schedule(connection, "greet", when="@every 5m", name="kept")


async def by_async_session(url: str) -> None:
    async with AsyncSession(async_engine(url)) as session:
        await schedule(session, greet, when="@every 5m", name="kept")
        await session.commit()
        await schedule(session, greet, when="@every 5m", name="lost")


async def by_run_sync(url: str) -> None:
    async with AsyncSession(async_engine(url)) as session:
        await session.run_sync(lambda inner: schedule(inner, greet, when="@every 5m", name="kept"))
        await session.commit()


def async_engine(url: str) -> AsyncEngine:
    """Return a user's own async engine, on the test's database."""
    return create_async_engine(
        "postgresql+psycopg://",
        async_creator=lambda: psycopg.AsyncConnection.connect(url),
        poolclass=sqlalchemy.pool.NullPool,
    )


@pytest.mark.parametrize("make", [by_async_psycopg, by_async_core, by_async_session, by_run_sync])
def test_a_coroutine_makes_a_schedule_in_its_own_transaction(
    url: str, declared: psycopg.Connection[Any], make: Callable[[str], Any]
) -> None:
    """`await schedule(…)` on a connection that is awaited, or as ever in SQLAlchemy's `run_sync`."""
    asyncio.run(make(url))
    assert value(declared, "select array_agg(name) from poller.job where not declared") == ["kept"]


@pytest.mark.parametrize(
    "options", [{"cursor_factory": psycopg.RawCursor}, {"cursor_factory": psycopg.ClientCursor}]
)
def test_what_its_owner_has_set_up_on_a_connection_is_of_no_account(
    url: str, declared: psycopg.Connection[Any], options: dict[str, Any]
) -> None:
    """Neither the factories nor the adapters: they are for the owner's own queries."""
    with psycopg.connect(url, **options) as connection:
        set_json_loads(lambda text: text, connection)
        schedule(connection, "greet", when="@every 5m", name="kept", args={"name": "you"})
    assert value(declared, "select args from poller.job where name = 'kept'") == {"name": "you"}


def test_an_error_is_told_to_who_awaits(url: str, declared: psycopg.Connection[Any]) -> None:
    """As to whoever calls."""

    async def make() -> None:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await schedule(connection, "gret", when="@every 5m", name="kept")

    with pytest.raises(ConfigurationError, match="did you mean 'greet'"):
        asyncio.run(make())


def test_it_is_undone_with_its_savepoint(url: str, db: psycopg.Connection[Any]) -> None:
    """And the rest of the transaction goes on."""
    with psycopg.connect(url) as connection:
        with connection.transaction(force_rollback=True):
            schedule(connection, greet, when="@every 5m", name="lost")
        schedule(connection, greet, when="@every 5m", name="kept")
    assert value(db, "select array_agg(name) from poller.job") == ["kept"]


@pytest.fixture
def engine(url: str) -> Any:
    made = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    yield made
    made.dispose()


KINDS: dict[str, Callable[[Any], Any]] = {
    "connection": lambda engine: engine.connect(),
    "session": Session,
    "scoped session": lambda engine: scoped_session(sessionmaker(engine)),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_sqlalchemy_commits_and_rolls_back_as_well(
    engine: Any, make: Callable[[Any], Any], declared: psycopg.Connection[Any]
) -> None:
    """Also where this is the first thing that the connection does."""
    connection = make(engine)
    schedule(connection, "greet", when="@every 5m", name="lost", args={"name": "100% %s"})
    connection.rollback()
    schedule(connection, "greet", when="@every 5m", name="kept", args={"name": "100% %s"})
    connection.commit()
    connection.close()
    assert value(declared, "select array_agg(name) from poller.job where not declared") == ["kept"]
    assert row(declared, "kept")["args"] == {"name": "100% %s"}


WRONG_CONNECTIONS: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing": (lambda: None, "got NoneType"),
    "an engine": (lambda: sqlalchemy.create_engine("postgresql+psycopg://nowhere"), "got Engine"),
    "another database": (
        lambda: sqlalchemy.create_engine("sqlite://").connect(),
        "got Connection on sqlite",
    ),
}


@pytest.mark.parametrize(("make", "said"), WRONG_CONNECTIONS.values(), ids=WRONG_CONNECTIONS)
def test_other_connections_are_refused(make: Callable[[], Any], said: str) -> None:
    """With one line that says which will do."""
    connection = make()
    with pytest.raises(ConfigurationError, match=said) as refused:
        schedule(connection, greet, at=datetime.now(UTC))
    assert "psycopg 3" in str(refused.value)
    if hasattr(connection, "close"):
        connection.close()
        connection.engine.dispose()


def test_sqlalchemy_is_not_needed() -> None:
    """Nor is psycopg imported with the face: `poller --help` and `import poller` are to be quick."""
    code = "import sys, poller; print({'psycopg', 'sqlalchemy', 'alembic'} & sys.modules.keys())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


def test_a_database_without_the_schema_says_what_to_run(empty_url: str) -> None:
    """By either driver."""
    with (
        psycopg.connect(empty_url) as connection,
        pytest.raises(DatabaseError, match="no schema poller that this version knows"),
    ):
        schedule(connection, greet, at=datetime.now(UTC))
    engine = sqlalchemy.create_engine(empty_url.replace("postgresql://", "postgresql+psycopg://", 1))
    with (
        engine.connect() as connected,
        pytest.raises(DatabaseError, match="no schema poller that this version knows"),
    ):
        schedule(connected, "greet", at=datetime.now(UTC))
    engine.dispose()


# --- what runs ----------------------------------------------------------------------------------------


def test_a_one_off_runs_once_at_its_time(url: str, declared: psycopg.Connection[Any]) -> None:
    """With its arguments, under its own name, which is made up from the job's."""
    name = schedule(declared, greet, at=later(url), args={"name": "later", "times": 2})
    assert name.startswith("greet-")
    with Engine(url, greet) as engine:
        engine.run_due()
        assert SEEN == []
        engine.advance("11m")
        engine.run_due()
        engine.advance("30d")
        engine.run_due()
    assert seen() == [(name, "later", 2)]
    assert row(declared, name)["exhausted"]


def test_a_one_off_whose_time_has_passed_runs_at_once(url: str, declared: psycopg.Connection[Any]) -> None:
    """However long ago, and whatever its job does with slots that were missed."""

    @job(misfire="skip", starts_at=datetime(2100, 1, 1, tzinfo=UTC))
    def strict(run: Run) -> None:
        SEEN.append(run.planned_at)

    long_ago = datetime(2001, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=8)))
    schedule(declared, strict, at=long_ago)
    with Engine(url, strict) as engine:
        engine.run_due()
        engine.run_due()
    assert seen() == [long_ago]


def test_a_fixed_rate_starts_now_and_a_fixed_delay_too(url: str, declared: psycopg.Connection[Any]) -> None:
    """As those that are declared do."""
    schedule(declared, "greet", when="@every 1h", name="rate")
    schedule(declared, "greet", when="@after 1h", name="delay")
    with Engine(url, greet) as engine:
        engine.run_due()
        engine.run_due()
        assert sorted(name for name, *_ in SEEN) == ["delay", "rate"]
        engine.advance("61m")
        engine.run_due()
    assert sorted(name for name, *_ in SEEN) == ["delay", "delay", "rate", "rate"]


def test_a_schedule_runs_on_its_own_beside_the_jobs(url: str, declared: psycopg.Connection[Any]) -> None:
    """The job has none; the schedule has its own name, runs and rules."""
    schedule(declared, "nightly", when=cron("0 4 * * *", tz="Asia/Shanghai", keep="1d"), name="nightly at 4")
    found = row(declared, "nightly at 4")
    assert (found["function"], found["schedule"], found["tz"], found["declared"]) == (
        "nightly", "CRON_TZ=Asia/Shanghai 0 4 * * *", "Asia/Shanghai", False
    )  # fmt: skip
    assert row(declared, "nightly")["schedule"] == "0 3 * * *"


# --- whose rules --------------------------------------------------------------------------------------

RULES = ("overlap", "misfire", "grace", "jitter", "starts_at", "ends_at", "keep")


def rules(db: psycopg.Connection[Any], name: str) -> tuple[Any, ...]:
    """Return how a schedule's slots are planned."""
    found = row(db, name)
    return tuple(found[each] for each in RULES)


@pytest.mark.parametrize("given", [greet, "greet"], ids=["the job", "its name"])
def test_a_text_takes_over_the_rules_of_the_job(declared: psycopg.Connection[Any], given: Job | str) -> None:
    """Those that say how slots are planned and how long runs are kept."""
    schedule(declared, given, when="0 3 * * *", name="x")
    assert rules(declared, "x") == rules(declared, "greet")
    assert rules(declared, "x")[:3] == ("skip", "all", timedelta(minutes=2))


def test_a_when_brings_its_own_rules(declared: psycopg.Connection[Any]) -> None:
    """Also its name, if no other is given."""
    ends = datetime(2100, 1, 1, tzinfo=UTC)
    when = fixed_rate(
        "1h", name="hourly", overlap="queue", misfire="skip", grace="5s", jitter="1s", ends_at=ends
    )
    assert schedule(declared, "greet", when=when) == "hourly"
    assert rules(declared, "hourly") == (
        "queue", "skip", timedelta(seconds=5), timedelta(seconds=1), None, ends, timedelta(days=30)
    )  # fmt: skip


def test_a_fixed_delay_never_overlaps(declared: psycopg.Connection[Any]) -> None:
    """Whatever the job has; asked for by name it is refused."""
    schedule(declared, "greet", when="@after 5m", name="a")
    schedule(declared, nightly, when=fixed_delay("5m"), name="b")
    assert row(declared, "a")["overlap"] == row(declared, "b")["overlap"] == "skip"
    with pytest.raises(ConfigurationError, match="cannot overlap"):
        schedule(declared, nightly, when=fixed_delay("5m", overlap="queue"), name="c")


# --- the same name again ------------------------------------------------------------------------------


def test_the_same_again_changes_nothing_that_is_planned(url: str, declared: psycopg.Connection[Any]) -> None:
    """A program may make its schedules whenever it starts."""
    schedule(declared, greet, when="@every 1h", name="rate")
    once = schedule(declared, greet, at=datetime.now(UTC) - SOON, name="once")
    with Engine(url, greet) as engine:
        engine.run_due()
        before = row(declared, "rate"), row(declared, "once")
        schedule(declared, greet, when="@every 1h", name="rate")
        schedule(declared, greet, at=row_time(before[1]), name=once)
        engine.run_due()
    after = row(declared, "rate"), row(declared, "once")
    planned = ("anchor", "planned_to", "next_at", "exhausted")
    assert [[each[key] for key in planned] for each in after] == [
        [each[key] for key in planned] for each in before
    ]
    assert len(SEEN) == 2


def row_time(found: dict[str, Any]) -> datetime:
    """Return the time of a one-off's row."""
    return datetime.fromisoformat(found["schedule"].removeprefix("@at "))


def test_an_edited_schedule_begins_anew(url: str, declared: psycopg.Connection[Any]) -> None:
    """From the moment of the edit; new arguments hold from the next slot on."""
    schedule(declared, greet, when="@every 1h", name="x")
    with Engine(url, greet) as engine:
        engine.run_due()
        schedule(declared, greet, when="@every 2h", name="x", args={"name": "new"})
        found = row(declared, "x")
        assert (found["next_at"], found["planned_to"]) == (None, found["anchor"])
        engine.advance("61m")
        engine.run_due()
        assert len(SEEN) == 1
        engine.advance("61m")
        engine.run_due()
    assert SEEN == [("x", "you", 1), ("x", "new", 1)]


def test_a_one_off_may_be_put_off_or_called_in(url: str, declared: psycopg.Connection[Any]) -> None:
    """Until it has run; and be asked for again after that."""
    schedule(declared, greet, at=later(url), name="x")
    with Engine(url, greet) as engine:
        engine.run_due()
        schedule(declared, greet, at=later(url) + SOON, name="x")
        engine.advance("15m")
        engine.run_due()
        assert SEEN == []
        schedule(declared, greet, at=datetime(2001, 1, 1, tzinfo=UTC), name="x")
        engine.run_due()
        assert len(SEEN) == 1
        schedule(declared, greet, at=datetime(2001, 1, 2, tzinfo=UTC), name="x")
        engine.run_due()
    assert len(SEEN) == 2


def test_an_edited_delay_counts_from_the_last_finish(url: str, declared: psycopg.Connection[Any]) -> None:
    """And while a run is in progress, from that one's."""
    schedule(declared, greet, when="@after 1h", name="x")
    with Engine(url, greet) as engine:
        engine.run_due()
        schedule(declared, greet, when="@after 2h", name="x")
        finished = value(declared, "select finished_at from poller.run")
        assert row(declared, "x")["next_at"] == finished + timedelta(hours=2)
    declared.execute("insert into poller.run (job, function, status) values ('x', 'greet', 'running')")
    schedule(declared, greet, when="@after 3h", name="x")
    assert row(declared, "x")["next_at"] is None


# --- what is refused ----------------------------------------------------------------------------------

NOW = datetime(2030, 1, 1, tzinfo=UTC)
WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "neither": (greet, {}, "when= or at="),
    "both": (greet, {"when": "@every 5m", "at": NOW}, "when= or at="),
    "an empty text": (greet, {"when": "", "name": "x"}, "cron expression ''"),
    "no expression": (greet, {"when": "0 0 31 2 *", "name": "x"}, "31 2"),
    "no text": (greet, {"when": 5, "name": "x"}, "a schedule is written like"),
    "no schedule": (greet, {"when": job(), "name": "x"}, "has no schedule"),
    "no zone": (greet, {"when": "0 3 * * *", "name": "x", "tz": "Mars"}, "unknown time zone 'Mars'"),
    "two zones": (greet, {"when": cron("0 3 * * *"), "name": "x", "tz": "Asia/Tokyo"}, r"write cron\("),
    "a naive time": (greet, {"at": datetime(2030, 1, 1)}, "a time needs its zone"),  # noqa: DTZ001 - on purpose
    "the first time of all": (greet, {"at": datetime.min.replace(tzinfo=UTC)}, "@at 0001-01-01T.*is beyond the calend"),
    "the last time of all": (greet, {"at": datetime.max.replace(tzinfo=UTC)}, "is beyond the calendar, which is from"),
    "a text of such a time": (greet, {"when": "@at 0001-01-02T00:00Z", "name": "x"}, "is beyond the calendar"),
    "a text for a time": (greet, {"at": "2030-01-01"}, "at must be a datetime"),
    "no name": (greet, {"when": "@every 5m"}, "needs name="),
    "an empty name": (greet, {"when": "@every 5m", "name": ""}, "up to 200 characters"),
    "a name that is none": (greet, {"at": NOW, "name": "a\nb"}, "up to 200 characters"),
    "its job's name": (greet, {"at": NOW, "name": "greet"}, "the name of a declared job"),
    "a declared job's name": (greet, {"at": NOW, "name": "nightly"}, "the name of a declared job"),
    "a plain function": (print, {"at": NOW}, "takes a job"),
    "an unknown job": ("gret", {"at": NOW}, "there is no job 'gret'; did you mean 'greet'"),
    "an argument too many": (nightly, {"at": NOW, "args": {"x": 1}}, "'nightly' does not take"),
    "an argument unheard-of": (greet, {"at": NOW, "args": {"nme": 1}}, "'greet' does not take"),
    "arguments without names": (greet, {"at": NOW, "args": [1]}, "args must be a dict"),
    "a number for a name": ("greet", {"at": NOW, "args": {1: 1}}, "args must be a dict"),
    "no JSON": (greet, {"at": NOW, "args": {"name": NOW}}, "arguments of greet must be JSON"),
    "not a number": (greet, {"at": NOW, "args": {"name": float("nan")}}, "must be JSON"),
    "half a character": (greet, {"at": NOW, "args": {"name": "\ud800"}}, "must be JSON"),
    "a null character": (greet, {"at": NOW, "args": {"name": "\0"}}, "must be JSON without"),
    "labels": (greet, {"when": cron("0 3 * * *", on="gpu"), "name": "x"}, "on cannot be given"),
    "jobs before it": (greet, {"when": cron("0 3 * * *", after="y"), "name": "x"}, "after cannot be given"),
    "a timeout": (greet, {"when": cron("0 3 * * *", timeout="1h"), "name": "x"}, "timeout cannot be given"),
    "attempts": (greet, {"when": cron("0 3 * * *", stop=stop_after_delay(9)), "name": "x"}, "attempts, wait, stop"),
}  # fmt: skip


@pytest.mark.parametrize(("what", "given", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_work_is_refused_in_one_line(
    untouched: psycopg.Connection[Any], what: Any, given: dict[str, Any], said: str
) -> None:
    """Before anything is written, and without harm to the user's transaction."""
    with untouched.transaction():
        with pytest.raises(ConfigurationError, match=said) as refused:
            schedule(untouched, what, **given)
        assert "\n" not in str(refused.value)
        assert value(untouched, "select count(*) from poller.job") == 2


@pytest.mark.parametrize("time", ["0001-01-04T00:00+00:00", "9999-12-29T00:00+00:00"])
def test_the_first_and_the_last_time_that_are_taken_can_be_kept(
    declared: psycopg.Connection[Any], url: str, time: str
) -> None:
    """One runs at once, the other waits."""
    schedule(declared, greet, at=datetime.fromisoformat(time), name="x")
    with Engine(url, greet) as engine:
        assert len(engine.run_due()) == (time < "2000")
    assert row(declared, "x")["exhausted"] == (time < "2000")


def test_a_schedule_is_no_job_to_make_schedules_of(declared: psycopg.Connection[Any]) -> None:
    """It has no function of its own; the line names the job that has."""
    schedule(declared, greet, when="@every 5m", name="x")
    with pytest.raises(ConfigurationError, match="name the job whose function it runs: 'greet'"):
        schedule(declared, "x", when="@every 5m", name="y")


def test_backslashes_are_not_taken_for_null_characters(declared: psycopg.Connection[Any]) -> None:
    """Any text that Postgres takes is taken."""
    text = "\\u0000 \\\\u0000 ü \x01 %s {x}"
    schedule(declared, greet, at=NOW, name="x", args={"name": text})
    assert row(declared, "x")["args"] == {"name": text}


def test_g10_a_program_that_declares_a_job_of_a_schedules_name_is_refused(
    declared: psycopg.Connection[Any], url: str
) -> None:
    """Before anything is changed, with both; and the schedule stays as it is, whoever was quicker."""

    @cron("0 5 * * *")
    def mine() -> None: ...

    schedule(declared, greet, when="@every 5m", name="mine", args={"name": "x"})
    before = row(declared, "mine")
    with pytest.raises(ConfigurationError) as refused:
        Engine(url, mine).__enter__()
    assert str(refused.value) == (
        f"{mine.place}: 'mine' is the name of a schedule made at run time: greet at '@every 5m';"
        " give the job another name="
    )
    job_store.declare(declared, [mine])
    assert row(declared, "mine") == before
