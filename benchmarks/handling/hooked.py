"""The handler that has nothing to do, beside what BENCHMARK_HOOKS names: a subscriber, middleware, spans, Sentry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import poller
from benchmarks.noop import nothing

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["nothing"]

HOOKS = os.environ.get("BENCHMARK_HOOKS", "")
_counts: dict[str, int] = {}

if HOOKS == "subscriber":

    @poller.subscribe
    def count(event: Any) -> None:
        """Count the rows, as metrics would."""
        _counts[event.name] = _counts.get(event.name, 0) + getattr(event, "rows", 1)


if HOOKS == "middleware":

    @poller.around
    def count_attempts(attempt: poller.Attempt) -> Generator[None, Any]:
        """Count the attempts, before and after."""
        _counts[attempt.table] = _counts.get(attempt.table, 0) + 1
        yield
        _counts[attempt.table] -= 1


if HOOKS == "spans":
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Discarding(SpanExporter):
        """Exports to nowhere."""

        def export(self, _: Any) -> SpanExportResult:
            """Say that it is done."""
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Discarding()))
    trace.set_tracer_provider(provider)


if HOOKS == "sentry":
    import sentry_sdk

    from poller.integrations.sentry import PollerIntegration

    sentry_sdk.init("http://key@localhost/1", integrations=[PollerIntegration()])
