"""A gate, which the fixture `gate` holds shut: an advisory lock at which a statement waits, its snapshot taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.harness import wait_until

if TYPE_CHECKING:
    import psycopg

GATE = 4711
AT_GATE = f"(select pg_advisory_lock_shared({GATE})) is not null"  # a `where`, asked once a claim


def close(gate: psycopg.Connection[Any]) -> None:
    """Shut it."""
    gate.execute("select pg_advisory_lock(%s)", [GATE])


def unlock(gate: psycopg.Connection[Any]) -> None:
    """Let those go on that wait, and those that come."""
    gate.execute("select pg_advisory_unlock(%s)", [GATE])


def wait_at_gate(gate: psycopg.Connection[Any]) -> None:
    """Wait until a statement waits: its snapshot is taken, its rows are not yet locked."""
    question = "select from pg_locks where locktype = 'advisory' and objid = %s and not granted"
    wait_until("a claim is at the gate", lambda: gate.execute(question, [GATE]).rowcount > 0)
