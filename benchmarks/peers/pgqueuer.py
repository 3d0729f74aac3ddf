"""PgQueuer: one manager a process, with asyncpg and uvloop, batches of 500.

Its guide to performance says to take larger batches where jobs are short, a single asyncpg connection for a
manager (asyncpg is about twice as quick as psycopg in its own benchmarks), and to have `pgq autovac` set its tables;
its benchmark runs on uvloop. The guide names no size for this: batches of 500 were about twice as quick as those
of 10, which is the default, or more, and larger ones were no quicker.
Durability is the default, `durable`: the others lose jobs when the server crashes. Jobs are put in by one call of
`enqueue`, which is a single statement. What is done leaves the queue and is noted in its log.
"""

from __future__ import annotations

from benchmarks.peers import installing
from benchmarks.peers.peer import OnPostgres, Peer
from benchmarks.processes import Command


def prepare() -> Peer:
    """Install it.

    Raises:
        UnavailableError: it cannot be had.
    """
    interpreter = installing.python("pgqueuer", "pgqueuer[asyncpg]", "uvloop")
    program = installing.PROGRAMS / "on_pgqueuer.py"
    return OnPostgres(
        name=f"PgQueuer {installing.python_version(interpreter, 'pgqueuer')}",
        program=Command([str(interpreter), str(program)]),
        unfinished="select id from pgqueuer order by id desc limit 1",
        succeeded="select count(*) from pgqueuer_log where status = 'successful'",
    )
