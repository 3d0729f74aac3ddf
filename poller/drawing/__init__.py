"""Draws state machines: as SVG with a layout of our own, and as text for Graphviz and Mermaid."""
