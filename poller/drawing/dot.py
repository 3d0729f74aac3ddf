"""Machines in the language of Graphviz."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.drawing.layout import numbered, texts, title

if TYPE_CHECKING:
    from poller.client.graph import Edge, Graph, Node

LOOKS = {
    "move": "",
    "failure": ' [color="#c4402f", label="out of attempts"]',
    "retry": ' [label="retry"]',
    "seen": ' [style=dashed, label="seen"]',
}


def dot(graph: Graph) -> str:
    """Return a digraph with a cluster for each machine."""
    lines = ["digraph poller {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    for number, machine in enumerate(graph.machines):
        names = numbered(number, machine)
        lines += [f"  subgraph cluster_{number} {{", f"    label={quoted(title(machine))};"]
        lines += [f"    {names[each.status]} [label={_label(each)}];" for each in machine.statuses]
        lines += [f"    {_arrow(each, names)};" for each in machine.edges]
        lines.append("  }")
    return "\n".join([*lines, "}"])


def quoted(text: str) -> str:
    """Return a text as a quoted string: a backslash would begin an escape, and a quote end it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _label(node: Node) -> str:
    return '"' + "\\n".join(quoted(each)[1:-1] for each in texts(node)) + '"'


def _arrow(edge: Edge, names: dict[str, str]) -> str:
    return f"{names[edge.from_]} -> {names[edge.to]}{LOOKS[edge.kind]}"
