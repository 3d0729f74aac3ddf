"""What is held against what, when all is quiet again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.chaos.load import TABLES

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg


@dataclass
class Findings:
    """What the audit counted; all but `rows`, `calls` and `slots` should be nothing.

    Attributes:
        rows: that were fed.
        calls: of handlers, by the ledger.
        slots: of the job that were due: each second between the first and the last.
        lost: rows that ended nowhere.
        stuck: rows that are held by somebody though all is quiet.
        doubled: effects inside the database that are there twice, or not though the row has moved.
        stale: rows that have moved twice, which a write by who had lost the lease would make them.
        unordered: rows that overtook one before them with the same key.
        unhandled: rows that moved without a call.
        slots_wrong: slots that ran twice, or not.
    """

    rows: int = 0
    calls: int = 0
    slots: int = 0
    lost: int = 0
    stuck: int = 0
    doubled: int = 0
    stale: int = 0
    unordered: int = 0
    unhandled: int = 0
    slots_wrong: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def promises_hold(self) -> bool:
        """Whether nothing was found that should not be there."""
        wrong = ("lost", "stuck", "doubled", "stale", "unordered", "unhandled", "slots_wrong")
        return not any(getattr(self, name) for name in wrong)


def audit(db: psycopg.Connection[Any], ledgers: list[Path]) -> Findings:
    """Hold the tables, the history and the ledgers against each other."""
    found = Findings()
    calls = _calls(ledgers)
    found.calls = sum(len(each) for each in calls.values())
    for table in TABLES:
        rows = [row[0] for row in db.execute(f"select id from {table}")]
        found.rows += len(rows)
        found.lost += _count(db, f"select count(*) from {table} where status <> 'normal'")
        found.unhandled += len(set(rows) - {int(key) for key in calls[table]})
    found.stuck = _count(db, "select count(*) from poller.claim")
    found.doubled = _count(
        db, "select count(*) from (select held from effect group by 1 having count(*) > 1) as twice"
    ) + _count(db, "select count(*) from held where id not in (select held from effect)")
    found.stale = _count(
        db,
        "select count(*) from (select from poller.history where verdict = 'moved'"
        " group by handler_id, key having count(*) > 1) as twice",
    )
    found.unordered = _count(
        db,
        "select count(*) from (select keyed < lag(keyed) over (partition by owner order by at) as is_late"
        " from place) as o where is_late",
    )
    _slots(db, found)
    return found


def _slots(db: psycopg.Connection[Any], found: Findings) -> None:
    """Each second between the first slot and the last is one run, and none is left over."""
    row = db.execute(
        "select coalesce(extract(epoch from max(planned_at) - min(planned_at))::int + 1, 0), count(*),"
        " count(distinct planned_at), count(*) filter (where status <> 'succeeded')"
        " from poller.run where job = 'tick'"
    ).fetchone()
    assert row is not None
    due, fired, distinct, unfinished = row
    found.slots = due
    found.slots_wrong = abs(due - fired) + (fired - distinct) + unfinished


def _calls(ledgers: list[Path]) -> dict[str, Counter[str]]:
    calls: dict[str, Counter[str]] = {kind: Counter() for kind in (*TABLES, "tick")}
    for path in ledgers:
        for line in path.read_text().splitlines():
            parts = line.split()
            if len(parts) == 4:
                calls[parts[0]][parts[1]] += 1
    return calls


def _count(db: psycopg.Connection[Any], question: str) -> int:
    row = db.execute(question).fetchone()
    assert row is not None
    return int(row[0])
