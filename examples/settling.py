"""`ctx.settle`: long work outside any transaction, then its result and the move of the row in one of your own."""

import psycopg

from poller import Context, Row, handler

TABLES = """
create table report (id int primary key, topic text not null, status text not null default 'asked');
create table page (report int references report, text text not null);
insert into report values (1, 'rain');
"""
DATABASE = ""  # the URL, as the application knows it


@handler("report", status="asked", to="written")
def write(report: Row, ctx: Context) -> None:
    """Write a report; should the lease have ended meanwhile, `settle` raises, and nothing is written."""
    pages = [f"{report.topic}, page {number}" for number in (1, 2)]  # hours of it; no lock is held
    with psycopg.connect(DATABASE) as connection:
        for page in pages:
            connection.execute("insert into page values (%s, %s)", (report.id, page))
        ctx.settle(connection, "written")
