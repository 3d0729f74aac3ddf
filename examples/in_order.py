"""`per_key`: the events of one customer one at a time, in order; those of different customers side by side."""

from poller import Row, handler

TABLES = """
create table event (
    id int primary key, customer text not null, seen int, status text not null default 'new'
);
insert into event select i, 'customer ' || i % 3 from generate_series(1, 9) as i;
"""
seen: dict[str, list[int]] = {}


@handler("event", status="new", to="done", per_key="customer", order_by="id")
def apply(event: Row) -> None:
    """Apply it; one that waits for another attempt holds back the later ones of its customer."""
    seen.setdefault(event.customer, []).append(event.id)
