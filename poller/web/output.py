"""What a run has printed, as lines that can be linked to: without what only a terminal understands."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST = 3000  # lines that have a link each
# Colours and moves of the cursor, titles and links of the window, other escapes of one character.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")


@dataclass(frozen=True, slots=True)
class OutputLines:
    """Lines of an output; `are_numbered`: there are not too many for a link to each."""

    lines: tuple[str, ...]
    are_numbered: bool


def printed(text: str) -> OutputLines:
    r"""Return an output as it is shown.

    >>> printed("\x1b[31mred\x1b[0m\r\nplain\n")
    OutputLines(lines=('red', 'plain'), are_numbered=True)
    """
    lines = _ESCAPES.sub("", text).replace("\r\n", "\n").removesuffix("\n").split("\n")
    if len(lines) > MOST:
        return OutputLines(("\n".join(lines),), are_numbered=False)
    return OutputLines(tuple(lines), are_numbered=True)
