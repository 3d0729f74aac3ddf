"""The user's middleware around attempts and runs: generators that the engine drives around each call of a handler.

The model. `around` marks a generator function. Its part before the `yield` runs just before the handler, in the same
thread or task and in the same context (`contextvars`); its part after the `yield` runs when the handler has ended:
`yield` gives what the handler returned, or raises what it raised. A plain generator is driven around coroutine handlers,
too: the engine awaits the handler in between. What the handler returned or raised stands, unless the middleware raises:
then the attempt has failed with that error.

The first middleware is outermost. Handlers are wrapped when a worker starts, so without middleware a call costs nothing.

Middleware runs where its handler runs, in a child process say. The integrations' own is *local*: it runs in the worker,
around the call of the child, so that it also sees the child die. It need not be found by a name.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from poller.errors import ConfigurationError
from poller.model.signature import beneath
from poller.telemetry.current_attempt import current

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from poller.model.handler import Handler
    from poller.telemetry.current_attempt import Attempt

    Middleware = Callable[[Attempt], Iterator[None]] | Callable[[Attempt, list[Any]], Iterator[None]]
    Running = Generator[None, Any, object]

MOST_PARAMETERS = 2  # the attempt, and the rows


@dataclass(frozen=True, eq=False)
class Around:
    """A middleware. It can still be called as the plain generator function.

    Attributes:
        function: the generator function.
        takes_rows: whether it takes the rows, too.
        is_local: whether it runs in the worker, wherever the handler runs.
    """

    function: Callable[..., Running]
    takes_rows: bool
    is_local: bool = False

    def __call__(self, *args: Any) -> Running:
        """Call the plain function."""
        return self.function(*args)

    def __str__(self) -> str:
        return f"{self.function.__module__}.{self.function.__qualname__}"

    @property
    def place(self) -> tuple[str, str]:
        """Return its module, and its name in that module."""
        return self.function.__module__, self.function.__qualname__

    def begin(self, rows: Sequence[Any]) -> Running:
        """Run the part before the `yield`.

        Raises:
            BaseException: what it raises; RuntimeError if it does not yield.
        """
        running = self.function(current(), rows) if self.takes_rows else self.function(current())
        try:
            next(running)
        except StopIteration:
            msg = f"{self} does not yield, so the handler was not called"
            raise RuntimeError(msg) from None
        return running


def around(function: Middleware) -> Around:
    """Have a generator run around every attempt and every run: `@poller.around`, in the handlers package.

    It is called once for each call of a handler, which a batch of rows shares, and for each run of a job: with the
    `poller.Attempt` in progress and, if it takes a second argument, the list of rows (or instances) that the handler
    gets. It yields once: `yield` gives what the handler returned, or raises what it raised. That stands, whether or not
    the generator raises it again; if the generator raises anything else, the attempt has failed with that.

    Raises:
        ConfigurationError: it is not a generator function that takes one or two arguments.

    >>> @around
    ... def timed(attempt):
    ...     print("begins")
    ...     yield
    ...     print("has ended")
    >>> for _ in timed(None):
    ...     print("the handler")
    begins
    the handler
    has ended
    """
    function = beneath(function)
    name = getattr(function, "__qualname__", repr(function))
    if not inspect.isgeneratorfunction(function):
        msg = f"{name} must be a plain generator function that yields once; it runs around coroutines, too"
        raise ConfigurationError(msg)
    parameters = list(inspect.signature(function).parameters.values())
    plain = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    if parameters != plain or not 1 <= len(plain) <= MOST_PARAMETERS:
        msg = f"{name} must take (attempt) or (attempt, rows)"
        raise ConfigurationError(msg)
    return Around(function, takes_rows=len(plain) == MOST_PARAMETERS)


def in_order(found: Iterable[Around]) -> tuple[Around, ...]:
    """Return middleware in the order of its modules, and of its names in each; the first is outermost."""
    return tuple(sorted(found, key=lambda each: each.place))


def surround(handler: Handler, middleware: Sequence[Around]) -> Handler:
    """Return the handler with middleware around its calls; without middleware, the handler itself."""
    if not middleware:
        return handler
    wrap = _coroutine if handler.is_coroutine else _plain
    invoke: Any = wrap(handler.invoke, middleware)
    invoke.middleware = tuple(middleware)  # for handlers that run in another process
    return replace(handler, invoke=invoke)


def local(handler: Handler) -> list[Around]:
    """Return the middleware that runs in the worker, around the call of another process."""
    return [each for each in _middleware(handler) if each.is_local]


def places(handler: Handler) -> tuple[tuple[str, str], ...]:
    """Return the module and name of each other middleware of a handler, for another process to import."""
    return tuple(each.place for each in _middleware(handler) if not each.is_local)


def _middleware(handler: Handler) -> tuple[Around, ...]:
    return getattr(handler.invoke, "middleware", ())


def modules(handler: Handler) -> tuple[str, ...]:
    """Return the modules of a handler's middleware."""
    return tuple(module for module, _ in places(handler))


def find(where: Iterable[tuple[str, str]]) -> list[Around]:
    """Import middleware by module and name, in another process.

    Raises:
        Exception: it cannot be imported.
    """
    return [_find(module, name) for module, name in where]


def call(middleware: Sequence[Around], given: Any, function: Callable[[], Any]) -> Any:
    """Call a function with middleware around it.

    Args:
        middleware: the first is outermost.
        given: the row or rows that the handler gets.
        function: calls the handler.

    Raises:
        BaseException: what the handler or the middleware raises.
    """
    return _plain(lambda _: function(), middleware)(given)


def _plain(invoke: Callable[..., Any], middleware: Sequence[Around]) -> Callable[..., Any]:
    @functools.wraps(invoke)
    def surrounded(*given: Any) -> Any:
        entered = _enter(middleware, given[0])
        try:
            answer = invoke(*given)
        except BaseException as error:  # noqa: BLE001 - it is raised again
            _leave(entered, None, error)
        else:
            _leave(entered, answer)
            return answer

    return surrounded


def _coroutine(invoke: Callable[..., Any], middleware: Sequence[Around]) -> Callable[..., Any]:
    @functools.wraps(invoke)
    async def surrounded(*given: Any) -> Any:
        entered = _enter(middleware, given[0])
        try:
            answer = await invoke(*given)
        except BaseException as error:  # noqa: BLE001 - it is raised again
            _leave(entered, None, error)
        else:
            _leave(entered, answer)
            return answer

    return surrounded


def _enter(middleware: Sequence[Around], given: Any) -> list[Running]:
    """Begin all middleware; if one raises, the error is passed to those begun before it."""
    rows = given if isinstance(given, list) else [given]
    entered: list[Running] = []
    for each in middleware:
        try:
            entered.append(each.begin(rows))
        except BaseException as error:  # noqa: BLE001 - it is raised again
            _leave(entered, None, error)
    return entered


def _leave(entered: list[Running], answer: object, error: BaseException | None = None) -> None:
    """End middleware, the innermost first.

    Raises:
        BaseException: the error, or the one that a middleware raised instead.
    """
    while entered:
        error = _end(entered.pop(), answer, error)
    if error is not None:
        raise error


def _end(running: Running, answer: object, error: BaseException | None) -> BaseException | None:
    """Run the part of a middleware after its `yield`; return the error that then stands, if any."""
    traceback = None if error is None else error.__traceback__
    try:
        if error is None:
            running.send(answer)
        else:
            running.throw(error)
    except StopIteration:
        return error
    except BaseException as raised:  # noqa: BLE001 - it stands instead
        if error is not None and _is_same(raised, error):
            error.__traceback__ = traceback  # without the middleware's own frames
            return error
        return raised
    running.close()
    return RuntimeError("a middleware must yield once; it has yielded again")


def _is_same(raised: BaseException, error: BaseException) -> bool:
    """Return whether an error is the one that was thrown in: a generator cannot raise StopIteration as it is."""
    return raised is error or (
        type(raised) is RuntimeError and raised.__cause__ is error and _ends_iteration(error)
    )


def _ends_iteration(error: BaseException) -> bool:
    return issubclass(type(error), StopIteration)


def _find(module: str, name: str) -> Around:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not isinstance(found, Around):
        msg = f"{module}.{name} is not middleware"
        raise ConfigurationError(msg)
    return found
