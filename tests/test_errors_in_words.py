"""An error is told by its class, its reason and its place in the user's code, and never by the values of rows."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from poller import Context, Row, cron
from poller.errors_in_words import message, raised_at, traceback_of
from poller.model.answers import Unexpected, describe
from poller.testing import Engine
from tests.command_line import objects
from tests.engines import column, moves, run

if TYPE_CHECKING:
    from tests.command_line import InProcess

CANARY = "DE89370400440532013000"


class Base(DeclarativeBase):
    """What the mapped classes of this test share."""


class Account(Base):
    """An account, whose number is nobody's business."""

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str]
    iban: Mapped[str] = mapped_column(unique=True)


@pytest.fixture
def url(url: str) -> str:
    """A database with three accounts, of which one has the canary."""
    with psycopg.connect(url) as db:
        db.execute(
            "create table account (id int primary key, status text not null, iban text unique, age int check (age > 0))"
        )
        db.execute(
            "insert into account select i, 'pending', case i when 1 then %s else i::text end"
            " from generate_series(1, 3) as i",
            [CANARY],
        )
    return url


def flushed(account: Account) -> None:
    """Break the unique key by the session's flush, of row 2 only."""
    if account.id == 2:
        account.iban = CANARY


def executed(row: Row, ctx: Context) -> None:
    if row.id == 2:
        ctx.connection.execute(text("update account set iban = :iban where id = 2"), {"iban": CANARY})


def converted(row: Row, ctx: Context) -> None:
    if row.id == 2:
        ctx.connection.execute(text("select cast(:iban as integer)"), {"iban": CANARY})


def wrapped(row: Row, ctx: Context) -> None:
    try:
        executed(row, ctx)
    except Exception as error:
        msg = f"the payment failed: {error}"
        raise RuntimeError(msg) from error


def raw(row: Row, ctx: Context) -> None:
    if row.id == 2:
        driver: Any = ctx.connection.connection.driver_connection
        driver.execute("update account set age = -1, iban = %s where id = 2", [CANARY + "1"])


@pytest.mark.parametrize(
    ("table", "step", "said"),
    [
        (
            Account,
            flushed,
            r"IntegrityError: duplicate key value violates unique constraint \"account_iban_key\"",
        ),
        ("account", executed, r"IntegrityError: duplicate key value violates .*"),
        ("account", converted, r"DataError: invalid input syntax for type integer: \"…\""),
        ("account", wrapped, r"RuntimeError: the payment failed: .*"),
        ("account", raw, r"CheckViolation: new row for relation \"account\" violates check constraint .*"),
    ],
)
@pytest.mark.fault("F50")
def test_no_error_holds_a_rows_values(  # noqa: PLR0913, PLR0917 - a case and what it needs
    db: psycopg.Connection[Any], url: str, caplog: pytest.LogCaptureFixture, table: Any, step: Any, said: str
) -> None:
    """Neither the log, traceback included, nor what is kept."""
    with caplog.at_level("DEBUG", logger="poller"):
        done = run(url, moves(table, step, transactional=True, attempts=1))
    assert [each.became for each in done] == ["moved", "parked", "moved"]
    [error] = column(db, "select error from poller.attempt")
    assert re.match(said, error)
    kept = column(db, "select a::text from poller.attempt as a") + column(
        db, "select e::text from poller.event as e"
    )
    logged = [str(vars(record)) for record in caplog.records]
    assert not [each for each in (*kept, *logged) if CANARY in each]


def test_the_place_of_an_error_is_in_the_users_code(url: str) -> None:
    """Not in the library that it called."""

    def step(row: Row) -> None:
        json.loads("{")

    [error, *_] = [each.error for each in run(url, moves("account", step, attempts=1))]
    assert re.fullmatch(r"JSONDecodeError: Expecting .* \(test_errors_in_words\.py:\d+\)", str(error))


def test_the_place_of_an_error_in_an_installed_project_is_in_its_package() -> None:
    """All its code lies among the libraries then; `json` is the package here."""
    with pytest.raises(ValueError, match="Expecting") as raised:
        json.loads("{")
    trace = raised.value.__traceback__
    assert trace is not None
    raised.value.__traceback__ = trace.tb_next  # as if poller had called it
    assert re.search(r" \(decoder\.py:\d+\)$", describe(raised.value))


async def stop(row: Row) -> None:
    """Run out of what there is: Python makes a RuntimeError of it, which no line has raised."""
    next(iter([]))


def test_an_error_that_python_makes_of_another_has_the_place_of_that_one(
    db: psycopg.Connection[Any], url: str
) -> None:
    """And its traceback: `RuntimeError: coroutine raised StopIteration` alone says nothing."""
    line = stop.__code__.co_firstlineno + 2
    said = f"RuntimeError: coroutine raised StopIteration (test_errors_in_words.py:{line})"
    done = run(url, moves("account", stop, attempts=1))
    assert {each.error for each in done} == {said}
    for traceback in column(db, "select traceback from poller.event"):
        lines = traceback.splitlines()
        assert "next(iter([]))" in traceback
        assert (lines[-1], "StopIteration" in lines) == ("RuntimeError: coroutine raised StopIteration", True)


def test_a_run_that_ends_so_is_told_with_its_place_and_traceback(
    db: psycopg.Connection[Any], url: str
) -> None:
    """In the columns of the run, and at the end of its output."""

    @cron("* * * * *")
    async def nightly() -> None:
        next(iter([]))

    with Engine(url, nightly) as engine:
        engine.advance("1m")
        engine.run_due()
    [(place, output)] = db.execute(
        "select place, output from poller.run where status = 'failed' limit 1"
    ).fetchall()
    assert place.startswith("test_errors_in_words.py:")
    assert "in nightly\n" in output
    assert output.endswith("RuntimeError: coroutine raised StopIteration\n")


def test_a_group_that_was_raised_nowhere_has_the_place_of_what_is_in_it() -> None:
    """As a library's task group may make it; what poller says itself has none, whatever it came from."""
    errors: list[Exception] = []
    for _ in range(2):
        try:
            json.loads("{")
        except ValueError as error:
            errors.append(error)
    group = ExceptionGroup("both", errors)
    assert re.search(r" \(test_errors_in_words\.py:\d+\)$", describe(group))
    assert "in test_a_group_that" in traceback_of(group)
    said = Unexpected("the executor failed")
    said.__cause__ = errors[0]
    assert (raised_at(said), traceback_of(said)) == ("", "")


def test_the_traceback_of_a_failed_attempt_is_kept(
    here: InProcess, db: psycopg.Connection[Any], url: str
) -> None:
    """`poller history --json` shows it, of a process's, too."""

    def step(row: Row) -> None:
        try:
            json.loads("{")
        except ValueError as error:
            raise LookupError("no such thing") from error

    run(url, moves("account", step, attempts=1))
    [line] = objects(here.run("history", "account", "1", "--json"))
    lines = line["traceback"].splitlines()
    assert lines[-1] == "LookupError: no such thing"
    assert any("json/decoder.py" in each for each in lines)
    assert any('raise LookupError("no such thing") from error' in each for each in lines)
    assert any(each.startswith("JSONDecodeError: ") for each in lines)


def fail(row: Row) -> None:
    """Fail in a process."""
    json.loads("{")


def test_the_traceback_of_a_process_is_kept(db: psycopg.Connection[Any], url: str) -> None:
    """It comes with the error, in words."""
    run(url, moves("account", fail, attempts=1, executor="process"))
    for traceback in column(db, "select traceback from poller.event"):
        assert "in fail\n" in traceback


def test_a_runs_traceback_is_at_the_end_of_its_output(db: psycopg.Connection[Any], url: str) -> None:
    """`poller logs` shows it."""

    @cron("* * * * *")
    def nightly() -> None:
        json.loads("{")

    with Engine(url, nightly) as engine:
        engine.advance("1m")
        engine.run_due()
    output, *_ = column(db, "select output from poller.run where status = 'failed'")
    assert "in nightly\n" in output
    assert output.endswith(
        "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)\n"
    )


def test_what_a_driver_adds_is_cut_off_wherever_it_stands() -> None:
    """In an error of another kind, and in one that holds it as a representation."""
    added = f"duplicate key\nDETAIL:  Key (iban)=({CANARY}) already exists."
    assert message(ValueError(added)) == "duplicate key"
    assert message(ValueError(f"said {added!r}")) == "said 'duplicate key"
    assert CANARY not in message(ValueError(f"x\n[SQL: select 1]\n[parameters: {{'a': '{CANARY}'}}]"))
    assert traceback_of(ValueError(added)) == ""
