"""What is held against what, when all is quiet again: tables, history, triggers' log, effects, and the ledger outside.

Three accounts are kept apart from each other: what poller says (`poller.history`), what triggers saw (`change`), and
what handlers noted in files (`ledger`). All three must agree on each row.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.chaos import ledger
from tests.chaos.load import ACCOUNTS, RATE, TABLES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    import psycopg

    from tests.chaos.ledger import NotedCall, NotedRun

FIGURES = (
    "rows",
    "calls",
    "moves",
    "effects",
    "slots",
    "again",
    "unbegun",
    "backlog",
    "oldest",
    "looks",
    "tracebacks",
)
MOST_UNWRITTEN = 2000  # results of one worker
_BESIDE = (
    "forked",
    "held",
    "keyed",
    "transfer",
    "settled",
)  # whose results the settler does not write, or others make
_HURRY = 0.8  # seconds in which no more may be begun than in one: threads may be late on a busy machine
_CLOCKS = 0.05  # seconds between two readings of the same clock, at the most

Rows = Counter[tuple[str, int]]


@dataclass
class Findings:
    """What the audit counted: figures, and what should all be nothing.

    Attributes:
        rows: that were fed.
        calls: of handlers, by the ledger.
        moves: of rows by the fleet, by the triggers.
        effects: of handlers inside the database.
        slots: of the job that were due: each second between the first and the last.
        again: calls that were made again, since what came of the one before was lost with its worker or transaction.
        unbegun: attempts that were counted though no call was made.
        backlog: the most results of one worker that were handled and not yet written.
        oldest: the age of the oldest row that was seen pending: seconds.
        looks: how often it was looked at while there were faults.
        tracebacks: in the logs, where a line would do.
        breaches: rows that were seen in a state that no command shows.
        lost: rows that ended nowhere.
        parked: rows that were given up for no fault of theirs.
        held: rows that are held by somebody though all is quiet.
        doubled: effects inside the database that are there twice, or without a move, or not though the row has moved.
        stale: rows that have moved more often than they came, which a write by who had lost the lease would make them.
        unhandled: rows that moved without a call.
        recalled: calls at one attempt of a visit that no crash explains.
        overlapped: calls for one row beside each other, though the worker of the first was not dead.
        miscounted: rows whose attempts are not numbered one after the other.
        unrecorded: rows whose history is not what the triggers saw.
        unordered: rows that overtook one before them with the same key.
        money: accounts that are not what their transfers make them.
        hurried: rows that were begun before their rate allowed it.
        slots_wrong: slots that ran twice, or not.
        unwritten: 1 if the backlog was over its bound.
        not_undone: deeds of people that could not be undone.
        not_stopped: supervisors that did not end as they should when they were told to.
        faults: an example of each.
    """

    rows: int = 0
    calls: int = 0
    moves: int = 0
    effects: int = 0
    slots: int = 0
    again: int = 0
    unbegun: int = 0
    backlog: int = 0
    oldest: float = 0.0
    looks: int = 0
    tracebacks: int = 0
    breaches: int = 0
    lost: int = 0
    parked: int = 0
    held: int = 0
    doubled: int = 0
    stale: int = 0
    unhandled: int = 0
    recalled: int = 0
    overlapped: int = 0
    miscounted: int = 0
    unrecorded: int = 0
    unordered: int = 0
    money: int = 0
    hurried: int = 0
    slots_wrong: int = 0
    unwritten: int = 0
    not_undone: int = 0
    not_stopped: int = 0
    faults: dict[str, list[str]] = field(default_factory=dict)

    def find(self, name: str, what: Iterable[object]) -> None:
        """Count what breaks a promise, and keep a few examples."""
        found = [str(each) for each in what]
        setattr(self, name, getattr(self, name) + len(found))
        if found:
            self.faults.setdefault(name, []).extend(found[:5])

    @property
    def wrong(self) -> dict[str, int]:
        """What was found that should not be there."""
        counts = {name: value for name, value in vars(self).items() if name not in (*FIGURES, "faults")}
        return {name: value for name, value in counts.items() if value}

    @property
    def promises_hold(self) -> bool:
        """Whether nothing was found that should not be there."""
        return not self.wrong


def audit(db: psycopg.Connection[Any], folder: Path, stopped: Collection[int] = ()) -> Findings:
    """Hold the accounts against each other.

    Args:
        db: a session of one who may see everything.
        folder: where the ledger's files are.
        stopped: the processes that were stopped for a while: they may begin a row late.
    """
    found = Findings()
    calls, runs = ledger.read(folder)
    db.execute("analyze")  # there are no statistics after a crash
    _rows(db, found)
    _moves(db, found)
    _attempts(db, found, calls)
    _calls(db, found, calls)
    _backlog(db, found, calls)
    found.find("hurried", _hurried(calls, stopped))
    _slots(db, found, runs)
    found.tracebacks = sum(path.read_text().count("Traceback (most") for path in folder.glob("log-*.txt"))
    return found


def _rows(db: psycopg.Connection[Any], found: Findings) -> None:
    """Each row is where it should be, and nobody holds it."""
    for name in TABLES:
        found.rows += _count(db, f"select coalesce(max(id), 0) from {name}")
        at = f"select '{name}:' || t.id || ' ' || t.status from {name} as t"
        attempt = (
            "(select a.state from poller.attempt as a join poller.handler as h on h.id = a.handler_id"
            f" where h.table_name like '%{name}' and a.key = t.id::text)"
        )
        lost = f"{at} where t.status not in ('normal', 'edited') and {attempt} is distinct from 'parked'"
        found.find("lost", _column(db, lost))
        given_up = f"{at} where t.status = 'pending' and {attempt} = 'parked'"
        by_right = " and t.id % 10 not in (2, 3)" if name == "troubled" else ""
        found.find("parked", _column(db, given_up + by_right))
    found.find(
        "held", _column(db, "select c.worker_id || ':' || k from poller.claim as c, unnest(c.keys) as k")
    )
    ordered = (
        "select keyed from (select keyed, keyed < lag(keyed) over (partition by owner order by at) as is_late"
        " from place) as o where is_late"
    )
    found.find("unordered", _column(db, ordered))


_OURS = "app like 'poller %' and now = 'normal'"


def _moves(db: psycopg.Connection[Any], found: Findings) -> None:
    """The triggers, the history, the effects and the money tell the same story."""
    found.moves = _count(db, f"select count(*) from change where {_OURS}")
    found.effects = _count(db, "select count(*) from effect")
    exactly_once = ", ".join(f"'{name}'" for name, table in TABLES.items() if table.exactly_once)
    found.find(
        "doubled",
        _column(
            db,
            "select tbl || ':' || key from (select tbl, key, txid, count(*) as n from effect group by 1, 2, 3) as e"
            f" full join (select tbl, key, txid, count(*) as n from change where {_OURS} and tbl in ({exactly_once})"
            " group by 1, 2, 3) as c using (tbl, key, txid) where e.n is distinct from 1 or c.n is distinct from 1",
        ),
    )
    found.find(
        "stale",
        _column(
            db,
            f"select tbl || ':' || key from change group by tbl, key having count(*) filter (where {_OURS})"
            " > 1 + count(*) filter (where now = 'pending' and app not like 'poller %')",
        ),
    )
    found.find(
        "unrecorded",
        _column(
            db,
            "select tbl || ':' || key from (select tbl, key::text, count(*) as n from change"
            f" where {_OURS} group by 1, 2) as c full join (select regexp_replace(table_name, '^.*\\.', '') as tbl, key,"
            " count(*) as n from poller.history as e join poller.handler as h on h.id = e.handler_id"
            " where verdict = 'moved' and to_status = 'normal' group by 1, 2) as e using (tbl, key)"
            " where c.n is distinct from e.n",
        ),
    )
    found.find(
        "money",
        _column(
            db,
            "select id from account left join (select account, sum(amount) as due from ("
            f"select key % {ACCOUNTS} as account, -1 as amount from effect where tbl = 'transfer' union all"
            f" select (key * 7 + 1) % {ACCOUNTS}, 1 from effect where tbl = 'transfer') as e group by 1) as t"
            " on t.account = id where balance <> coalesce(due, 0)",
        ),
    )


def _attempts(db: psycopg.Connection[Any], found: Findings, calls: list[NotedCall]) -> None:
    """A row that nobody has touched was tried at attempts 1, 2, … as its history has it.

    A crash may cost a suspect nothing: then the number before it comes again.
    """
    rows = db.execute(
        "select regexp_replace(table_name, '^.*\\.', ''), key, array_agg(attempt order by at, attempt),"
        " array_agg(coalesce(error, '') like '%worker died%' order by at, attempt)"
        " from poller.history as e join poller.handler as h on h.id = e.handler_id"
        " where verdict in ('moved', 'retrying', 'parked') and key ~ '^\\d+$' group by 1, 2 having max(attempt) > 1"
        " or count(*) > 1"
    ).fetchall()
    touched = set(db.execute("select distinct tbl, key from change where app not like 'poller %'").fetchall())
    made = {(each.table, each.key, each.attempt) for each in calls}
    for table, text, attempts, crashes in rows:
        row = (table, int(text) if table in TABLES else 0)
        if table not in TABLES or row in touched:
            continue
        steps = zip(attempts, [0, *attempts], crashes, strict=False)
        if any(now - before not in ((0, 1) if crashed else (1,)) for now, before, crashed in steps):
            found.find("miscounted", [f"{table}:{text} {attempts}"])
        found.unbegun += sum((*row, attempt) not in made for attempt in set(attempts))


def _calls(db: psycopg.Connection[Any], found: Findings, calls: list[NotedCall]) -> None:
    """Each call is explained by a visit of the row, and by what ended the one before."""
    found.calls = len(calls)
    entered: Rows = Counter(
        db.execute("select tbl, key from change where now = 'pending' and app not like 'poller %'").fetchall()
    )
    moves: Rows = Counter(db.execute(f"select tbl, key from change where {_OURS}").fetchall())
    by_row: dict[tuple[str, int], list[NotedCall]] = defaultdict(list)
    for call in calls:
        by_row[call.table, call.key].append(call)
    found.find("unhandled", [row for row, n in moves.items() if n > len(by_row[row])])
    deaths = _deaths(db)
    for row, made in by_row.items():
        found.again += max(0, len(made) - 1 - entered[row])
        if len(made) == 1:
            continue
        if not TABLES[row[0]].shared:
            unexplained = _unexplained(made, deaths)
            if len(unexplained) > entered[row]:
                found.find("recalled", unexplained)
        found.find("overlapped", _overlapping(made, deaths))


def _unexplained(made: list[NotedCall], deaths: dict[int, list[float]]) -> list[str]:
    """Return the calls at an attempt that was made before, by a worker that nobody had declared dead."""
    made.sort(key=lambda call: call.began)
    last: dict[int, NotedCall] = {}
    found = []
    for call in made:
        before = last.get(call.attempt)
        if before and before.outcome != "Snooze" and not _has_died(before, call, deaths):
            found.append(f"{call.table}:{call.key} at attempt {call.attempt} in {before.pid} and {call.pid}")
        last[call.attempt] = call
    return found


def _overlapping(made: list[NotedCall], deaths: dict[int, list[float]]) -> list[str]:
    """Return the calls that began while the one before went on, in a worker that nobody had declared dead."""
    return [
        f"{one.table}:{one.key} in {one.pid} and {other.pid}"
        for one, other in pairwise(sorted(made, key=lambda call: call.began))
        if one.ended is not None and other.began < one.ended and not _has_died(one, other, deaths)
    ]


def _has_died(one: NotedCall, other: NotedCall, deaths: dict[int, list[float]]) -> bool:
    """Tell whether the worker of a call had been declared dead between its beginning and that of another."""
    return any(one.began_at <= at <= other.began_at + _CLOCKS for at in deaths.get(one.pid, ()))


def _deaths(db: psycopg.Connection[Any]) -> dict[int, list[float]]:
    died = db.execute(
        "select pid, extract(epoch from died_at)::float8 from poller.worker where died_at is not null"
    )
    deaths: dict[int, list[float]] = defaultdict(list)
    for pid, at in died:
        deaths[pid].append(at)
    return deaths


def _backlog(db: psycopg.Connection[Any], found: Findings, calls: list[NotedCall]) -> None:
    """The most results of a worker that were handled and not yet written: by the ledger, and by the triggers."""
    written: dict[tuple[str, int, int], list[float]] = defaultdict(list)
    moves = db.execute(
        "select tbl, key, substring(app from '/(\\d+)$')::int, extract(epoch from at)::float8 from change"
        f" where {_OURS} and app ~ '^poller (settler|postponed) ' order by id"
    )
    others = db.execute(
        "select regexp_replace(table_name, '^.*\\.', ''), key::int, pid, extract(epoch from at)::float8"
        " from poller.history as e join poller.handler as h on h.id = e.handler_id"
        " join poller.worker as w on w.id = e.worker_id"
        " where verdict <> 'moved' and key ~ '^\\d+$' order by at"
    )
    for table, key, pid, at in [*moves, *others]:
        written[table, key, pid].append(at)
    for times in written.values():
        times.sort()
    deaths = _deaths(db)
    steps: dict[int, list[tuple[float, int]]] = defaultdict(list)
    last: dict[int, float] = {}
    answered = [each for each in calls if each.outcome == "answer" and each.table not in _BESIDE]
    for call in answered:
        assert call.ended_at is not None
        last[call.pid] = max(call.ended_at, last.get(call.pid, 0.0))
    for call in answered:
        assert call.ended_at is not None
        times = written[call.table, call.key, call.pid]
        place = bisect_left(times, call.ended_at - _CLOCKS)
        ends = times[place : place + 1] + [at for at in deaths.get(call.pid, ()) if at >= call.ended_at]
        until = min(ends, default=last[call.pid])  # with its lease, what comes of a call is nobody's to write
        steps[call.pid] += [(call.ended_at, 1), (max(until, call.ended_at), -1)]
    for each in steps.values():
        now = 0
        for _, step in sorted(each):
            now += step
            found.backlog = max(found.backlog, now)
    found.unwritten = int(found.backlog > MOST_UNWRITTEN)


def _hurried(calls: list[NotedCall], stopped: Collection[int]) -> list[str]:
    """Return the calls with which more were begun within a second than the rate allows."""
    began = sorted(call.began for call in calls if call.table == "rated" and call.pid not in stopped)
    return [f"{began[at]:.3f}" for at in range(len(began) - RATE) if began[at + RATE] - began[at] < _HURRY]


def _slots(db: psycopg.Connection[Any], found: Findings, runs: list[NotedRun]) -> None:
    """Each second between the first slot and the last is one run of one call an attempt; none is unfinished."""
    row = db.execute(
        "select coalesce(extract(epoch from max(planned_at) - min(planned_at))::int + 1, 0), count(*),"
        " count(distinct planned_at) from poller.run where job = 'tick'"
    ).fetchone()
    assert row is not None
    due, fired, distinct = row
    found.slots = due
    found.slots_wrong = abs(due - fired) + (fired - distinct)
    made = Counter((run.job, run.slot, run.attempt) for run in runs if run.job == "tick")
    found.find("slots_wrong", [f"{run} ran {n} times" for run, n in made.items() if n > 1])
    left = (
        "select job || ' ' || planned_at || ' ' || status from poller.run where status not in ('succeeded', 'skipped')"
        " and job in ('tick', 'sample', 'sync')"
        " and planned_at < (select max(planned_at) from poller.run) - interval '3 seconds'"
    )
    found.find("slots_wrong", _column(db, left))


def _column(db: psycopg.Connection[Any], question: str) -> list[Any]:
    return [row[0] for row in db.execute(question.encode())]


def _count(db: psycopg.Connection[Any], question: str) -> int:
    return int(_column(db, question)[0])
