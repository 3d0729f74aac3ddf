"""Exactly once in the database: the handler's own writes and the move of its row commit together, or not at all."""

from sqlalchemy import text

from poller import Context, Row, handler

TABLES = """
create table account (name text primary key, cents bigint not null);
create table payment (
    id int primary key, payer text, payee text, cents bigint, status text not null default 'new'
);
insert into account values ('ada', 500), ('grace', 0);
insert into payment values (1, 'ada', 'grace', 300), (2, 'ada', 'grace', 300);
"""
BOOK = text("update account set cents = cents + :cents where name = :name returning cents")


@handler("payment", status="new", to={"booked", "refused"}, transactional=True, per_key="payer")
def book(payment: Row, ctx: Context) -> str:
    """Move the money, within the transaction that moves the row; what raises is rolled back."""
    with ctx.connection.begin_nested() as savepoint:
        left = ctx.connection.execute(BOOK, {"cents": -payment.cents, "name": payment.payer}).scalar_one()
        if left < 0:
            savepoint.rollback()
            return "refused"
    ctx.connection.execute(BOOK, {"cents": payment.cents, "name": payment.payee})
    return "booked"
