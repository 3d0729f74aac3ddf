"""Lists the episodes and notices of alerts, and silences alerts for a while.

What may be trusted: once a silence is committed, no notice is made of what it stands for; a message that holds one
already may be on its way. What goes wrong in the meantime is told when the silence ends, if it still does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from poller.client.answers import aside
from poller.client.job_queries import JobQueries
from poller.client.pausing import LONGEST_SECONDS, no_such
from poller.client.refusals import NothingSelectedError
from poller.client.row_queries import RowQueries
from poller.db.statements import statement
from poller.db.typed_rows import all_rows, only_row
from poller.duration import seconds
from poller.errors import ConfigurationError
from poller.jobs.run import TABLE as RUNS

if TYPE_CHECKING:
    import psycopg

    from poller.duration import Duration

MOST_EPISODES = 1000  # that are listed
PATTERN_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice of an episode to one target.

    Attributes:
        number: of the notices of its episode, from 1.
        reason: opened, changed, reminder or recovered.
        state: gathered (it waits for others of its target), waiting, sent, or given up.
        attempts: how many times it was sent.
        error: why the last time was in vain.
    """

    number: int
    target: str
    reason: str
    at: datetime
    state: str
    sent_at: datetime | None
    attempts: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Episode:
    """Something that goes wrong, or did within a day.

    Attributes:
        type: job, handler or host.
        subject: its name.
        kind: failed, late, missed, long, stale, parked, oldest, failing or gone.
        last_at: when its last sign was seen.
        closed_at: when it was over; None if it is not.
        times: how many failures, skipped slots or lost workers there were.
        error: the class of the last error; `place` is where it was raised.
        targets: who is told.
        silent: nothing is told of it now: it is silenced, or paused.
        notices: the last twenty, the newest first.
    """

    type: str
    subject: str
    kind: str
    opened_at: datetime
    last_at: datetime
    closed_at: datetime | None
    times: int
    error: str | None
    place: str | None
    detail: str | None
    targets: list[str]
    silent: bool
    notices: list[Notice]
    id: int = aside()


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence that holds: the name or pattern that it is for, who made it, and why."""

    name: str
    until: datetime
    reason: str | None
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Silenced:
    """A name that was silenced: what it stands for, and until when; None if its silence was ended."""

    name: str
    subjects: tuple[str, ...]
    until: datetime | None


def episodes(connection: psycopg.Connection[Any]) -> list[Episode]:
    """Return what goes wrong, and then what was over within a day, each the newest first."""
    return all_rows(connection, statement("episodes"), {"limit": MOST_EPISODES}, _episode)


def silences(connection: psycopg.Connection[Any]) -> list[Silence]:
    """Return the silences that hold."""
    return all_rows(connection, statement("silences"), {}, Silence)


def silence(
    connection: psycopg.Connection[Any],
    name: str,
    duration: Duration | float,
    reason: str | None,
    person: str | None,
) -> Silenced:
    """Silence a name, or end its silence; one of the same name is replaced.

    Raises:
        NothingSelectedError: nothing has the name; or it was not silenced.
        ConfigurationError: the duration is not valid.
    """
    lasting, asked = _checked(duration), {"name": name, "reason": reason, "person": person}
    if not 0 < len(name) <= PATTERN_CHARACTERS:
        raise NothingSelectedError(no_such(name, _known(connection)))
    ended = connection.execute(statement("end_silence"), asked).rowcount
    if lasting == 0:
        if not ended:
            msg = f"{name!r} is not silenced"
            raise NothingSelectedError(msg)
        return Silenced(name, (), None)
    made = only_row(
        connection,
        statement("silence"),
        {**asked, "seconds": lasting},
        lambda until, subjects: Silenced(name, tuple(subjects), until),
    )
    if not made.subjects:
        raise NothingSelectedError(no_such(name, _known(connection)))
    return made


def detail(silenced: Silenced, duration: Duration | float, reason: str | None) -> str:
    """Return what the log of orders keeps of a silence: how long it lasts, and why."""
    if silenced.until is None:
        return "ended"
    lasts = f"for {timedelta(seconds=round(_checked(duration)))}"
    return lasts if reason is None else f"{lasts}: {reason}"


def _checked(duration: Duration | float) -> float:
    given = float(duration) if isinstance(duration, int | float) else seconds(duration)
    if not 0 <= given <= LONGEST_SECONDS:
        msg = f"a silence must last at most {LONGEST_SECONDS / 86400:.0f}d; 0 ends one"
        raise ConfigurationError(msg)
    return given


def _known(connection: psycopg.Connection[Any]) -> list[str]:
    handlers = (
        f"{each.table}:{each.status}"
        for each in RowQueries(connection).known_handlers()
        if each.table != str(RUNS)  # jobs go by their names
    )
    return [*JobQueries(connection).names(), *handlers]


def _episode(notices: list[dict[str, Any]], **columns: Any) -> Episode:
    return Episode(notices=[_notice(**each) for each in notices], **columns)


def _notice(at: str, sent_at: str | None, **columns: Any) -> Notice:
    sent = None if sent_at is None else datetime.fromisoformat(sent_at)
    return Notice(at=datetime.fromisoformat(at), sent_at=sent, **columns)
