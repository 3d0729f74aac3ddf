"""`limit` and `rate`: at most three calls in flight and ten a second, counted over all workers of all hosts."""

from poller import Row, handler

TABLES = """
create table call (id int primary key, status text not null default 'new');
insert into call select generate_series(1, 15);
"""


@handler("call", status="new", to="done", limit=3, rate="10/1s")
def ask(call: Row) -> None:
    """Ask a service that allows no more than this."""
