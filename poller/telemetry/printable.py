"""What is shown to people, without what would forge a line, move a terminal's cursor or turn text around.

Keys, errors, names and a job's output are others' text: they may hold line feeds, escape sequences, overrides of
direction. Whatever is written to a log or a terminal passes here; JSON keeps the characters, escaped as JSON has it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_LAYOUT = "\n\t"


def one_line(value: object) -> str:
    """Return a text in which each character that is not printable is escaped."""
    text = str(value)
    return text if text.isprintable() else "".join(map(_escaped, text))


def lines(value: object) -> str:
    """Return a text whose line feeds and tabs are kept, and whose other control characters are escaped."""
    text = str(value).replace("\r\n", "\n")
    if text.isprintable():
        return text
    return "".join(each if each in _LAYOUT else _escaped(each) for each in text)


def as_json(value: object, *, default: Callable[[Any], Any] = str, indent: int | None = None) -> str:
    """Return a value as JSON, readable, but for the characters that are not printable."""
    text = json.dumps(value, default=default, ensure_ascii=False, indent=indent)
    if text.isprintable():
        return text
    return "".join(each if each == "\n" or each.isprintable() else json.dumps(each)[1:-1] for each in text)


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
