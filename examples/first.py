"""A first state machine: parcels are packed, then sent; what is too heavy is refused."""

from poller import Row, Transition, handler

TABLES = """
create table parcel (
    id bigint generated always as identity primary key,
    grams int not null,
    tracking text,
    status text not null default 'new'
);
insert into parcel (grams) values (200), (90000);
"""


@handler("parcel", status="new", to={"packed", "refused"})
def pack(parcel: Row) -> str:
    """Answer with the next status."""
    return "packed" if parcel.grams < 30_000 else "refused"


@handler("parcel", status="packed", to="sent")
def send(parcel: Row) -> Transition:
    """Answer with a status and columns, which are written together."""
    return Transition("sent", tracking=f"TRACK-{parcel.id}")
