"""OpenTelemetry: a span for each call of a handler of batches, or one that asks for it (`trace=`), and for each run.

The model. A span is a root of its own, since the row may be days older than its attempt, and is linked to the spans
that made the rows, which a column of theirs names (W3C's `traceparent`). It is current while the handler runs, so that
spans of the handler's own are its children. It runs in the worker: the span of a call in another process ends with the
call, however that ends, and its context goes along (`adopted`).

Nothing of a row is in a span: no value, no key, and of an error only the class and the place, since its text may hold
values.

A tracer that fails costs its span only: the attempt goes on without one.
"""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, NoOpTracer, ProxyTracer, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from poller.errors_in_words import guarded, kind_of, place_of
from poller.executor.around import Around
from poller.executor.remote_call import luggage
from poller.integrations import failures
from poller.schedules.slots import Cron
from poller.services.loop import farewells

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from opentelemetry.trace import Span, Tracer

    from poller.jobs.job import Job
    from poller.model.handler import Handler
    from poller.telemetry.current_attempt import Attempt

ADOPTED = ("poller.integrations.adopted", "adopt")

NOTHING: Span = INVALID_SPAN
NO_TRACER: Tracer = NoOpTracer()
LONGEST_TRACEPARENT = 512  # characters: the propagator warns of longer ones
_ROOT = Context()
_propagator = TraceContextTextMapPropagator()


def tracing(handler: Handler, job: Job | None) -> Iterator[Around]:
    """Yield the middleware that makes a handler's spans, if it has any and a tracer provider is set.

    Args:
        handler: of rows, or of a job's runs.
        job: the job.
    """
    if not failures.is_traced(handler):
        return
    # A provider that the environment names and that is not there raises: the interface has logged it.
    tracer = guarded(lambda: trace.get_tracer("poller"), NO_TRACER)
    if not isinstance(tracer, NoOpTracer | ProxyTracer):
        farewells.add(flush)
        yield Around(_spans(tracer, handler, job), takes_rows=True, is_local=True)


def flush() -> None:
    """Have the provider export what it has gathered, before its process ends."""
    getattr(trace.get_tracer_provider(), "force_flush", bool)()


def _spans(tracer: Tracer, handler: Handler, job: Job | None) -> Callable[..., Generator[None, Any]]:
    start = _starter(tracer, handler, job)
    is_elsewhere = handler.executor != "thread"

    def traced(attempt: Attempt, rows: list[Any]) -> Generator[None, Any]:
        span = guarded(lambda: start(attempt, rows), NOTHING)
        here = trace.set_span_in_context(span)
        if is_elsewhere:
            luggage.set((*ADOPTED, _carried(here)))
        token = context.attach(here)
        try:
            answer = yield
        except BaseException as error:
            _mark(span, failures.of_raise(error), 1)
            raise
        else:
            _mark(span, failures.of_answer(answer), len(rows))
        finally:
            context.detach(token)
            guarded(span.end, None)

    return traced


def _starter(tracer: Tracer, handler: Handler, job: Job | None) -> Callable[[Attempt, list[Any]], Span]:
    """Return a function that starts the span of a call."""
    is_job, is_batch = handler.is_job, handler.batch > 1
    links = _linker(handler)

    def start(attempt: Attempt, rows: list[Any]) -> Span:
        attributes = _of_run(attempt, job) if is_job else _of_rows(attempt)
        if is_batch:
            attributes["messaging.batch.message_count"] = attempt.keys
        name = f"run {handler.name}" if is_job else f"process {attempt.table}:{attempt.status}"
        kind = SpanKind.INTERNAL if is_job else SpanKind.CONSUMER
        return tracer.start_span(name, _ROOT, kind, attributes, links(rows))

    return start


def _of_rows(attempt: Attempt) -> dict[str, Any]:
    return {
        "messaging.system": "poller",
        "messaging.destination.name": attempt.table,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "poller.database": attempt.database,
        "poller.status": attempt.status,
        "poller.attempt": attempt.attempt,
    }


def _of_run(attempt: Attempt, job: Job | None) -> dict[str, Any]:
    schedule = None if job is None else job.schedule
    found: dict[str, Any] = {
        "faas.trigger": "other" if schedule is None else "timer",
        "poller.database": attempt.database,
        "poller.job": attempt.job,
        "poller.run.id": attempt.run,
        "poller.attempt": attempt.attempt,
    }
    return found | {"faas.cron": schedule.expression} if isinstance(schedule, Cron) else found


# --- the spans that made the rows -----------------------------------------------------------------------


def _linker(handler: Handler) -> Callable[[list[Any]], list[Link]]:
    """Return a function that finds the links of rows."""
    column, entity = handler.trace, handler.entity
    if not isinstance(column, str):
        return lambda _: []
    if entity is None:
        return lambda rows: _links(row[column] for row in rows)
    read = attrgetter(entity.attribute(column) or column)
    return lambda rows: _links(guarded(partial(read, row), None) for row in rows)


def _links(parents: Iterator[Any]) -> list[Link]:
    """Return a link for each of these that is a `traceparent`; none for what is null or malformed."""
    texts = dict.fromkeys(each for each in parents if type(each) is str and len(each) <= LONGEST_TRACEPARENT)
    return [Link(each) for each in map(_parent, texts) if each.is_valid]


def _parent(traceparent: str) -> trace.SpanContext:
    extracted = _propagator.extract({"traceparent": traceparent}, _ROOT)
    return trace.get_current_span(extracted).get_span_context()


# --- what went wrong ------------------------------------------------------------------------------------


def _mark(span: Span, errors: list[BaseException], rows: int) -> None:
    """Mark a span as failed, if there are errors."""
    if errors:
        guarded(lambda: _tell(span, errors, rows), None)


def _tell(span: Span, errors: list[BaseException], rows: int) -> None:
    kind, place = kind_of(errors[0]), place_of(errors[0])
    what = f"{kind} ({place})" if place else kind
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, what if rows == 1 else f"{len(errors)} of {rows} rows: {what}"))


# --- into another process -------------------------------------------------------------------------------


def _carried(here: Context) -> dict[str, str]:
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, here)
    return carrier


def adopt(carrier: dict[str, str]) -> None:
    """Make a span of another process the current one here, for the rest of this call."""
    context.attach(_propagator.extract(carrier, _ROOT))
