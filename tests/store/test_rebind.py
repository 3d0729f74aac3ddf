"""A handler is bound anew beside threads that compose its statements: they get those of before, or of afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poller.store import binding as bindings
from poller.store.binding import bind
from tests.engines import moves

if TYPE_CHECKING:
    import psycopg
    import pytest


def test_what_is_composed_while_a_handler_is_bound_anew_does_not_stay(
    db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its `per_key` would be told apart otherwise from then on: 1.0 and 1.00 as two."""
    db.execute(
        "create table thing (id int primary key, status text not null, k numeric, hold boolean default false)"
    )
    binding = bind(db, moves("thing", status="pending", to="normal", per_key="k", where="not hold"))
    before = binding.claim_first.as_string(db)
    plain = bindings._hashed
    meanwhile: list[str] = []

    def hashed(*arguments: Any) -> frozenset[str]:
        meanwhile.append(binding.claim_first.as_string(db))  # as another thread may, at any moment
        return plain(*arguments)

    monkeypatch.setattr(bindings, "_hashed", hashed)
    binding.rebind(db)
    assert meanwhile == [before]
    assert binding.claim_first.as_string(db) == before


def test_a_claim_keeps_the_form_that_it_began_with(db: psycopg.Connection[Any]) -> None:
    """Its statement and what reads its rows are of one table, whatever becomes of the handler."""
    db.execute("create table thing (id int primary key, a text, status text not null)")
    binding = bind(db, moves("thing", status="pending", to="normal"))
    form = binding.as_now()
    db.execute("alter table thing drop column a")
    binding.rebind(db)
    assert [*form.shape.index] == ["id", "a", "status"]
    assert [*binding.shape.index] == ["id", "status"]
    assert form.claim_first is not binding.claim_first
    assert binding.as_now().claim_first is binding.claim_first
