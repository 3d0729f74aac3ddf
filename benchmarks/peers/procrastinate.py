"""procrastinate: one worker a process, with 20 sub-workers and a pool of 21 connections.

Its chapter on concurrency has workers in processes of their own, and sub-workers in each, for more throughput; the
one on the size of the pool says that short jobs need as many connections as sub-workers, plus one. It has no batches:
each job is fetched by a statement and finished by another, so that only the number of sub-workers can be chosen. 10,
20 and 30, the number in its own example, did not differ beyond the noise, and the server's 100 connections have to do
for four processes. Jobs are coroutines, which need no threads, and are put in by one `batch_defer`. What is done
stays, as by default: to have it deleted was no quicker.
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
    interpreter = installing.python("procrastinate", "procrastinate", "psycopg[binary]")
    program = installing.PROGRAMS / "on_procrastinate.py"
    return OnPostgres(
        name=f"procrastinate {installing.python_version(interpreter, 'procrastinate')}",
        program=Command([str(interpreter), str(program)]),
        # As the partial index on (id, lock) has it.
        unfinished="select id from procrastinate_jobs where status in ('todo', 'doing') order by id desc limit 1",
        succeeded="select count(*) from procrastinate_jobs where status = 'succeeded'",
    )
