"""The protocol of leases, searched through whole: no order of steps breaks a promise, and each guard is needed."""

from __future__ import annotations

import pytest

from tests.faults.protocol import GUARDS, Protocol, search


@pytest.mark.fault("F1", "F3", "F4")
def test_g2_g3_g4_no_order_of_steps_breaks_a_promise() -> None:
    """One row, two workers that are declared dead while they go on, a sweeper, and a person."""
    states, way = search(Protocol())
    assert way is None
    assert states > 10_000, "it has been searched through"


@pytest.mark.parametrize("guard", GUARDS)
def test_control_without_a_guard_some_order_breaks_a_promise(guard: str) -> None:
    """The shortest one is found."""
    _, way = search(Protocol(without=guard))
    assert way is not None, f"nothing is lost without: {GUARDS[guard]}"


@pytest.mark.fault("F4")
def test_g2_g3_g4_nor_with_two_rows() -> None:
    """A claim may bring the one or the other."""
    states, way = search(Protocol(rows=2, leases=2, deaths=1))
    assert way is None
    assert states > 10_000
