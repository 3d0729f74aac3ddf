"""graphile-worker: batched, as its own benchmark has it.

The figures of its chapter on performance come from 24 jobs at once and 25 connections in each process, a local queue
of 500, and completions (and failures) in batches without a delay: this is that configuration, of which it says that
batching is for those who want throughput. Jobs are put in by one call of its SQL function `add_jobs`. What is done is
deleted. It is Node, so that there is less to compare than in the rest of the table.
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
    modules, version = installing.node("graphile", "graphile-worker")
    program = installing.PROGRAMS / "on_graphile.js"
    return OnPostgres(
        name=f"graphile-worker {version}",
        program=Command([installing.found("node"), str(program)], {"NODE_PATH": str(modules)}),
        unfinished="select id from graphile_worker._private_jobs order by id desc limit 1",
    )
