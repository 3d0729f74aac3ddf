"""Plans of the engine's hot statements on a large table: each looks at what it takes, and at little else.

Counted are the rows that all nodes of a plan went through, as EXPLAIN ANALYZE saw them. A scan of the user's
table, a sort of all that is pending or a nested loop over two batches would show there, whatever it is called.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from poller import handler
from poller.db.connection import Link
from poller.db.statements import array
from poller.model.outcome import Became, Outcome
from poller.store.binding import LOOK_ROWS, Binding, bind
from poller.store.claims import Claims
from poller.store.lease import Result
from poller.store.liveness import Liveness, register_handlers
from poller.store.settlements import Settlements
from tests.times import one_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FINISHED, PENDING, PARKED, BATCH = 200_000, 5_000, 5_000, 500
A_NODE = BATCH + 1  # rows
NODES = 60  # that may see the batch: the settle has about forty

KEYS = {
    "bigint": ("id bigint primary key", "i", "id"),
    "uuid": ("id uuid primary key", "md5(i::text)::uuid", "id"),
    "composite": ("site int, name text, primary key (site, name)", "i % 7, 'row ' || i", "site, name"),
}


class Explaining:
    """A link on which each statement is explained, undone, and then run."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = self
        self._real = connection
        self.mode = "force_custom_plan"
        self.visited: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def cursor(self, **options: Any) -> psycopg.Cursor[Any]:
        cursor = self._real.cursor(**options)
        plain = cursor.execute

        def execute(
            question: Any, asked: Mapping[str, Any] | None = None, **options: Any
        ) -> psycopg.Cursor[Any]:
            self._visit(question, asked)
            return plain(question, asked, **options)

        cursor.execute = execute  # type: ignore[method-assign, assignment]
        return cursor

    def execute(
        self, question: Any, asked: Mapping[str, Any] | None = None, **options: Any
    ) -> psycopg.Cursor[Any]:
        self._visit(question, asked)
        return self._real.execute(question, asked, **options)

    def _visit(self, question: Any, asked: Mapping[str, Any] | None) -> None:
        with self._real.transaction(force_rollback=True):
            self._real.execute(f"set local plan_cache_mode = {self.mode}")
            self.visited.append(visited(self._explain(question, asked or {})))

    def _explain(self, question: sql.Composed | bytes, asked: Mapping[str, Any]) -> dict[str, Any]:
        names: list[str] = []

        def number(match: re.Match[str]) -> str:
            if match[1] not in names:
                names.append(match[1])
            return f"${names.index(match[1]) + 1}"

        whole = question.decode() if isinstance(question, bytes) else question.as_string(self._real)
        text = re.sub(r"%\((\w+)\)s", number, whole).replace("%%", "%")
        self._real.execute(f"prepare hot as {text}")  # type: ignore[call-overload]
        run = sql.SQL("explain (analyze, timing off, format json) execute hot")
        if names:
            values = sql.SQL(", ").join(sql.Literal(asked[name]) for name in names)
            run = sql.SQL("{} ({})").format(run, values)
        row = self._real.execute(run).fetchone()
        self._real.execute("deallocate hot")
        assert row is not None
        found: dict[str, Any] = row[0][0]["Plan"]
        return found


def visited(node: dict[str, Any]) -> int:
    """Return how many rows a node and those under it went through, what a filter removed included."""
    removed = sum(value for name, value in node.items() if name.startswith("Rows Removed"))
    own = (node["Actual Rows"] + removed) * node["Actual Loops"]
    return int(own) + sum(map(visited, node.get("Plans", ())))


@pytest.fixture
def link(url: str) -> Iterator[Link]:
    """The engine's own link."""
    made = Link(url, "test")
    made.connection.execute("set statement_timeout = '20s'")
    yield made
    made.close()


def _fill(
    db: psycopg.Connection[Any], kind: str, *, analyzed: bool, rows: int = FINISHED + PENDING, each: int = 41
) -> None:
    """Make a table of so many rows, of which one in `each` is pending, with the index of the README."""
    columns, values, key = KEYS[kind]
    db.execute("set synchronous_commit = off")
    db.execute(
        f"create table thing ({columns}, status text not null, n int) with (autovacuum_enabled = false)"  # type: ignore[call-overload]
    )
    db.execute(f"create index on thing ({key}) where status = 'pending'")  # type: ignore[call-overload]
    db.execute(
        f"insert into thing select {values}, case when i % {each} = 0 then 'pending' else 'normal' end, i % 4999"  # type: ignore[call-overload]
        f" from generate_series(1, {rows}) i"
    )
    if analyzed:
        db.execute("analyze")


def _park(db: psycopg.Connection[Any], binding: Binding) -> None:
    """Add as many parked rows, which show the status too."""
    row_text = binding.table.key_text().as_string(db)
    db.execute(
        "insert into thing (id, status, n)"  # type: ignore[call-overload]
        f" select i, 'pending', i from generate_series({-PARKED}, -1) i"
    )
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, company, next_at, error, visit, first_at)"  # type: ignore[call-overload]
        f" select {binding.id}, {row_text}, 'parked', 5, 0, now(), 'no', gen_random_uuid(), now()"
        " from thing t where n < 0"
    )


def _work(row: Any) -> None: ...


def _joined(db: psycopg.Connection[Any], link: Link, **options: Any) -> tuple[Binding, int]:
    binding = bind(db, handler("thing", status="pending", to="normal", **options)(_work))
    register_handlers(link.connection, [binding])
    row = db.execute(
        "insert into poller.worker (supervisor, host, pid, slots, handlers, lease)"
        " values (gen_random_uuid(), 'test', 1, 1, '{}', '30s') returning id"
    ).fetchone()
    assert row is not None
    return binding, row[0]


def _taking(connection: psycopg.Connection[Any]) -> sql.SQL:
    """Return the statement inside poller.take, which EXPLAIN does not look into."""
    row = connection.execute("select prosrc from pg_proc where oid = 'poller.take'::regproc").fetchone()
    assert row is not None
    insert = re.search(r"insert .*(?=\n *into take)", row[0], re.DOTALL)
    assert insert is not None
    types = {
        "handler": "integer",
        "worker": "bigint",
        "keys": "text[]",
        "seen": "uuid[]",
        "sorted": "boolean",
    }
    return sql.SQL(re.sub(r"take\.(\w+)", lambda name: f"%({name[1]})s::{types[name[1]]}", insert[0]))


def _cycle(
    link: Link, binding: Binding, worker: int, mode: str, analyzed_after: str = ""
) -> dict[str, list[int]]:
    """Claim, lock, settle and retry a batch; return what each step's statements went through.

    Args:
        link: the engine's own.
        binding: the handler.
        worker: who does it.
        mode: a value of plan_cache_mode.
        analyzed_after: the step after which autovacuum comes by poller's own tables.
    """
    explaining = Explaining(link.connection)
    explaining.mode = mode
    claims = Claims(explaining)  # type: ignore[arg-type]
    settlements = Settlements(explaining)  # type: ignore[arg-type]
    seen: dict[str, list[int]] = {}

    def step(name: str) -> None:
        seen[name], explaining.visited = explaining.visited, []
        if name == analyzed_after:
            link.connection.execute("analyze poller.claim, poller.attempt")

    claims.peek([binding], {})
    step("peek")
    first = claims.claim(binding, worker, BATCH)
    tasks = first.tasks
    assert len(tasks) == BATCH
    step("claim")
    more = claims.claim(binding, worker, BATCH, first.last).tasks
    assert len(more) == BATCH
    step("claim what comes after")
    claims.peek([binding], {binding: first.last})
    step("peek after")
    keys = {"keys": array(task.key for task in tasks)}
    for known in ((), (tasks[0].lease.id, more[0].lease.id)):  # as claimed by others, and as by nobody
        asked = {"handler": binding.id, "worker": worker, "seen": array(known), "sorted": True} | keys
        with link.connection.transaction(force_rollback=True):
            explaining.execute(_taking(link.connection), asked)
    step("take")
    assert explaining.execute(binding.lock_rows, keys).rowcount == BATCH
    step("lock")
    failed = [Outcome(Became.RETRYING, delay=0.0, attempt=1, error=f"no: {task.key}") for task in tasks]
    results = [Result(task, outcome, 0.1) for task, outcome in zip(tasks, failed, strict=True)]
    assert settlements.settle(results).became == ["retrying"] * BATCH
    step("settle as failed")
    again = claims.claim_retries(binding, worker, BATCH).tasks
    assert len(again) == BATCH
    step("claim retries")
    crashed = Outcome(Became.RETRYING, delay=0.0, attempt=1, error="died", crashed=True, company=2 * BATCH)
    assert settlements.settle([Result(task, crashed, 0.1) for task in again]).became == ["retrying"] * BATCH
    step("settle as crashed")
    again = claims.claim_retries(binding, worker, 8, suspects=BATCH).tasks
    assert len(again) == BATCH
    step("claim suspects")
    with link.connection.transaction(force_rollback=True):
        link.connection.execute("update poller.worker set died_at = now() where id = %s", [worker])
        assert len(Liveness(explaining).dead_claims([binding.id])) >= BATCH
        step("dead claims")
    moved = Outcome(Became.MOVED, to="normal")
    for name, batch in (("settle", more), ("settle retries", again)):
        assert settlements.settle([Result(task, moved, 0.1) for task in batch]).became == ["moved"] * BATCH
        step(name)
    return seen


@pytest.mark.parametrize("analyzed", [True, False], ids=["analyzed", "never analyzed"])
@pytest.mark.parametrize("kind", one_in(3, KEYS))
def test_hot_statements_go_through_little_more_than_they_take(
    db: psycopg.Connection[Any], link: Link, kind: str, analyzed: Any
) -> None:
    """With plans made for the values and for any value, whatever the table's statistics say."""
    _fill(db, kind, analyzed=analyzed)
    binding, worker = _joined(db, link)
    for mode in ("force_custom_plan", "force_generic_plan"):
        for name, counts in _cycle(link, binding, worker, mode).items():
            assert max(counts) <= NODES * A_NODE, (mode, name, counts)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("analyzed", "each"), [(True, 11), (True, 200), (False, 200)], ids=["many", "few", "never analyzed"]
)
def test_nor_do_they_beside_a_million_finished_rows(
    db: psycopg.Connection[Any], link: Link, analyzed: Any, each: int
) -> None:
    """Whether many are pending or few; of very many, before the first ANALYZE, a claim may sort them all."""
    _fill(db, "bigint", analyzed=analyzed, rows=1_100_000, each=each)
    binding, worker = _joined(db, link)
    for mode in ("force_custom_plan", "force_generic_plan"):
        for name, counts in _cycle(link, binding, worker, mode).items():
            assert max(counts) <= NODES * A_NODE, (mode, name, counts)


@pytest.mark.thorough
@pytest.mark.parametrize("deleted", [0, 3000], ids=["a new table", "all but one deleted"])
def test_nor_when_leases_and_attempts_were_counted_at_a_bad_moment(
    db: psycopg.Connection[Any], link: Link, deleted: int
) -> None:
    """Autovacuum may look when there is one of them; a batch later there are hundreds."""
    _fill(db, "bigint", analyzed=True, each=20)
    binding, worker = _joined(db, link)
    of = {"handler": binding.id, "worker": worker, "deleted": deleted}
    db.execute(
        "insert into poller.claim (handler_id, worker_id, keys)"
        " select %(handler)s, %(worker)s, array[(-i)::text] from generate_series(1, 1 + %(deleted)s) as i",
        of,
    )
    db.execute("delete from poller.claim where keys <> '{-1}'")
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, company, next_at, error, visit, first_at)"
        " select %(handler)s, -i, 'parked', 5, 0, now(), 'no', gen_random_uuid(), now()"
        " from generate_series(1, 1 + %(deleted)s) as i",
        of,
    )
    db.execute("delete from poller.attempt where key <> '-1'")
    db.execute("analyze poller.claim, poller.attempt")
    for mode in ("force_custom_plan", "force_generic_plan"):
        for name, counts in _cycle(link, binding, worker, mode).items():
            assert max(counts) <= NODES * A_NODE, (mode, name, counts)


@pytest.mark.parametrize("meanwhile", one_in(2, ["", "settle as failed"]), ids=["", "poller's own meanwhile"])
@pytest.mark.parametrize("analyzed", [True, False], ids=["analyzed", "never analyzed"])
def test_claims_by_key_go_through_the_rows_before_those_they_take(
    db: psycopg.Connection[Any], link: Link, analyzed: Any, meanwhile: str
) -> None:
    """Of keys in flight, each once; and of the rest those among which they look. Nothing once a key."""
    _fill(db, "bigint", analyzed=analyzed)
    binding, worker = _joined(db, link, per_key="n", limit=4 * BATCH, rate="9999/1s")
    for mode in ("force_generic_plan", "force_custom_plan"):
        for name, counts in _cycle(link, binding, worker, mode, meanwhile).items():
            assert max(counts) <= NODES * A_NODE + 8 * LOOK_ROWS, (mode, name, counts)


@pytest.mark.parametrize("analyzed", [True, False], ids=["analyzed", "never analyzed"])
def test_parked_rows_are_passed_over_once_each(
    db: psycopg.Connection[Any], link: Link, analyzed: Any
) -> None:
    """A claim from the beginning goes through them; none of them is looked for in all the others."""
    _fill(db, "bigint", analyzed=False)
    binding, worker = _joined(db, link)
    _park(db, binding)
    if analyzed:
        db.execute("analyze")
    for mode in ("force_custom_plan", "force_generic_plan"):
        for name, counts in _cycle(link, binding, worker, mode).items():
            assert max(counts) <= NODES * A_NODE + 8 * PARKED, (mode, name, counts)


def test_without_its_index_a_claim_goes_through_the_table(db: psycopg.Connection[Any], link: Link) -> None:
    """Or nothing would be proved by the others."""
    _fill(db, "bigint", analyzed=False)
    db.execute("drop index thing_id_idx")
    db.execute("update thing set status = 'normal' where id < 100000 and status = 'pending'")
    db.execute("analyze")
    binding, worker = _joined(db, link)
    seen = _cycle(link, binding, worker, "force_custom_plan")
    assert max(seen["claim"]) > FINISHED / 3
