"""Puts around a handler the integrations that its program uses, and then the user's own middleware.

An integration is on where the program has set it up: OpenTelemetry once a tracer provider is set, Sentry once its client
has `PollerIntegration`. That is looked at when a worker starts, after the handlers package was imported. A program that
has imported neither has nothing of them imported for it, and nothing around its handlers.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from poller.executor.around import surround
from poller.lazy import lazy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from poller.executor.around import Around
    from poller.integrations import otel, sentry
    from poller.jobs.job import Job
    from poller.model.handler import Handler
else:
    otel = lazy("poller.integrations.otel")
    sentry = lazy("poller.integrations.sentry")


def surrounded(
    handlers: Iterable[Handler], jobs: Mapping[str, Job], middleware: Sequence[Around]
) -> list[Handler]:
    """Return handlers with the integrations that are on around their calls, and within these the middleware.

    Args:
        handlers: those of rows, and those that run jobs.
        jobs: by the name of the handler that runs it.
        middleware: the user's, the first outermost.
    """
    return [
        surround(each, (*_integrations(each, jobs.get(each.name or "")), *middleware)) for each in handlers
    ]


def _integrations(handler: Handler, job: Job | None) -> Iterator[Around]:
    if "opentelemetry.trace" in sys.modules:
        yield from otel.tracing(handler, job)
    if "poller.integrations.sentry" in sys.modules:  # which a program imports to give it to its client
        yield from sentry.reporting(handler, job)
