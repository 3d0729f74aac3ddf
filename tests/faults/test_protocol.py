"""The protocols of leases and of slots, searched through: no order of steps breaks a promise; each guard is needed."""

from __future__ import annotations

import pytest

from tests.faults import planning, protocol
from tests.faults.planning import Planning
from tests.faults.protocol import Protocol
from tests.faults.search import search


@pytest.mark.fault("F1", "F3", "F4")
def test_g2_g3_g4_no_order_of_steps_breaks_a_promise() -> None:
    """One row, two workers that are declared dead while they go on, a sweeper, and a person."""
    states, way = search(Protocol())
    assert way is None
    assert states > 10_000, "it has been searched through"


@pytest.mark.fault("F4")
def test_g2_g3_g4_nor_with_two_rows() -> None:
    """A claim may bring the one or the other."""
    states, way = search(Protocol(rows=2, leases=2, deaths=1))
    assert way is None
    assert states > 10_000


@pytest.mark.parametrize("guard", protocol.GUARDS)
def test_control_without_a_guard_some_order_breaks_a_promise(guard: str) -> None:
    """The shortest one is found."""
    _, way = search(Protocol(without=guard))
    assert way is not None, f"nothing is lost without: {protocol.GUARDS[guard]}"


@pytest.mark.fault("F37")
@pytest.mark.parametrize("overlap", ["skip", "allow"])
def test_g7_g8_no_order_of_steps_loses_or_doubles_a_slot(overlap: str) -> None:
    """Two planners that die anywhere, a clock that goes back, runs that are purged, a person who holds and edits."""
    states, way = search(Planning(overlap=overlap))
    assert way is None
    assert states > 10_000


@pytest.mark.parametrize("guard", planning.GUARDS)
def test_g7_control_without_a_guard_some_order_loses_or_doubles_a_slot(guard: str) -> None:
    """Or fires one too early, or one that its job's rules leave out."""
    _, way = search(Planning(without=guard))
    assert way is not None, f"nothing is lost without: {planning.GUARDS[guard]}"
