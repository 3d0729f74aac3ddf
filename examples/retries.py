"""Retries: what is worth another attempt, after how long, and what becomes of a row that is out of attempts."""

from datetime import UTC, datetime

from tenacity import retry_if_exception_type, wait_exponential_jitter

from poller import Context, Fail, Retry, Row, Snooze, handler

TABLES = """
create table mail (id int primary key, address text not null, status text not null default 'new');
insert into mail values (1, 'slow@x'), (2, 'busy@x'), (3, 'no address'), (4, 'down@x');
"""
OPENS = datetime(2020, 1, 1, tzinfo=UTC)


@handler(
    "mail",
    status="new",
    to="sent",
    on_failure="bounced",
    attempts=3,
    wait=wait_exponential_jitter(initial=1, max=60),
    retry=retry_if_exception_type(OSError),
)
def send(mail: Row, ctx: Context) -> None:
    """Send it; each address fails in its own way."""
    if datetime.now(UTC) < OPENS:
        raise Snooze("1h")  # looked at again then; no attempt is counted
    match mail.address, ctx.attempt:
        case "slow@x", 1:
            raise TimeoutError("no answer")  # an OSError: tried again by the policy
        case "busy@x", 1:
            raise Retry("30s", "the server asked for half a minute")  # tried again then
        case "no address", _:
            raise Fail("not an address")  # no further attempts: bounced
        case "down@x", _:
            raise ConnectionError("refused")  # bounced after its third attempt
