"""Surveys jobs, handlers and hosts, and returns what is wrong with them, as rows of episodes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

import psycopg

from poller.alerts.subjects import LONG_SHARE, alert, name_of
from poller.client.due import due
from poller.telemetry.times import clock as local_clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from poller.alerts.store import AlertStore, Found, HandlerTrouble, HostTrouble, JobTrouble, Signal
    from poller.alerts.subjects import Subjects
    from poller.client.due import DueRows
    from poller.store.binding import Binding

STATES = (
    "late",
    "long",
    "stale",
    "parked",
    "oldest",
    "failing",
)  # kinds that are over once a survey does not find them
MOST_LATE = 20  # jobs of one function that survey_jobs.sql finds late: there may be more
LEAST_ATTEMPTS = 10  # in ten minutes, for a share of them to say anything


def found(  # noqa: PLR0913 - a row of episodes
    subject_type: str,
    subject: str,
    kind: str,
    targets: Iterable[str],
    *,
    at: datetime | None = None,
    times: int = 0,
    detail: str | None = None,
    errors: Sequence[tuple[str | None, str | None]] = (),
) -> Found:
    """Return a row of open_episodes.sql; the newest error is the last one."""
    error, place = errors[-1] if errors else (None, None)
    return {
        "subject_type": subject_type,
        "subject": subject,
        "kind": kind,
        "targets": [*targets],
        "at": at.isoformat() if at is not None else None,
        "at_first": times,
        "more": times,
        "detail": detail,
        "error": error,
        "place": place,
        "signatures": sorted({" ".join(filter(None, each)) for each in errors}),
    }


def failed_runs(subjects: Subjects, signals: Sequence[Signal]) -> list[Found]:
    """Return the episodes of runs that have failed: one a job."""
    of_job: dict[str, list[Signal]] = {}
    for each in signals:
        if each.event == "fail" and (each.counts or subjects.settings.after == 1):
            of_job.setdefault(each.job, []).append(each)
    return [_failed(subjects, name, many) for name, many in of_job.items()]


def _failed(subjects: Subjects, name: str, many: Sequence[Signal]) -> Found:
    made = found(
        "job",
        name,
        "failed",
        subjects.targets_of_job(name, many[0].function),
        at=max(each.at for each in many),
        times=len(many),
        errors=[(each.error, each.place) for each in many],
    )
    return {**made, "at_first": max(len(many), subjects.settings.after)}


@dataclass(frozen=True, slots=True)
class SurveyFound:
    """What a survey has found, and which functions and handlers it covered: those that are not paused.

    Attributes:
        unknown: what may be wrong: what says so could not be looked at.
    """

    found: list[Found]
    unknown: list[Found]
    functions: list[str]
    handlers: list[str]


def survey(store: AlertStore, subjects: Subjects) -> SurveyFound:
    """Return what is wrong now."""
    jobs, names = subjects.jobs, subjects.functions
    long = [LONG_SHARE * each.options.timeout for each in jobs]
    troubles = store.survey_jobs(names, long, [each.options.expect for each in jobs])
    made = [_of_job(subjects, each) for each in troubles]
    bindings = {each.id: each for each in subjects.handlers}
    counted = store.survey_handlers(bindings, map(name_of, bindings.values()))
    unknown: list[Found] = []
    for each in counted:
        binding = bindings[each.id]
        made += _of_handler(subjects, binding, each)
        for old, is_known in _old_rows(store, subjects, binding, each.name):
            (made if is_known else unknown).append(old)
    made += [_of_host(subjects, each) for each in store.survey_hosts()]
    late = Counter(each.function for each in troubles if each.kind == "late")
    whole = [name for name in names if late[name] < MOST_LATE]
    # A job that was given another function has lines of both.
    once = {(each["subject_type"], each["subject"], each["kind"]): each for each in made}
    return SurveyFound([*once.values()], unknown, whole, [each.name for each in counted])


def _of_job(subjects: Subjects, trouble: JobTrouble) -> Found:
    words = {
        "late": "a run that was due at {} has not started",
        "missed": "the slot at {} was skipped, since a run was in progress",
        "long": "a run that started at {} still runs",
        "stale": "no success since {}",
    }
    detail = words[trouble.kind].format(clock(trouble.since))
    targets = subjects.targets_of_job(trouble.job, trouble.function)
    return found("job", trouble.job, trouble.kind, targets, at=trouble.at, times=trouble.more, detail=detail)


def _of_host(subjects: Subjects, trouble: HostTrouble) -> Found:
    detail = "a worker process ended without having been stopped, or was cut off"
    targets = subjects.targets_of_host(trouble.host)
    return found("host", trouble.host, "gone", targets, at=trouble.at, times=trouble.workers, detail=detail)


def _of_handler(subjects: Subjects, binding: Binding, counted: HandlerTrouble) -> list[Found]:
    asked, targets = alert(binding), subjects.targets_of_handler(binding)

    def one(kind: str, **more: Any) -> Found:
        return found("handler", counted.name, kind, targets, **more)

    made = []
    if counted.ended:
        made.append(
            one("failed", at=counted.ended_at, times=counted.ended, errors=_errors(counted.ended_signatures))
        )
    if asked.parked is not None and counted.parked >= asked.parked:
        rows = "1 row is" if counted.parked == 1 else f"{counted.parked:,} rows are"
        made.append(one("parked", detail=f"{rows} parked", errors=_errors(counted.parked_signatures)))
    attempts = counted.moved + counted.failed
    if (
        asked.failing is not None
        and attempts >= LEAST_ATTEMPTS
        and counted.failed >= asked.failing * attempts
    ):
        made.append(
            one("failing", detail=f"{counted.failed / attempts:.0%} of the attempts of ten minutes failed")
        )
    return made


def _old_rows(
    store: AlertStore, subjects: Subjects, binding: Binding, name: str
) -> Iterator[tuple[Found, bool]]:
    """Yield the episode of a handler whose first row has been due for too long, and whether that is known."""
    seconds = alert(binding).oldest_seconds
    if seconds is None:
        return
    head, targets = _head(store, subjects, binding), subjects.targets_of_handler(binding)
    since = None if head is None else head.oldest
    if since is not None and (store.now() - since).total_seconds() > seconds:
        detail = f"the first row has been due since {clock(since)}"
        yield found("handler", name, "oldest", targets, detail=detail), True
    elif since is None and not (head and head.exact):
        yield found("handler", name, "oldest", targets), False


def _head(store: AlertStore, subjects: Subjects, binding: Binding) -> DueRows | None:
    """Return what is due of a handler; None if the user's table is locked, or gone: others tell of that."""
    neighbours = [each.id for each in subjects.bindings if each.table.oid == binding.table.oid]
    try:
        return due(store.connection, binding, 0, neighbours)
    except psycopg.Error:
        if store.connection.closed:
            raise
        return None


def _errors(signatures: Sequence[str]) -> list[tuple[str | None, str | None]]:
    """Return the class and the place of each error that was seen, of which either may be missing."""
    parts = (each.partition(" ") for each in signatures)
    return [(kind or None, place or None) for kind, _, place in parts]


def clock(at: datetime) -> str:
    """Return a time for readers who may be anywhere."""
    return f"{local_clock(at, UTC)} UTC"
