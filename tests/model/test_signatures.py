"""What a function's parameters get, and that nothing succeeds which did nothing.

A handler is called with its row, and with the context if a parameter is meant for it; a default of the user's is
never replaced. What cannot be called so is refused at its decoration, with its place.
"""

from __future__ import annotations

import contextlib
import functools
import ssl  # noqa: TC003 - its annotations are evaluated
from typing import TYPE_CHECKING, Annotated, Any, Optional, Union

import pytest

from poller import Context, PollerError, Row, Run, cron, fixed_rate, job
from poller.model import context as told  # noqa: TC001 - an annotation that is looked into
from poller.testing import Engine
from tests.engines import do_nothing, moves, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    import psycopg

    from poller import Context as OnlyForTypes
    from poller.testing import Done

SEEN: list[Any] = []


@pytest.fixture
def url(url: str, db: psycopg.Connection[Any]) -> str:
    """A database with one row, whose `id` is 7."""
    db.execute("create table task (id int primary key, status text default 'pending')")
    db.execute("insert into task (id) values (7)")
    SEEN.clear()
    return url


# --- handlers -----------------------------------------------------------------------------------------


def with_default(row: Row, dry_run: bool = False) -> None:  # noqa: FBT001, FBT002 - as people write it
    SEEN.append((row, dry_run))


def with_defaults(row: Row, session: Any = None, /, retries: int = 3, *, dry_run: bool = False) -> None:
    SEEN.append((row, session, retries, dry_run))


def with_named_default(row: Row, ctx: Any = None) -> None:
    SEEN.append((row, ctx))


def with_foreign_name(row: Row, context: ssl.SSLContext | None = None) -> None:
    SEEN.append((row, context))


def by_place(row: Row, anything: Any) -> None:
    SEEN.append((row, anything))


def by_name_only(row: Row, *, ctx: Context) -> None:
    SEEN.append((row, ctx))


def context_first(ctx: Context, row: Row) -> None:
    SEEN.append((row, ctx))


def context_first_untyped(ctx: Any, row: Any) -> None:
    SEEN.append((row, ctx))


def annotated_among_defaults(row: Row, dry_run: bool = False, where: Context | None = None) -> None:  # noqa: FBT001, FBT002
    SEEN.append((row, dry_run, where))


def annotated_optional(row: Row, extra: int = 1, it: Optional[Context] = None) -> None:  # noqa: UP045
    SEEN.append((row, extra, it))


def annotated_union(row: Row, extra: int = 1, it: Union[told.Context, None] = None) -> None:  # noqa: UP007
    SEEN.append((row, extra, it))


def annotated_for_the_types_only(row: Row, extra: int = 1, ctx_: OnlyForTypes | None = None) -> None:
    SEEN.append((row, extra, ctx_))


def annotated_with_more(row: Row, extra: int = 1, it: Annotated[Context, "mine"] = None) -> None:  # type: ignore[assignment]
    SEEN.append((row, extra, it))


def called_context(context: Any) -> None:
    SEEN.append((context,))


def passes_on(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def brings_a_session(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(row: Any) -> Any:
        return function(row, "session")

    return wrapper


class Callables:
    """Handlers that are methods, and objects that can be called."""

    def method(self, row: Row, ctx: Context) -> None:
        SEEN.append((row, ctx))

    def __call__(self, row: Row, dry_run: bool = False) -> None:  # noqa: FBT001, FBT002
        SEEN.append((row, dry_run))


class AsyncCallable:
    """An object whose call is a coroutine."""

    async def __call__(self, row: Row) -> None:
        SEEN.append((row,))


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (with_default, (Row, False)),
        (with_defaults, (Row, None, 3, False)),
        (with_named_default, (Row, Context)),
        (with_foreign_name, (Row, None)),
        (by_place, (Row, Context)),
        (by_name_only, (Row, Context)),
        (context_first, (Row, Context)),
        (context_first_untyped, (Row, Context)),
        (annotated_among_defaults, (Row, False, Context)),
        (annotated_optional, (Row, 1, Context)),
        (annotated_union, (Row, 1, Context)),
        (annotated_for_the_types_only, (Row, 1, None)),
        (annotated_with_more, (Row, 1, Context)),
        (called_context, (Row,)),
        (passes_on(with_default), (Row, False)),
        (passes_on(by_place), (Row, Context)),
        (passes_on(passes_on(by_name_only)), (Row, Context)),
        (passes_on(context_first), (Row, Context)),
        (brings_a_session(by_place), (Row, "session")),
        (passes_on(brings_a_session(by_place)), (Row, "session")),
        (functools.partial(with_default), (Row, False)),
        (functools.partial(by_place, anything="mine"), (Row, "mine")),
        (functools.partial(context_first), (Row, Context)),
        (Callables().method, (Row, Context)),
        (Callables(), (Row, False)),
        (AsyncCallable(), (Row,)),
        (functools.partial(AsyncCallable()), (Row,)),
    ],
)
@pytest.mark.parametrize("transactional", [False, True])
def test_a_parameter_gets_what_is_meant_for_it(
    url: str, function: Callable[..., Any], given: tuple[Any, ...], *, transactional: bool
) -> None:
    """The context goes to a parameter annotated or named so, else to the second without a default."""
    if transactional and "Async" in repr(function):  # a transactional handler is a plain function
        return
    [done] = run(url, moves("task", function, transactional=transactional))
    assert done.became == "moved", done.error
    assert [
        type(got) if isinstance(want, type) else got for want, got in zip(given, SEEN[0], strict=True)
    ] == [*given]
    assert SEEN[0][0].id == 7


def in_a_process(row: Row, dry_run: bool = False, *, ctx: Context) -> Any:  # noqa: FBT001, FBT002
    assert (row.id, dry_run, ctx.attempt) == (7, False, 1)


def test_it_is_so_in_another_process(url: str) -> None:
    """There the function is found by its name, and called the same way."""
    [done] = run(url, moves("task", in_a_process, executor="process"))
    assert done.became == "moved", done.error


def needs_a_session(row: Row, session: ssl.SSLContext) -> None: ...
def needs_a_flag(row: Row, dry_run: bool) -> None: ...  # noqa: FBT001
def needs_three(row: Row, ctx: Context, more: int) -> None: ...
def needs_a_name(row: Row, *, tenant: str) -> None: ...
def needs_no_row() -> None: ...
def needs_only_context(ctx: Context) -> None: ...
def needs_two_contexts(ctx: Context, row: Row, other: Context) -> None: ...
def takes_anything(*args: Any, **kwargs: Any) -> None: ...
def late_context(row: Row, more: int = 1, ctx: Context | None = None, /) -> None: ...
def yields(row: Row) -> Iterator[None]:
    yield


async def yields_later(row: Row) -> AsyncIterator[None]:
    yield


class Yields:
    """An object whose call is a generator."""

    def __call__(self, _: Row) -> Iterator[None]:
        yield


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (needs_a_session, "needs 'session'"),
        (needs_a_flag, "needs 'dry_run'"),
        (needs_three, "needs 'more'"),
        (needs_a_name, "needs 'tenant'"),
        (needs_no_row, "must take \\(row\\)"),
        (needs_only_context, "must take \\(row\\)"),
        (needs_two_contexts, "both annotated as Context"),
        (takes_anything, "must take \\(row\\)"),
        (late_context, "the row as its first parameter, and the context as its second"),
        (Callables.method, "a method without its instance"),
        (yields, "remove its yield"),
        (yields_later, "remove its yield"),
        (functools.partial(yields), "remove its yield"),
        (Yields(), "remove its yield"),
    ],
)
def test_g10_what_cannot_be_called_with_a_row_is_refused_at_its_decoration(
    function: Callable[..., Any], says: str
) -> None:
    """In one line that begins with the place."""
    with pytest.raises(PollerError, match=rf"\A\S+test_signatures\.py:\d+ \(\S+\): [^\n]*{says}[^\n]*\Z"):
        moves("task", function)


def test_g10_a_function_without_a_signature_is_refused() -> None:
    """In one line, as any other."""
    with pytest.raises(PollerError, match=r"parameters of .* cannot be inspected"):
        moves("task", dict)


# --- answers of those that did nothing ------------------------------------------------------------------


async def slowly(*_: Any) -> None:
    SEEN.append("ran")


def stepwise(*_: Any) -> Iterator[None]:
    SEEN.append("ran")
    yield


async def stepwise_later(*_: Any) -> AsyncIterator[None]:
    SEEN.append("ran")
    yield


@contextlib.contextmanager
def managed(*_: Any) -> Iterator[None]:
    SEEN.append("ran")
    yield


def lazily(*_: Any) -> Any:
    return map(SEEN.append, ["ran"])


def forgetful(*_: Any) -> Any:
    return do_nothing


def plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function as a decorator does that knows nothing of coroutines and generators."""

    def wrapper(row: Any = None) -> Any:
        return function(row)

    return wrapper


def coroutinely(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap it in a coroutine that does not await it."""

    async def wrapper(row: Any = None) -> Any:
        return function(row)

    return wrapper


IDLE = pytest.mark.parametrize(
    ("function", "says"),
    [
        (plainly(slowly), "returned a coroutine, which is never awaited"),
        (coroutinely(slowly), "returned a coroutine, which is never awaited"),
        (plainly(stepwise), "returned a generator, which is never iterated"),
        (plainly(stepwise_later), "returned a generator, which is never iterated"),
        (coroutinely(stepwise), "returned a generator, which is never iterated"),
        (plainly(managed), "returned a context manager, which is never entered"),
        (plainly(lazily), "returned a map or a filter, which is never iterated"),
        (plainly(forgetful), "returned a function, which is never called"),
    ],
)


@IDLE
@pytest.mark.parametrize("batch", [1, 5])
def test_a_handler_that_did_nothing_has_failed_its_attempt(
    url: str, function: Callable[..., Any], says: str, batch: int
) -> None:
    """What it returned is said, whatever a decorator hid."""
    [done] = run(url, moves("task", function, batch=batch))
    assert done.became == "retrying"
    assert says in str(done.error)
    assert SEEN == []


def idle_in_a_process(_: Row) -> Any:
    return slowly()


@pytest.mark.filterwarnings("ignore:coroutine")
def test_it_is_so_for_a_handler_in_another_process(url: str) -> None:
    """Where it is told what was returned, not that it cannot be sent."""
    [done] = run(url, moves("task", idle_in_a_process, executor="process"))
    assert "the handler returned a coroutine, which is never awaited" in str(done.error)


def runs(url: str, function: Callable[..., Any], **options: Any) -> Done:
    """Return what becomes of the first run of a job."""
    with Engine(url, fixed_rate("1h", name="nightly", **options)(function)) as engine:
        [done] = engine.run_due()
    return done


@IDLE
def test_a_job_that_did_nothing_has_failed(url: str, function: Callable[..., Any], says: str) -> None:
    """And is not "succeeded", so that nothing runs after it."""
    done = runs(url, function)
    assert (done.became, done.to) == ("failed", "failed")
    assert f"the job {says}" in str(done.error)
    assert SEEN == []


def test_a_job_that_did_nothing_in_another_process_has_failed(url: str) -> None:
    """As in its worker."""
    done = runs(url, idle_job, executor="process")
    assert "the job returned a coroutine" in str(done.error)


def idle_job() -> Any:
    return slowly()


@pytest.mark.parametrize("function", [lambda: 5, lambda: {"a": 1}, lambda: iter([])])
def test_what_else_a_job_returns_is_of_no_account(url: str, function: Callable[..., Any]) -> None:
    """It has done its work."""
    assert runs(url, function).to == "succeeded"


# --- jobs -----------------------------------------------------------------------------------------------


def text_of_run(r: "Run | None") -> None:  # noqa: UP037 - as people write it
    SEEN.append(r)


def optional_run(r: Optional[Run] = None) -> None:  # noqa: UP045
    SEEN.append(r)


def flag_of_that_name(run: bool = False) -> None:  # noqa: FBT001, FBT002
    SEEN.append(run)


@passes_on
def wrapped(run: Run) -> None:
    SEEN.append(run)


@pytest.mark.parametrize(
    ("function", "got"),
    [(text_of_run, Run), (optional_run, Run), (flag_of_that_name, bool), (wrapped, Run)],
)
def test_a_job_gets_its_run_by_annotation_or_name(url: str, function: Callable[..., Any], got: type) -> None:
    """An annotation may be a text or a union; a parameter that only bears the name keeps its default."""
    assert runs(url, function).to == "succeeded"
    assert isinstance(SEEN[0], got)


def needs_days(days: int) -> None: ...
def needs_days_and_run(run: Run, *, days: int) -> None: ...
def needs_a_place(days: int, /) -> None: ...


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (needs_days, "needs 'days', which a scheduled run does not pass"),
        (needs_days_and_run, "needs 'days', which a scheduled run does not pass"),
        (needs_a_place, "takes 'days' as positional-only"),
        (stepwise, "remove its yield"),
        (stepwise_later, "remove its yield"),
    ],
)
@pytest.mark.parametrize("when", [cron("* * * * *"), fixed_rate("1h"), job(after="other")])
def test_g10_a_job_that_no_slot_can_call_is_refused_at_its_decoration(
    function: Callable[..., Any], says: str, when: Any
) -> None:
    """In one line with the place; `poller check` need not be run for that."""
    with pytest.raises(PollerError, match=rf"test_signatures\.py:\d+ \(\w+\): [^\n]*{says}"):
        when(function)


def test_a_job_without_a_schedule_may_need_arguments() -> None:
    """They come with each schedule that is made at run time, and with `poller trigger --args`."""
    assert job()(needs_days).name == "needs_days"
