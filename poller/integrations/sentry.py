"""Sentry: reports the errors of attempts and runs, and checks the runs of scheduled jobs in with its monitors.

```python
sentry_sdk.init("https://…", integrations=[PollerIntegration(monitor_jobs=True)])  # in the handlers package
```

The model. A call's error is reported by the worker, wherever the handler runs. Each event that is made during an attempt
is told which attempt that is, also what the handler reports itself: then, so that a call without events costs next to
nothing. Each call has a context of its own, and so a scope of its own. With `traces_sample_rate` there are transactions,
too: where there would be spans.

No row's values are sent: neither the texts of errors nor the variables of frames, and no key, unless the integration was
made with `values=True`. `Snooze` and `Retry` are answers, and are not reported.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from poller.errors import ConfigurationError

try:
    import sentry_sdk
    from sentry_sdk.integrations import Integration
    from sentry_sdk.integrations.logging import ignore_logger
    from sentry_sdk.scope import add_global_event_processor
    from sentry_sdk.tracing_utils import has_tracing_enabled
    from sentry_sdk.utils import capture_internal_exceptions, event_from_exception
except ModuleNotFoundError as error:
    msg = "reports to Sentry need sentry-sdk; run: pip install 'poller[sentry]'"
    raise ConfigurationError(msg) from error

from poller.errors_in_words import guarded, kind_of, place_of
from poller.executor.around import Around
from poller.integrations import failures, sentry_monitors
from poller.services.loop import farewells
from poller.telemetry.current_attempt import current

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from poller.jobs.job import Job
    from poller.model.handler import Handler
    from poller.telemetry.current_attempt import Attempt

HIDDEN = "[Filtered]"  # as the SDK has it


class PollerIntegration(Integration):
    """Reports the errors of attempts and runs to Sentry.

    Args:
        monitor_jobs: check each run of a job with a schedule in with a monitor of the job's name, which is made, or
            changed, by the way.
        values: send what may hold values of rows: the texts of errors, the variables of frames, and the row's key.
    """

    identifier = "poller"
    origin: Final = f"auto.queue.{identifier}"

    def __init__(self, *, monitor_jobs: bool = False, values: bool = False) -> None:
        self.monitor_jobs = monitor_jobs
        self.values = values

    @staticmethod
    def setup_once() -> None:
        """Have events say which attempt they are from; poller's own lines, which tell of the same errors, are none."""
        add_global_event_processor(_tell_attempt)
        ignore_logger("poller")


def reporting(handler: Handler, job: Job | None) -> Iterator[Around]:
    """Yield the middleware that reports a handler's errors, if the program's client has the integration.

    Args:
        handler: of rows, or of a job's runs.
        job: the job.
    """
    client = sentry_sdk.get_client()
    integration = client.get_integration(PollerIntegration)
    if integration is None:
        return
    farewells.add(sentry_sdk.flush)
    if integration.monitor_jobs and job is not None:
        yield from sentry_monitors.checking(handler, job)
    is_traced = has_tracing_enabled(client.options) and failures.is_traced(handler)
    reports = _reports(is_traced=is_traced, values=integration.values)
    yield Around(reports, takes_rows=False, is_local=True)


def _reports(*, is_traced: bool, values: bool) -> Callable[..., Generator[None, Any]]:
    def reported(attempt: Attempt) -> Generator[None, Any]:
        transaction: Any = _transaction(attempt) if is_traced else contextlib.nullcontext()
        with transaction:
            try:
                answer = yield
            except BaseException as error:  # noqa: BLE001 - the engine has it
                errors = failures.of_raise(error)
            else:
                errors = failures.of_answer(answer)
            if errors and is_traced:
                transaction.set_status("internal_error")
            _report(errors, values=values)

    return reported


def _tell_attempt(event: Any, _: dict[str, Any]) -> Any:
    """Add the attempt in progress to an event."""
    attempt = current()
    integration = sentry_sdk.get_client().get_integration(PollerIntegration)
    if attempt is None or integration is None:
        return event
    known = attempt.known
    tagged = ("job", "attempt") if attempt.job else ("table", "status", "attempt")
    event["transaction"] = _name(attempt)
    event["tags"] = {**{f"poller.{each}": known[each] for each in tagged}, **event.get("tags", {})}
    if not integration.values:
        known.pop("key", None)
    contexts = event.setdefault("contexts", {})
    contexts["poller"] = {**known, **contexts.get("poller", {})}
    return event


def _name(attempt: Attempt) -> str:
    return f"run {attempt.job}" if attempt.job else f"process {attempt.table}:{attempt.status}"


def _transaction(attempt: Attempt) -> Any:
    transaction = sentry_sdk.start_transaction(
        op="queue.process", name=_name(attempt), source="task", origin=PollerIntegration.origin
    )
    transaction.set_data("messaging.system", "poller")
    transaction.set_data("messaging.destination.name", attempt.table)
    transaction.set_data("messaging.message.retry.count", attempt.attempt - 1)
    return transaction


def _report(errors: Iterable[BaseException], *, values: bool) -> None:
    """Report errors; those of one class and place, as many rows of a batch may have, once."""
    alike = {(kind_of(each), place_of(each)): each for each in errors}
    for (kind, place), error in alike.items():
        with capture_internal_exceptions():
            event, hint = _event(error, kind, place, values=values)
            sentry_sdk.capture_event(event, hint)


def _event(error: BaseException, kind: str, place: str, *, values: bool) -> tuple[Any, dict[str, Any]]:
    """Return an error as the SDK sends it, and its hint."""
    options = dict(sentry_sdk.get_client().options)
    options["include_local_variables"] = options["include_local_variables"] and values
    event, hint = _told(error, options)
    chain: list[dict[str, Any]] = event["exception"]["values"]
    chain[-1]["type"] = kind  # of what another process has raised, it may be a stand-in
    if not values:
        _hide(chain)
    if _has_left_its_frames(error):
        chain[-1].pop("stacktrace", None)  # where poller raised it again
        event["fingerprint"] = [kind, place, "{{ transaction }}"]
    event["contexts"] = {"poller": {"place": place}}
    return event, hint


def _told(error: BaseException, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return an error as the SDK tells it; bare, if it raises when it is asked, as a user's object may."""
    mechanism = {"type": PollerIntegration.identifier, "handled": False}
    bare = {"level": "error", "exception": {"values": [{"value": HIDDEN, "mechanism": mechanism}]}}
    told = guarded(lambda: event_from_exception(error, client_options=options, mechanism=mechanism), None)
    return told or (bare, {})


def _has_left_its_frames(error: BaseException) -> bool:
    """Return whether an error was raised in another process, or never, as a timeout."""
    return error.__traceback__ is None or guarded(lambda: hasattr(error, "raised_at"), False)  # noqa: FBT003 - a value


def _hide(chain: list[dict[str, Any]]) -> None:
    """Take the texts of errors, and the variables of frames, out of a report."""
    for each in chain:
        each["value"] = HIDDEN
        for frame in each.get("stacktrace", {}).get("frames", ()):
            frame.pop("vars", None)
