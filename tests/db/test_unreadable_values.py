"""What psycopg makes of a value, and what a program has registered with it, costs at most the row that has the value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.adapt import Loader

from tests.engines import moves, run
from tests.harness import Project, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

DEEP = "(repeat('[', 3000) || repeat(']', 3000))"


@pytest.fixture
def registered() -> Iterator[psycopg.adapt.AdaptersMap]:
    """psycopg's global adapters, as they were again with the end of the test."""
    saved = psycopg.adapt.AdaptersMap(psycopg.adapters)
    yield psycopg.adapters
    for name in ("_dumpers", "_dumpers_by_oid", "_loaders"):
        setattr(psycopg.adapters, name, getattr(saved, name))
        setattr(psycopg.adapters, f"_own{name}", [False] * len(getattr(psycopg.adapters, f"_own{name}")))


def _make(db: psycopg.Connection[Any], kind: str, plain: str) -> None:
    db.execute(f"create table thing (id int primary key, status text default 'pending', value {kind})")  # type: ignore[call-overload]
    db.execute(f"insert into thing select i, 'pending', {plain} from generate_series(1, 20) as i")  # type: ignore[call-overload]


@pytest.mark.fault("F51")
@pytest.mark.parametrize("kind", ["json", "jsonb", "jsonb[]"])
@pytest.mark.parametrize("transactional", [False, True], ids=["leased", "transactional"])
def test_json_that_is_nested_too_deep_comes_as_its_text(
    url: str, db: psycopg.Connection[Any], kind: str, transactional: Any
) -> None:
    """Python's parser has no stack for it; the others come as they are."""
    array = kind.endswith("[]")
    _make(db, kind, f"""array['{{"a": 1}}']::{kind}""" if array else f"""'{{"a": 1}}'::{kind}""")
    deep = f"array[{DEEP}]::{kind}" if array else f"{DEEP}::{kind}"
    db.execute(f"update thing set value = {deep} where id = 7")  # type: ignore[call-overload]
    seen: dict[int, Any] = {}
    step = moves("thing", lambda row: seen.update({row.id: row.value}), transactional=transactional)
    assert [each.became for each in run(url, step)] == ["moved"] * 20
    assert seen.pop(7) == (["[" * 3000 + "]" * 3000] if array else "[" * 3000 + "]" * 3000)
    assert list(seen.values()) == ([[{"a": 1}]] if array else [{"a": 1}]) * 19


@pytest.mark.fault("F51")
@pytest.mark.parametrize(
    "error", [ValueError, KeyError, RecursionError, MemoryError, AssertionError, SystemExit]
)
@pytest.mark.parametrize("batch", [1, 5])
def test_whatever_a_loader_of_the_programs_raises_costs_that_value(
    url: str, db: psycopg.Connection[Any], registered: Any, error: type[BaseException], batch: int
) -> None:
    """It comes as its text."""

    class Picky(Loader):
        def load(self, data: Any) -> str:
            if bytes(data) == b"7.00":
                raise error
            return f"about {bytes(data).decode()}"

    _make(db, "numeric(9, 2)", "i")
    registered.register_loader("numeric", Picky)
    seen: dict[int, Any] = {}

    def note(given: Any) -> None:
        seen.update({row.id: row.value for row in (given if batch > 1 else [given])})

    assert [each.became for each in run(url, moves("thing", note, batch=batch))] == ["moved"] * 20
    assert [seen[6], seen[7], seen[8]] == ["about 6.00", "7.00", "about 8.00"]


@pytest.mark.fault("F51")
def test_keys_and_leases_are_read_whatever_the_program_has_registered(
    url: str, db: psycopg.Connection[Any], registered: Any
) -> None:
    """For text, numbers, times, truths, arrays, uuids and JSON: a handler's rows are read with it, and nothing else."""

    class Strange(Loader):
        def load(self, data: Any) -> str:
            return f"<{bytes(data).decode().strip()}>"

    db.execute(
        "create table thing (id text primary key, status text default 'pending', n int, at timestamptz)"
    )
    db.execute("insert into thing select ' ' || i, 'pending', i, now() from generate_series(1, 20) as i")
    names: tuple[Any, ...] = (
        "text",
        "int2",
        "int4",
        "int8",
        "bool",
        "float8",
        "numeric",
        "timestamptz",
        "uuid",
        "json",
        "jsonb",
    )
    for name in (*names, "varchar", 1009, 2951, 1007):
        registered.register_loader(name, Strange)
    seen: list[Any] = []

    def note(row: Any) -> None:
        seen.append((row.id, row.n))
        if row.n in ("<3>", "<4>") and len(seen) < 20:
            raise ValueError

    step = moves("thing", note, batch=1, attempts=2)
    done = run(url, step)
    assert sorted(each.key for each in done if each.became == "moved") == sorted(
        f" {each}" for each in range(1, 21) if each not in (3, 4)
    )
    assert set(seen) == {(f"<{each}>", f"<{each}>") for each in range(1, 21)}


@pytest.mark.fault("F51")
def test_a_fleet_works_whose_program_reads_json_in_its_own_way(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Set globally, as psycopg's documentation shows it; a job runs beside the handler."""
    _make(db, "jsonb", "'[1]'")
    project.handlers(
        """
        import psycopg
        from poller import fixed_rate

        psycopg.types.json.set_json_loads(lambda data: data)
        psycopg.types.json.set_json_dumps(lambda data: "null")

        @handler("thing", status="pending", to="normal")
        def work(row):
            assert row.value == b"[1]", row.value

        @fixed_rate("1h")
        def sample(): pass
        """
    )
    fleet = project.start("run")
    moved = "select from thing where status = 'normal'"
    wait_until("all are moved", lambda: db.execute(moved).rowcount == 20)
    ran = "select from poller.run where status = 'succeeded'"
    wait_until("the job has run", lambda: db.execute(ran).rowcount)
    assert "TypeError" not in fleet.log
