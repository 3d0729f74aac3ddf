"""Batches: the handler gets up to 100 rows at once, and answers for each; a bad one fails alone."""

from poller import Fail, Row, handler

TABLES = """
create table reading (id int primary key, celsius numeric, status text not null default 'raw');
insert into reading select i, nullif(i, 13) from generate_series(1, 250) as i;
"""


@handler("reading", status="raw", to={"fine", "odd"}, batch=100)
def judge(readings: list[Row]) -> list[str | Fail]:
    """Answer in the order of the rows; a dict by key would do, too, and `None` for all of them."""
    return [_judged(each) for each in readings]


def _judged(reading: Row) -> str | Fail:
    if reading.celsius is None:
        return Fail("the sensor sent nothing")
    return "fine" if reading.celsius < 200 else "odd"
