"""An example: each row of the table `greeting` that is `pending` gets its text, and becomes `written`.

Make the table (without a database of your own: poller db psql), and give it something to do:

    create table greeting (
        id      bigint generated always as identity primary key,
        name    text not null,
        text    text,
        status  text not null default 'pending'
    );
    create index on greeting (id) where status = 'pending';
    insert into greeting (name) values ('Ada'), ('Grace'), ('');

Then run it (poller run), and look on (poller status --watch, poller failures, select * from greeting).
"""

from poller import Context, Fail, Row, Transition, handler


@handler("greeting", status="pending", to="written", attempts=3)
def greet(row: Row, ctx: Context) -> Transition:
    """Write a greeting: return None or a status to move the row, raise to have it tried again."""
    if not row.name:
        reason = "there is nobody to greet"
        raise Fail(reason)  # for good: no further attempt; `poller failures` shows it
    ctx.logger.info("greeting somebody")
    return Transition("written", text=f"Good day, {row.name}!")  # sets further columns as well
