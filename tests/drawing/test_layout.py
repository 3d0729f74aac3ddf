"""Where the statuses and moves of a machine stand: forward to the right, none upon another, the same each time."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from poller.client.graph import Edge, Machine, Node
from poller.drawing.layout import HEIGHT, Box, lay_out

if TYPE_CHECKING:
    from poller.drawing.layout import Picture

NAMES = [f"status {number}" for number in range(8)]
PAIRS = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES))


def machine(*pairs: tuple[str, str]) -> Machine:
    """Make a machine of its moves."""
    edges = tuple(Edge(*pair, "move") for pair in dict.fromkeys(pairs))
    statuses = dict.fromkeys(status for pair in pairs for status in pair)
    return Machine("public.t", "status", tuple(map(Node, statuses)), edges)


def boxes(picture: Picture) -> dict[str, Box]:
    return {each.node.status: each for each in picture.boxes}


def test_a_chain_goes_to_the_right() -> None:
    """Each status stands right of the one before, at the same height."""
    found = boxes(lay_out(machine(("a", "b"), ("b", "c"))))
    assert found["a"].x < found["b"].x < found["c"].x
    assert found["a"].y == found["b"].y == found["c"].y


def test_a_way_back_does_not_turn_the_picture_round() -> None:
    """The status that the rows begin in stays at the left."""
    picture = lay_out(machine(("new", "paid"), ("paid", "new"), ("paid", "sent")))
    found = boxes(picture)
    assert found["new"].x < found["paid"].x < found["sent"].x
    [back] = [each for each in picture.lines if each.edge.to == "new"]
    assert back.points[0][0] > back.points[-1][0]


def test_a_move_over_several_columns_goes_round_what_stands_there() -> None:
    """It has bends there, which take places of their own."""
    picture = lay_out(machine(("a", "b"), ("b", "c"), ("a", "c")))
    found = boxes(picture)["b"]
    [over] = [each for each in picture.lines if (each.edge.from_, each.edge.to) == ("a", "c")]
    assert len(over.points) == 4
    assert not any(found.y <= y <= found.y + HEIGHT for _, y in over.points[1:-1])


def test_a_long_chain_is_no_trouble() -> None:
    """Longer than Python's stack is deep."""
    names = [str(number) for number in range(1500)]
    assert len(lay_out(machine(*pairwise(names))).boxes) == 1500


@given(st.lists(PAIRS, min_size=1, max_size=24))
def test_whatever_the_machine_its_picture_is_whole(pairs: list[tuple[str, str]]) -> None:
    """Every status and move is there, within the frame; no two overlap, and it is the same again."""
    made = machine(*pairs)
    picture = lay_out(made)
    assert [each.node for each in picture.boxes] == list(made.statuses)
    assert sorted(each.edge for each in picture.lines) == sorted(made.edges)
    for box in picture.boxes:
        assert 0 <= box.x <= picture.width - box.width
        assert 0 <= box.y <= picture.height - box.height
    for one, other in combinations(picture.boxes, 2):
        apart = one.x + one.width <= other.x or other.x + other.width <= one.x
        assert apart or abs(one.y - other.y) >= HEIGHT
    assert len({frozenset(each.points) for each in picture.lines}) == len(picture.lines)
    assert lay_out(made) == picture
