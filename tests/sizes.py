"""Prints how long functions and files are, beside those of model codebases: `make sizes`. To notice, not to gate.

Lengths are in lines; a function of ours is counted from its `def` to its end. The models' figures come from a count of
their public repositories in 2026; a `-` was not counted.
"""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median, quantiles

from rich.console import Console
from rich.table import Table

POLLER = Path(__file__).parents[1] / "poller"
MODELS = {  # functions and files: median / 90th percentile / longest
    "River (Go; github.com/riverqueue/river)": ("8 / 42 / 1078", "120 / 693 / -"),
    "Solid Queue (Ruby; github.com/rails/solid_queue)": ("3 / 11 / 27", "48 / 122 / 257"),
    "Oban (Elixir; github.com/oban-bg/oban)": ("5 / 18 / -", "100 / 435 / -"),
    "oban-py (github.com/oban-bg/oban-py)": ("10 / 34 / -", "-"),
    "psycopg 3 (github.com/psycopg/psycopg)": ("5 / 24 / -", "181 / 569 / -"),
    "psycopg_pool (the same)": ("10 / 32 / -", "-"),
    "stamina, structlog (github.com/hynek)": ("8.5 / 28 / 92", "54 / 195 / -"),
    "the budget": ("8 / 25 / 50", "120 / - / 350"),
}
LONGEST = 5  # that are named


def main() -> None:
    """Print both, and the longest."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(POLLER.rglob("*.py"))}
    files = {str(path.relative_to(POLLER)): text.count("\n") for path, text in texts.items()}
    functions = {
        f"{path.relative_to(POLLER)}:{node.lineno} {node.name}": (node.end_lineno or node.lineno)
        - node.lineno
        + 1
        for path, text in texts.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    table = Table("median / 90th percentile / longest", "functions", "files")
    table.add_row(
        f"poller: {len(functions)} functions, {len(files)} files", figures(functions), figures(files)
    )
    for name, counted in MODELS.items():
        table.add_row(name, *counted)
    console = Console()
    console.print(table)
    for lengths in (functions, files):
        longest = sorted(lengths, key=lambda name: -lengths[name])[:LONGEST]
        console.print(
            "the longest: " + ", ".join(f"{name} ({lengths[name]})" for name in longest), highlight=False
        )


def figures(lengths: dict[str, int]) -> str:
    """Return the median, the 90th percentile and the largest of some lengths."""
    counted = list(lengths.values())
    return f"{median(counted):g} / {quantiles(counted, n=10)[-1]:.0f} / {max(counted)}"


if __name__ == "__main__":
    main()
