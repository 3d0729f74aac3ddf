"""Machines as SVG, without script, style or font of their own: it fits any page, and takes its colours."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from poller.drawing.layout import lay_out, texts, title
from poller.telemetry.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from poller.client.graph import Edge, Graph
    from poller.drawing.layout import Arrow, Box, Picture

HEAD = 30.0  # pixels for the name of each machine
FAILURE = "#c4402f"  # visible on a light and on a dark background
HEADS = "<defs>{}</defs>".format(
    "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
        for name, colour in (("head", "currentColor"), ("failure", FAILURE))
    )
)
SENTENCES = {
    "move": "{from_} moves to {to}",
    "failure": "{from_} goes to {to} when it is out of attempts",
    "retry": "{from_} is tried again",
    "seen": "{from_} went to {to}, which no handler declares",
}


def svg(graph: Graph) -> str:
    """Return the machines below each other, as one SVG document."""
    pictures = [lay_out(each) for each in graph.machines]
    width = max([each.width for each in pictures], default=0.0)
    top, groups = 0.0, []
    for each in pictures:
        groups.append(_group(each, top))
        top += HEAD + each.height
    name = quoteattr("State machines of " + ", ".join(title(each.machine) for each in pictures))
    size = f'viewBox="0 0 {width:.0f} {top:.0f}" width="{width:.0f}" height="{top:.0f}"'
    font = 'font-family="ui-sans-serif, system-ui, sans-serif" font-size="13"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label={name} {font}>'
    return "\n".join((head, HEADS, *groups, "</svg>"))


def _group(picture: Picture, top: float) -> str:
    name = escape(title(picture.machine))
    head = f'<text x="24" y="20" font-weight="600" fill="currentColor">{name}</text>'
    body = "\n".join((*map(_line, picture.lines), *map(_box, picture.boxes)))
    return f'<g transform="translate(0 {top:.0f})">\n{head}\n<g transform="translate(0 {HEAD:.0f})">\n{body}\n</g></g>'


def _box(box: Box) -> str:
    x, y = box.x + box.width / 2, box.y + box.height / 2
    shown = texts(box.node)
    first = y + 4.5 - 8 * (len(shown) - 1)
    anchor = 'text-anchor="middle" fill="currentColor"'
    lines = "".join(
        f'<text x="{x:.1f}" y="{first + 16 * number:.1f}" font-weight="{weight}" {anchor}>{escape(text)}</text>'
        for number, (text, weight) in enumerate(zip(shown, (600, 400), strict=False))
    )
    tooltip = f"<title>{escape(one_line(box.node.status))}</title>"
    frame = f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="9"'
    return f'<g>{tooltip}{frame} fill="none" stroke="currentColor"/>{lines}</g>'


def _line(line: Arrow) -> str:
    kind = line.edge.kind
    colour, head = (FAILURE, "failure") if kind == "failure" else ("currentColor", "head")
    dashes = ' stroke-dasharray="5 4"' if kind == "seen" else ""
    path = _loop(line.points) if line.edge.from_ == line.edge.to else _curve(line.points)
    stroke = f'fill="none" stroke="{colour}" stroke-opacity="0.75" stroke-width="1.4"{dashes}'
    tooltip = f"<title>{escape(_said(line.edge))}</title>"
    return f'<path d="{path}" {stroke} marker-end="url(#{head})">{tooltip}</path>'


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """Return a path that leaves and enters each point level."""
    (x, y), *rest = points
    parts = [f"M{x:.1f} {y:.1f}"]
    for to_x, to_y in rest:
        middle = (x + to_x) / 2
        parts.append(f"C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    return "".join(parts)


def _loop(points: Iterable[tuple[float, float]]) -> str:
    begin, *control = (f"{x:.1f} {y:.1f}" for x, y in points)
    return f"M{begin}C{' '.join(control)}"


def _said(edge: Edge) -> str:
    return SENTENCES[edge.kind].format(from_=one_line(edge.from_), to=one_line(edge.to))
