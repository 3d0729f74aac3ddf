"""The content of a message: JSON for programs, and a text for people.

Nothing in it is a value of a user's row: names of jobs, tables and statuses, counts, times, an error's class and place.
A status, or the name of a class, may hold any character: no line for people is more than one, nor a header of a mail.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from poller.model.context import token_of
from poller.targets.sending import Letter
from poller.telemetry.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from poller.alerts.store import Message

MOST_SHOWN = 20  # of the notices in one message; the rest are summed
SHOWN = (
    "number",
    "reason",
    "type",
    "subject",
    "kind",
    "opened_at",
    "last_at",
    "closed_at",
    "times",
    "error",
    "place",
    "detail",
)

_WHAT = {
    "failed": "failed",
    "late": "did not start",
    "missed": "missed a slot",
    "long": "runs long",
    "stale": "has not succeeded for too long",
    "parked": "has parked rows",
    "oldest": "has old rows",
    "failing": "fails often",
    "gone": "lost a worker",
}
_BEFORE = {"opened": "", "changed": "another error: ", "reminder": "still: ", "recovered": "recovered: "}


def payload(target: str, notices: Sequence[Mapping[str, Any]], database: str = "") -> dict[str, Any]:
    """Return a message's JSON without its key; of many notices, the first ones and counts of the rest.

    Args:
        target: its name.
        notices: with their episodes.
        database: its name, if there are several: numbers of episodes are each database's own.
    """
    shown, rest = notices[:MOST_SHOWN], notices[MOST_SHOWN:]
    more: dict[str, int] = {}
    for each in rest:
        more[each["reason"]] = more.get(each["reason"], 0) + 1
    lines = [line(each) for each in shown]
    title = lines[0] if len(notices) == 1 else f"{len(notices)} alerts: {', '.join(_subjects(notices))}"
    if rest:
        lines.append(
            f"and {len(rest)} more: {', '.join(f'{count} {reason}' for reason, count in more.items())}"
        )
    return {
        "target": target,
        "database": database or None,
        "title": f"[{' '.join(filter(None, ('poller', one_line(database))))}] {title}",
        "text": "\n".join(lines),
        "notices": [{"id": _id(each, database), **_plain(each)} for each in shown],
        "more": more,
    }


def line(notice: Mapping[str, Any]) -> str:
    """Return a notice in a line."""
    return one_line(", ".join(_parts(notice)))


def _parts(notice: Mapping[str, Any]) -> list[str]:
    parts = [f"{_BEFORE[notice['reason']]}{notice['type']} {notice['subject']} {_WHAT[notice['kind']]}"]
    if notice["reason"] == "recovered":
        parts.append(f"since {_clock(notice['opened_at'])}, until {_clock(notice['closed_at'])}")
        return parts
    if notice["error"]:
        parts.append(f"{notice['error']} at {notice['place']}" if notice["place"] else notice["error"])
    if notice["detail"]:
        parts.append(notice["detail"])
    if notice["kind"] == "failed":
        parts.append("once" if notice["times"] == 1 else f"{notice['times']:,} times")
    parts.append(f"since {_clock(notice['opened_at'])}")
    return parts


def letter(message: Message, output: str = "") -> Letter:
    """Return the letter for a message, the same at each attempt; a ping carries the run's output."""
    key = str(message.key)
    if message.ping is not None:
        run = token_of(f"{message.payload['job']}:{message.payload['run']}")
        return Letter(key=key, ping=message.ping, run=run, text=output)
    content = {"key": key, **message.payload}
    return Letter(key=key, title=message.payload["title"], text=message.payload["text"], content=content)


def _id(notice: Mapping[str, Any], database: str) -> str:
    number = f"{notice['episode']}-{notice['number']}"
    return f"{database}:{number}" if database else number


def _subjects(notices: Sequence[Mapping[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(one_line(each["subject"]) for each in notices))
    return names if len(names) <= 3 else [*names[:3], "…"]  # noqa: PLR2004 - what a subject line has room for


def _plain(notice: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _iso(notice[name]) for name in SHOWN}


def _iso(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _clock(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"
