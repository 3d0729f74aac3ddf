"""Machines as a Mermaid flowchart, which GitHub and most wikis draw: its state diagrams have no dashed lines."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from poller.drawing.layout import numbered, texts, title

if TYPE_CHECKING:
    from poller.client.graph import Edge, Graph, Node

PLAIN = frozenset(
    string.ascii_letters + string.digits + " _-.,()"
)  # characters that need no code in a quoted label
ARROWS = {
    "move": "-->",
    "failure": '-- "out of attempts" -->',
    "retry": '-- "retry" -->',
    "seen": '-. "seen" .->',
}


def mermaid(graph: Graph) -> str:
    """Return a flowchart with a box for each machine."""
    lines = ["flowchart LR"]
    for number, machine in enumerate(graph.machines):
        names = numbered(number, machine)
        lines.append(f'  subgraph m{number}["{quoted(title(machine))}"]')
        lines += [f'    {names[each.status]}(["{_label(each)}"])' for each in machine.statuses]
        lines += [f"    {_arrow(each, names)}" for each in machine.edges]
        lines.append("  end")
    return "\n".join(lines)


def quoted(text: str) -> str:
    """Return a text for a quoted label: characters that could end it, or be read as HTML, become codes."""
    return "".join(each if each in PLAIN else f"#{ord(each)};" for each in text)


def _label(node: Node) -> str:
    return "<br>".join(map(quoted, texts(node)))


def _arrow(edge: Edge, names: dict[str, str]) -> str:
    return f"{names[edge.from_]} {ARROWS[edge.kind]} {names[edge.to]}"
