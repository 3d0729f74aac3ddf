"""Names with `*` and `?`: those of silences are matched in the database by the same rules (`poller.is_silent`)."""

from __future__ import annotations

import re
from functools import cache


def matches(pattern: str, subject_type: str, subject: str) -> bool:
    """Tell whether a pattern matches a job or a handler; a table without a status matches all its handlers."""
    shapes = (
        [pattern]
        if subject_type != "handler"
        else [pattern, f"{pattern}:*", f"public.{pattern}", f"public.{pattern}:*"]
    )
    return any(_compiled(each).fullmatch(subject) for each in shapes)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = (".*" if each == "*" else "." if each == "?" else re.escape(each) for each in pattern)
    return re.compile("".join(parts), re.DOTALL)
