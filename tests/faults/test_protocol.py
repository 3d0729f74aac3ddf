"""The protocols of leases, suspects and slots, searched through: no order breaks a promise; each guard is needed."""

from __future__ import annotations

import pytest

from tests.faults import lease_protocol, slot_protocol, suspect_protocol
from tests.faults.lease_protocol import Protocol
from tests.faults.protocol_search import search
from tests.faults.slot_protocol import Planning
from tests.faults.suspect_protocol import Suspects


@pytest.mark.fault("F1", "F3", "F4")
def test_g2_g3_g4_no_order_of_steps_breaks_a_promise() -> None:
    """One row, two workers that are declared dead while they and their claims go on, a sweeper, and a person."""
    states, way = search(Protocol())
    assert way is None
    assert states > 10_000, "it has been searched through"


@pytest.mark.fault("F4")
def test_g2_g3_g4_nor_with_two_rows() -> None:
    """A claim may bring the one or the other."""
    states, way = search(Protocol(rows=2, leases=2, deaths=1, edits=0))
    assert way is None
    assert states > 10_000


@pytest.mark.fault("F31", "F39")
@pytest.mark.parametrize("befalls", ["stops", "losses", "refusals"])
def test_g1_g3_g6_nor_while_a_worker_stops_or_a_reply_is_lost_or_nothing_can_be_settled(befalls: str) -> None:
    """At every moment the row is due, held by a worker that knows it, waiting, parked or final."""
    states, way = search(Protocol(deaths=1, edits=0, **{befalls: 1}))
    assert way is None
    assert states > 5_000


def test_nor_where_a_person_has_locked_a_row() -> None:
    """That one waits; the other goes on."""
    states, way = search(Protocol(rows=2, leases=2, deaths=0, edits=0, locks=1))
    assert way is None
    assert states > 3_000


@pytest.mark.parametrize("guard", lease_protocol.GUARDS)
def test_control_without_a_guard_some_order_breaks_a_promise(guard: str) -> None:
    """The shortest one is found."""
    what, befalls = lease_protocol.GUARDS[guard]
    _, way = search(Protocol(without=guard, **befalls))
    assert way is not None, f"nothing is lost without: {what}"


@pytest.mark.fault("F19")
@pytest.mark.parametrize("attempts", [1, 2, 3])
@pytest.mark.parametrize("deaths", [0, 1])
def test_g6_a_row_that_kills_its_workers_is_found_among_its_neighbours(attempts: int, deaths: int) -> None:
    """Two workers take any steps in any order; a person may kill one, too."""
    states, way = search(Suspects(rows=5, attempts=attempts, deaths=deaths))
    assert way is None
    assert states > 500


@pytest.mark.parametrize("guard", suspect_protocol.GUARDS)
def test_g6_control_without_a_guard_a_neighbour_pays_or_the_killer_is_never_found(guard: str) -> None:
    """The shortest order is found."""
    what, attempts = suspect_protocol.GUARDS[guard]
    _, way = search(Suspects(without=guard, attempts=attempts))
    assert way is not None, f"nothing is lost without: {what}"


@pytest.mark.fault("F37")
@pytest.mark.parametrize("overlap", ["skip", "allow"])
def test_g7_g8_no_order_of_steps_loses_or_doubles_a_slot(overlap: str) -> None:
    """Two planners that die anywhere, a clock that goes back, runs that are purged, a person who holds and edits."""
    states, way = search(Planning(overlap=overlap))
    assert way is None
    assert states > 10_000


@pytest.mark.parametrize("guard", slot_protocol.GUARDS)
def test_g7_control_without_a_guard_some_order_loses_or_doubles_a_slot(guard: str) -> None:
    """Or fires one too early, or one that its job's rules leave out."""
    _, way = search(Planning(without=guard))
    assert way is not None, f"nothing is lost without: {slot_protocol.GUARDS[guard]}"
