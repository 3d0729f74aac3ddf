"""Logs rows in trouble: one line for each cause in a while, not one for each row.

The model. A cause is a handler, what became of its rows, and the kind of the error with its place; what differs from row
to row, such as a number in its text, makes no other cause. The first rows are logged at once. Those that follow within
`GROUPING_SECONDS` are counted, and logged together after that. Any thread may report; a thread that lives while rows are
counted logs them.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from poller.telemetry.log import write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GROUPING_SECONDS = 10.0  # in which a cause is told once
SHOWN_KEYS = 3  # keys named in a line
MOST_CAUSES = 100  # told apart in a while; the rest is one

_KIND = re.compile(r"(\w+)(?:: .*?)?( \([^()]*:\d+\))?", re.DOTALL)
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|\d+")
_INFORMATION = ("superseded", "gone")  # caused by another session, on purpose


class Trouble(NamedTuple):
    """What became of a row that did not simply move on.

    Attributes:
        became: in one word: retrying, parked, failed, superseded …
        why: the error, or what was to become of it.
        key: the row's, as text.
        attempt: which one it was.
        delay: seconds until the next attempt, if one follows.
        event: the name of the event that says it.
        cause: the class of the error and its place, if it has one.
    """

    became: str
    why: str
    key: str
    attempt: int
    delay: float | None = None
    event: str = ""
    cause: str | None = None


Cause = tuple[str, str, str]


def _write(text: str, level: int, /, event: str, **fields: Any) -> None:
    write(text, level, fields, event=event)


@dataclass
class _Count:
    """What one cause has done since it was last logged."""

    until: float
    rows: int = 0
    first: list[Trouble] = field(default_factory=list)

    def add(self, troubles: Sequence[Trouble]) -> None:
        self.rows += len(troubles)
        self.first += troubles[: SHOWN_KEYS - len(self.first)]


class Digest:
    """Gathers troubles by their cause, and tells of them.

    Args:
        while_: seconds in which a cause is logged once.
        tell: writes a line: its text, level and fields, and the name of the `event`.
    """

    def __init__(self, while_: float = GROUPING_SECONDS, tell: Callable[..., None] = _write) -> None:
        self._while = while_
        self._tell = tell
        self._counts: dict[Cause, _Count] = {}
        self._lock = threading.Lock()
        self._is_telling = False

    def report(self, table: str, troubles: Sequence[Trouble]) -> None:
        """Log rows of one handler, or count them if their cause has just been logged.

        Args:
            table: what the log calls the handler.
            troubles: what became of its rows.
        """
        groups: dict[Cause, list[Trouble]] = defaultdict(list)
        for each in troubles:
            groups[cause_of(table, each)].append(each)
        for cause, those in groups.items():
            if self._is_new(cause, those):
                self._say(table, those, len(those))

    def tell_rest(self) -> None:
        """Tell what has been counted: the process ends."""
        self._tell_until(float("inf"))

    def _is_new(self, cause: Cause, troubles: list[Trouble]) -> bool:
        with self._lock:
            if cause not in self._counts and len(self._counts) >= MOST_CAUSES:
                cause = (cause[0], cause[1], "")
            if (count := self._counts.get(cause)) is not None:
                count.add(troubles)
                return False
            self._counts[cause] = _Count(monotonic() + self._while)
            if not self._is_telling:
                self._is_telling = True
                threading.Thread(target=self._tell_on, name="poller troubles", daemon=True).start()
            return True

    def _tell_on(self) -> None:
        """Tell what is counted when its time has come, until nothing has come for a while."""
        while True:
            with self._lock:
                if not self._counts:
                    self._is_telling = False
                    return
                until = min(count.until for count in self._counts.values())
            threading.Event().wait(max(0.0, until - monotonic()))
            self._tell_until(monotonic())

    def _tell_until(self, now: float) -> None:
        with self._lock:
            due = [(cause, count) for cause, count in self._counts.items() if count.until <= now]
            for cause, count in due:
                if count.rows:
                    self._counts[cause] = _Count(monotonic() + self._while)
                else:
                    del self._counts[cause]
        for (table, _, _), count in due:
            if count.rows:
                self._say(table, count.first, count.rows, within=f"{self._while:g}s")

    def _say(self, table: str, first: list[Trouble], rows: int, **fields: Any) -> None:
        became, why, _, attempt, delay, event, _ = first[0]
        keys = ", ".join(each.key for each in first[:SHOWN_KEYS])
        more = f" and {rows - SHOWN_KEYS:,} more" if rows > SHOWN_KEYS else ""
        again = {"again_in": f"{delay:.1f}s"} if became == "retrying" and delay is not None else {}
        level = logging.INFO if became in _INFORMATION else logging.WARNING
        self._tell(
            f"{became}: {why}",
            level,
            event=event,
            table=table,
            rows=keys + more,
            attempt=attempt,
            **again,
            **fields,
        )


def cause_of(table: str, trouble: Trouble) -> Cause:
    """Return what troubles have in common that are logged together: all but what differs from row to row."""
    if trouble.cause is not None:
        return table, trouble.became, trouble.cause
    kind = _KIND.fullmatch(trouble.why)
    why = kind[1] + kind[2] if kind is not None and kind[2] else _VARYING.sub("…", trouble.why)
    return table, trouble.became, why


digest = Digest()
