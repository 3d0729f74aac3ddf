"""An index of Python source files: each row of `source_file` is one; here is what is done with it."""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from poller import Row, Transition, handler

# Python warns of strange escapes in what it parses; those of other people's files are not for our log.
warnings.simplefilter("ignore", SyntaxWarning)


@handler("source_file", status="pending", to=("normal", "rejected"))
def index(file: Row) -> Transition:
    """Read, hash and parse a file; reject one that is gone or is not Python, with the reason.

    Whatever else goes wrong (a disk that fails, a file that may not be read) is raised, and tried again.
    """
    try:
        source = Path(file.path).read_bytes()
    except FileNotFoundError:
        return Transition("rejected", error="the file is gone")
    seen = {"sha256": hashlib.sha256(source).hexdigest(), "size": len(source)}
    try:
        counts = count(source, file.path)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Transition("rejected", error=f"{type(error).__name__}: {error}", **seen)
    return Transition("normal", error=None, **seen, **counts)


def count(source: bytes, name: str = "<unknown>") -> dict[str, Any]:
    """Return how many lines, functions and classes a Python source has.

    Args:
        source: what the file holds.
        name: what errors call it.

    Raises:
        SyntaxError: it is no Python, or not in the encoding that it claims.
        ValueError: it holds null bytes.
        RecursionError, MemoryError: it is nested too deeply for the parser.
    """
    kinds = Counter(type(node) for node in ast.walk(ast.parse(source, name)))
    return {
        "lines": len(source.splitlines()),
        "functions": kinds[ast.FunctionDef] + kinds[ast.AsyncFunctionDef],
        "classes": kinds[ast.ClassDef],
    }
