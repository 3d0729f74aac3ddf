"""A handler's call, on its way to another process and back.

A request holds the handler's module and name, the rows, and the data of its context. A reply holds the handler's answer
or error. poller pickles both, so that a value which cannot be pickled fails that attempt only. Only values of columns,
as psycopg has read them, come from the database.
"""

from __future__ import annotations

import contextvars
import importlib
import pickle
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from poller.errors import ConfigurationError, PollerError
from poller.errors_in_words import guarded, kind_of, place_of, traceback_of, ungrouped
from poller.executor import around
from poller.executor.forked import OnlyHere
from poller.jobs.job import Job
from poller.jobs.run import perform
from poller.model.altered_instances import Altered, changes
from poller.model.answers import Unexpected, describe, refuse_not_begun
from poller.model.context import BatchContext, Context
from poller.model.handler import Handler
from poller.model.signature import call_of
from poller.telemetry.current_attempt import variable

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.telemetry.current_attempt import Attempt


JOB = "job"  # in the place of a handler's name

# What a call takes along: a function, by its module and name, that the other process calls before the handler, in the
# handler's context, and its argument. Local middleware sets it.
Luggage = tuple[str, str, Any]
luggage: contextvars.ContextVar[Luggage | None] = contextvars.ContextVar("poller luggage", default=None)


@dataclass(frozen=True, slots=True)
class RemoteCall:
    """A handler's call.

    Attributes:
        module: where the function was made.
        name: its qualified name there.
        handler: `table:status`, since one function may be registered several times.
        given: the row, or the rows of a batch.
        context: the data of the context, if the function takes it.
        run_parameter: the parameter of a job's function that takes the run, if it has one.
        is_mapped: whether the rows are instances of a mapped class.
        about: the attempt that `poller.current()` returns.
        middleware: the module and name of each middleware to run around it.
    """

    module: str
    name: str
    handler: str
    given: Any
    context: dict[str, Any] | None
    run_parameter: str | None = None
    is_mapped: bool = False
    about: Attempt | None = None
    middleware: tuple[tuple[str, str], ...] = ()

    @property
    def is_job(self) -> bool:
        """Whether the row is a run of a job."""
        return self.handler == JOB


def packed(handler: Handler, given: Any, context: Context | None, about: Attempt | None = None) -> bytes:
    """Return a call, pickled.

    Raises:
        Exception: a value cannot be pickled.
    """
    function = handler.function
    payload = None if context is None else context.payload
    name = JOB if handler.is_job else str(handler)
    is_mapped = handler.entity is not None
    call = RemoteCall(
        function.__module__,
        function.__qualname__,
        name,
        given,
        payload,
        handler.run_parameter,
        is_mapped,
        about,
        around.places(handler),
    )
    return pickle.dumps(call)


def loaded(request: bytes) -> bytes:
    """Return a request with the luggage of this context, if it has any."""
    carried = luggage.get()
    return request if carried is None else pickle.dumps((request, carried))


def import_of(module: str) -> bytes:
    """Return the request that only imports a module."""
    return pickle.dumps(RemoteCall(__name__, _load.__qualname__, "", module, None))


def _load(module: str) -> None:
    importlib.import_module(module)


def run(call: bytes, started: Callable[[Context | None], None] = lambda _: None) -> bytes:
    """Run a call in this process, in a context of its own; return its answer or error, pickled.

    Args:
        call: the pickled call.
        started: called with the context just before the handler.
    """
    return contextvars.Context().run(_run, call, started)


def _run(call: bytes, started: Callable[[Context | None], None]) -> bytes:
    context: Context | None = None
    try:
        made, carried = _unloaded(call)
        function = _find(made)
        context = None if made.context is None else _context(made.context)
        variable.set(made.about)
        if carried is not None:
            module, name, argument = carried
            getattr(importlib.import_module(module), name)(argument)
        middleware = around.find(made.middleware)
        started(context)
        with OnlyHere():
            answer = around.call(middleware, made.given, _call(made, function, context))
        if not made.is_job:
            refuse_not_begun(answer, "the handler")  # pickling it would fail without saying why
            changed = changes(made.given) if made.is_mapped else []
            answer = Altered(answer, changed) if any(changed) else answer
        return pickle.dumps((True, answer, progress(context), {}))
    except BaseException as error:  # noqa: BLE001 - SystemExit in a handler is its failure
        return _packed_error(ungrouped(error), context)


def _unloaded(call: bytes) -> tuple[RemoteCall, Luggage | None]:
    made = pickle.loads(call)  # noqa: S301 - pickled by our own process, a moment ago
    return (pickle.loads(made[0]), made[1]) if isinstance(made, tuple) else (made, None)  # noqa: S301 - as above


def _call(made: RemoteCall, function: Callable[..., Any], context: Context | None) -> Callable[[], Any]:
    """Return a function that calls the handler, or performs the run."""
    if made.is_job and context is not None:
        return partial(perform, function, made.run_parameter, made.given, context, _refuse_connection)
    invoke = call_of(function).invoke
    return partial(invoke, made.given) if context is None else partial(invoke, made.given, context)


def progress(context: Context | None) -> dict[str, Any] | None:
    """Return what a job's run has reported so far (its output and progress); None for other calls."""
    return None if context is None or context.notes is None else context.notes.columns()


def unpacked(reply: bytes, context: Context | None) -> Any:
    """Return the answer from a reply; put what a run reported into its context.

    Raises:
        BaseException: the error that the handler raised.
    """
    is_answer, value, notes, facts = pickle.loads(reply)  # noqa: S301 - pickled by a process of ours, a moment ago
    if notes is not None and context is not None:
        context.notes.take(notes)
    if is_answer:
        return value
    guarded(lambda: vars(value).update(facts), None)
    raise value


def find_factory(name: str) -> Callable[[], Any]:
    """Return the factory that `module:factory` names.

    Raises:
        ConfigurationError: there is none.
    """
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        msg = f"executor={name!r} cannot be found: {error}"
        raise ConfigurationError(msg) from error
    except Exception as error:
        msg = f"executor={name!r} cannot be imported: {describe(error)}"
        raise ConfigurationError(msg) from error
    if not callable(found):
        msg = f"executor={name!r} is {type(found).__name__}; it must be a function that returns an executor"
        raise ConfigurationError(msg)
    factory: Callable[[], Any] = found
    return factory


def check(registered: Handler | Job) -> None:
    """Check that a handler or job which runs in another process can be called there.

    Raises:
        ConfigurationError: its function, or its executor, cannot be found by its name.
    """
    executor = registered.executor if isinstance(registered, Handler) else registered.options.executor
    if executor == "thread":
        return
    if executor != "process":
        find_factory(executor)
    function = registered.function
    try:
        found = _find(RemoteCall(function.__module__, function.__qualname__, str(registered), None, None))
    except (ImportError, AttributeError):
        found = None
    if found is not function:
        msg = f"executor={executor!r} looks for the function by its name, and {function.__module__} has "
        msg += f"another {function.__qualname__!r}; give it a name of its own"
        raise ConfigurationError(msg)


def _packed_error(error: BaseException, context: Context | None) -> bytes:
    """Return an error, pickled: the error itself if it survives that, else its text."""
    facts = {"raised_as": kind_of(error), "raised_at": place_of(error), "traced": traceback_of(error)}
    notes = progress(context)
    try:
        reply = pickle.dumps((False, error, notes, facts))
        pickle.loads(reply)  # noqa: S301 - a test: many exceptions cannot be unpickled
    except BaseException:  # noqa: BLE001 - whatever pickle makes of a user's class
        reply = pickle.dumps((False, Unexpected(describe(error)), notes, facts))
    return reply


def _find(call: RemoteCall) -> Callable[..., Any]:
    found: Any = importlib.import_module(call.module)
    for part in call.name.split("."):
        found = getattr(found, part)
    if isinstance(found, Job):
        found = found.function
    while isinstance(found, Handler):
        if str(found) == call.handler or found.also is None:
            return found.function
        found = found.also
    function: Callable[..., Any] = found
    return function


def _context(payload: dict[str, Any]) -> Context:
    return BatchContext(**payload) if "keys" in payload else Context(**payload, settle=_refuse)


def _refuse_connection() -> Any:
    msg = "run.connect does not work in another process; open a connection there, or leave executor= out"
    raise PollerError(msg)


def _refuse(*_: Any) -> str:
    msg = "ctx.settle does not work in another process; return the status, or leave executor= out"
    raise PollerError(msg)
