"""Traces: the span of each attempt is linked to the one in which the row was made."""

from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from psycopg import Connection

from poller import Row, handler

TABLES = """
create table parcel (
    id int generated always as identity primary key, status text not null default 'new', traceparent text
);
"""
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: f"{span.name}\n")))
trace.set_tracer_provider(provider)  # that is all: poller has spans where there is a provider
tracer = trace.get_tracer("shop")


def order(connection: Connection[object]) -> None:
    """Make a row, as the application does, and note the span in which it is made."""
    with tracer.start_as_current_span("order"):
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        connection.execute("insert into parcel (traceparent) values (%(traceparent)s)", carrier)


@handler("parcel", status="new", to="sent", trace="traceparent")
def send(parcel: Row) -> None:
    """Make a span, which is a child of the attempt's."""
    with tracer.start_as_current_span("print a label"):
        print(f"parcel {parcel.id}")
