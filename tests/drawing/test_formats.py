"""Pictures in the words of other programs: whatever a status is called, what reads them sees a name and nothing else."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller.client.graph import Edge, Graph, Machine, Node
from poller.drawing.dot import dot
from poller.drawing.mermaid import mermaid
from poller.drawing.svg import svg

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    '"]; click a "javascript:alert(1)"', "<script>alert(1)</script>", "a\nb --> c", "#quot;", "\\", '\\"', "end",
    "\x1b[31m", "\u202egnp", "&amp;", "]]>", "%%{init: {}}%%", "日本語", "", "\x00", "a`b*c*", "\ud800",
]  # fmt: skip


def named(status: str, *, column: str = "status") -> Graph:
    """Make a machine with a status of that name, of which there is each kind of move."""
    nodes = (Node(status, 1234567, exact=False), Node("to", 3, exact=True), Node("lost"))
    edges = (
        Edge(status, "to", "move"),
        Edge(status, status, "retry"),
        Edge(status, "lost", "failure"),
        Edge("to", status, "seen"),
    )
    return Graph((Machine(f"public.{status}", column, nodes, edges),))


@pytest.mark.parametrize("status", HOSTILE)
def test_svg_is_well_formed_and_inert(status: str) -> None:
    """Nothing in it but shapes and texts, and no attribute that could run or fetch something."""
    root = ET.fromstring(svg(named(status)))
    kinds = {each.tag.removeprefix(SVG) for each in root.iter()}
    assert kinds == {"svg", "defs", "marker", "path", "g", "text", "title", "rect"}
    attributes = {name for each in root.iter() for name in each.attrib}
    assert not any(name in {"style", "href"} or name.startswith("on") for name in attributes)


@given(st.text())
def test_svg_of_any_status_can_be_read(status: str) -> None:
    """The characters that XML has not are escaped before."""
    ET.fromstring(svg(named(status, column=status)))


@pytest.mark.parametrize("status", HOSTILE)
def test_mermaid_is_of_known_lines_only(status: str) -> None:
    """A label holds letters, digits and codes of characters: nothing ends it, and nothing in it is markup."""
    label = r'"(?:[A-Za-z0-9 _.,()-]|#\d+;|<br>)*"'
    known = re.compile(
        rf"flowchart LR|  subgraph m\d+\[{label}\]|    m\d+s\d+\(\[{label}\]\)|  end"
        r'|    m\d+s\d+ (?:-->|-- "out of attempts" -->|-- "retry" -->|-\. "seen" \.->) m\d+s\d+'
    )
    for line in mermaid(named(status)).split("\n"):
        assert known.fullmatch(line), line


@pytest.mark.parametrize("status", HOSTILE)
def test_dot_is_of_known_lines_only(status: str) -> None:
    """A string ends where it should."""
    text = r'"(?:[^"\\]|\\.)*"'
    known = re.compile(
        rf"digraph poller \{{|  rankdir=LR;|  node \[.*\];|  subgraph cluster_\d+ \{{|    label={text};|  \}}|\}}"
        rf"|    m\d+s\d+ \[label={text}\];|    m\d+s\d+ -> m\d+s\d+(?: \[[^\]]*\])?;"
    )
    for line in dot(named(status)).split("\n"):
        assert known.fullmatch(line), line


def test_estimates_are_marked() -> None:
    """Where the rows were counted, they are not."""
    texts = [each.text for each in ET.fromstring(svg(named("new"))).iter(f"{SVG}text")]
    assert texts == ["public.new", "new", "≈ 1,234,567", "to", "3", "lost"]


def test_what_nobody_declares_is_dashed() -> None:
    """In each of them."""
    assert svg(named("new")).count("stroke-dasharray") == 1
    assert mermaid(named("new")).count("-. ") == 1
    assert dot(named("new")).count("style=dashed") == 1
