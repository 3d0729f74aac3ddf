"""Makes a worker's span the current one in a child process, if the handler's module has OpenTelemetry imported there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from poller.lazy import lazy

if TYPE_CHECKING:
    from poller.integrations import otel
else:
    otel = lazy("poller.integrations.otel")


def adopt(carrier: dict[str, str]) -> None:
    """Make the span that a carrier names the current one for the rest of this call."""
    if "opentelemetry.trace" in sys.modules:
        otel.adopt(carrier)
