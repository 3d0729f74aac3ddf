"""The outcome of an attempt, as data: made in one place (`store.outcomes`), written in one place (`settle.sql`).

Nothing between the two interprets it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Became(StrEnum):
    """What becomes of an attempt's row; the text is what `poller history` shows.

    An outcome asks for one of the first six. A settle results in that, or in one of the others.
    """

    MOVED = "moved"  # on to the next status
    RETRYING = "retrying"  # failed; another attempt follows
    SNOOZED = "snoozed"  # not ready; looked at again later
    FAILED = "failed"  # out of attempts; moved to on_failure
    PARKED = "parked"  # out of attempts; the status is left alone
    RELEASED = "released"  # given back before it started: as if never claimed
    SUPERSEDED = "superseded"  # another session had changed the status, which stands
    GONE = "gone"  # the row was deleted meanwhile
    REFUSED = "refused"  # a trigger or rule swallowed the UPDATE: nothing was written
    LATE = "late"  # the lease had ended: nothing was written
    LOCKED = "locked"  # another session holds the row's lock, which the settle does not wait for: nothing was written
    LEFT = "left"  # it could not simply be moved: nothing was written


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt's result, as `sql/settle/settle.sql` writes it.

    Attributes:
        verdict: what is to become of the row.
        to: the status to write, or None to leave the status alone.
        columns: further columns to set together with the status; their values as texts that Postgres reads.
        delay: seconds until the row is looked at again (retrying, snoozed).
        attempt: how many attempts are counted once this is settled.
        error: one line that says what went wrong.
        kind: the class of the error.
        place: the last frame in the user's own code: `file.py:12`.
        traceback: where it was raised, if it was, in lines.
        crashed: the attempt ended with its worker, so that this row may be what killed it.
        company: how many rows may have done that; the next lease of these holds at most half of them.
        begun: the handler was called though the row is given back: the visit must be remembered.
    """

    verdict: Became
    to: str | None = None
    columns: Mapping[str, str | None] = field(default_factory=dict)
    delay: float | None = None
    attempt: int = 1
    error: str | None = None
    kind: str | None = None
    place: str | None = None
    traceback: str | None = None
    crashed: bool = False
    company: int = 0
    begun: bool = False
