"""What a user's objects do when they are touched costs their own row an attempt, and nothing else (guarantee 11)."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tenacity import stop_after_attempt

from poller import Context, Fail, Retry, Row, Run, Snooze, Transition, fixed_rate
from poller.testing import Engine
from tests.engines import column, moves, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.testing import Done


@pytest.fixture
def url(url: str) -> str:
    """A database with a table of tasks."""
    with psycopg.connect(url) as db:
        db.execute("create table task (id int primary key, status text not null, note text, data jsonb)")
    return url


class MuteError(Exception):
    """Has no text."""

    def __str__(self) -> str:
        return str(1 / 0)


class LeavingError(Exception):
    """Leaves the interpreter whenever it is looked at."""

    def __str__(self) -> str:
        raise SystemExit(3)

    def __getattribute__(self, name: str) -> Any:
        raise KeyboardInterrupt


class NamelessMeta(type):
    """Tells no name."""

    @property
    def __name__(cls) -> str:
        raise GeneratorExit


class NamelessError(Exception, metaclass=NamelessMeta):
    """Tells nothing of itself."""

    @property
    def __class__(self) -> type:
        raise SystemExit

    @property
    def __traceback__(self) -> Any:
        raise SystemExit


class LateText(str):
    """A text that fails when it is compared, cut or hashed; a status, and an error's text."""

    __slots__ = ()

    def __eq__(self, _: object) -> bool:
        raise SystemExit

    def __hash__(self) -> int:
        raise SystemExit

    def split(self, *_: Any) -> Any:
        raise SystemExit

    def __getitem__(self, _: Any) -> Any:
        raise SystemExit


class LateText2(LateText):
    """The same, but that it may be a key."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 1


class LateTextError(Exception):
    """Has a text of a class of its own."""

    def __str__(self) -> str:
        return LateText("late")


class EqualToAll(str):
    """Passes for any status."""

    __slots__ = ()

    def __eq__(self, _: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("normal")


class BareSnooze(Snooze):
    """Says no delay."""

    def __init__(self) -> None:
        pass


class OddSnooze(Snooze):
    """Says a delay that is none."""

    def __init__(self, delay: Any) -> None:
        super().__init__("1s")
        self.delay = delay


class OddRetry(Retry):
    """Has a reason that is not a text, and no end to its delay."""

    def __init__(self) -> None:
        super().__init__("1s", reason=object())  # type: ignore[arg-type]
        self.delay = float("inf")


class BareTransition(Transition):
    """Leads nowhere."""

    def __init__(self) -> None:
        pass


class Leaves:
    """Leaves the interpreter whenever it is touched."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit

    def __repr__(self) -> str:
        raise SystemExit


class LeavingDict(dict[Any, Any]):
    """Cannot be gone through."""

    def items(self) -> Any:
        raise SystemExit


class Status(Enum):
    """Has a member without a value."""

    NORMAL = "normal"

    @property
    def value(self) -> Any:
        raise SystemExit


RAISED: list[tuple[Callable[[], BaseException], str]] = [
    (MuteError, "MuteError"),
    (LeavingError, "LeavingError"),
    (NamelessError, "NamelessError"),
    (LateTextError, "LateTextError: late"),
    (lambda: SystemExit(3), "SystemExit: 3"),
    (KeyboardInterrupt, "KeyboardInterrupt"),
    (GeneratorExit, "GeneratorExit"),
    (BareSnooze, "BareSnooze"),
    (lambda: OddSnooze("soon"), "OddSnooze"),
    (lambda: OddSnooze(float("nan")), "OddSnooze"),
    (OddRetry, "<object object at"),
    (lambda: Fail(LateText("no")), "no"),
]
ANSWERED: list[tuple[Callable[[], Any], str]] = [
    (BareTransition, "AttributeError"),
    (Leaves, "SystemExit"),
    (lambda: LateText("other"), "the handler returned 'other'; it may return 'normal'"),
    (lambda: EqualToAll("other"), "the handler returned 'other'; it may return 'normal'"),
    (lambda: Status.NORMAL, "SystemExit"),
    (lambda: Transition("normal", note=Leaves()), "SystemExit"),
    (lambda: Transition("normal", data={"a": Leaves()}), ""),
    (lambda: Transition("normal", data=float("nan")), ""),
    (lambda: Transition("normal", missing=1), "Transition cannot set 'missing'"),
]


def fill(url: str, cases: list[Any]) -> None:
    """Make a task for each case, and a good one behind each."""
    with psycopg.connect(url) as db:
        db.execute("insert into task select i, 'pending' from generate_series(1, %s) as i", [2 * len(cases)])


def of_task(cases: list[Any], number: int) -> Callable[[], Any] | None:
    """Return what is made for a task; nothing for every second one."""
    place, is_good = divmod(number - 1, 2)
    make: Callable[[], Any] = cases[place][0]
    return None if is_good else make


def throw(number: int) -> None:
    """Raise what is to be raised for a task."""
    make = of_task(RAISED, number)
    if make is not None:
        raise make()


def assert_each_failed_alone(cases: list[Any], done: list[Done]) -> None:
    """Hold that the good tasks have moved, and each of the others has failed, with its error."""
    assert sorted(int(each.key) for each in done) == list(range(1, 2 * len(cases) + 1))
    for each in done:
        place, is_good = divmod(int(each.key) - 1, 2)
        assert each.became == ("moved" if is_good else "parked"), each
        assert is_good or (cases[place][1] in str(each.error)), each


def plain_step(row: Row) -> None:
    throw(row.id)


async def coroutine_step(row: Row) -> None:
    throw(row.id)


def transactional_step(row: Row, ctx: Context) -> None:
    _ = ctx.connection
    throw(row.id)


def batch_step(rows: list[Row]) -> list[Any]:
    makes = [of_task(RAISED, row.id) for row in rows]
    return [None if make is None else make() for make in makes]


@pytest.mark.fault("F52")
@pytest.mark.parametrize(
    ("step", "options"),
    [
        (plain_step, {}),
        (coroutine_step, {}),
        (transactional_step, {"transactional": True}),
        (batch_step, {"batch": 10}),
    ],
    ids=["thread", "coroutine", "transactional", "batch, answered"],
)
def test_g11_whatever_is_raised_is_that_rows_failure(url: str, step: Any, options: dict[str, Any]) -> None:
    """Thread, loop and settler go on with the others, on one slot."""
    fill(url, RAISED)
    with Engine(url, moves("task", step, attempts=1, **options), concurrency=1) as engine:
        done = engine.run_due()
    assert_each_failed_alone(RAISED, done)


@pytest.mark.fault("F52")
@pytest.mark.parametrize("options", [{}, {"transactional": True}], ids=["thread", "transactional"])
def test_g11_whatever_is_answered_is_that_rows_failure(url: str, options: dict[str, Any]) -> None:
    """It is looked at where the handler has run, and not by a thread that others need."""
    fill(url, ANSWERED)

    def step(row: Row) -> Any:
        make = of_task(ANSWERED, row.id)
        return None if make is None else make()

    with Engine(url, moves("task", step, attempts=1, **options), concurrency=1) as engine:
        assert_each_failed_alone(ANSWERED, engine.run_due())


@pytest.mark.fault("F52")
@pytest.mark.parametrize(
    "make", [lambda: {LateText2("1"): None}, lambda: [Leaves()] * 4, lambda: {Leaves: 1}]
)
def test_g11_an_answer_of_a_batch_that_cannot_be_touched(url: str, make: Callable[[], Any]) -> None:
    """Nobody knows whose it is: the batch has failed."""
    fill(url, [1, 2])
    done = run(url, moves("task", lambda _: make(), attempts=1, batch=10))
    assert [each.became for each in done] == ["parked"] * 4


@pytest.mark.fault("F52")
def test_a_policy_that_leaves_is_no_further_attempt(url: str) -> None:
    """It is the user's, too."""
    fill(url, RAISED)

    def leave(_: Any) -> bool:
        raise SystemExit

    cases = [(make, "") for make, _ in RAISED]
    done = run(url, moves("task", plain_step, retry=leave, stop=stop_after_attempt(1)))
    assert_each_failed_alone(cases, done)


@pytest.mark.fault("F52")
def test_a_process_survives_what_cannot_be_sent(url: str) -> None:
    """Its reply is in words."""
    fill(url, RAISED)
    cases = [(make, "") for make, _ in RAISED]
    done = run(url, moves("task", plain_step, attempts=1, executor="process"))
    assert_each_failed_alone(cases, done)


@pytest.mark.fault("F52")
def test_progress_that_is_no_number_is_the_runs_failure(url: str, db: psycopg.Connection[Any]) -> None:
    """What reports on the others never sees it."""

    @fixed_rate("1h")
    def count(run: Run) -> None:
        run.progress("half of it")  # type: ignore[arg-type]

    with Engine(url, count) as engine:
        engine.run_due()
    [error] = column(db, "select error from poller.run where status = 'failed'")
    assert error.startswith("ValueError")
