"""`executor="process"`: for code that may crash, leak or never return. Its end costs its own row an attempt."""

import os

from poller import Row, handler

TABLES = """
create table picture (id int primary key, is_broken bool not null, status text not null default 'new');
insert into picture values (1, false), (2, true);
"""


@handler(
    "picture", status="new", to="scaled", on_failure="broken", executor="process", attempts=1, timeout="30s"
)
def scale(picture: Row) -> None:
    """Call a library that does not survive every picture; a call that takes too long is killed."""
    if picture.is_broken:
        os.abort()
