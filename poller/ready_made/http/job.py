"""HTTP jobs: a request with a schedule, and conditions on its answer.

`request` checks what can be checked when the job is made; `send_request` sends it, and refuses what leads to
addresses that it may not go to. A run's output and errors name the server and
nothing else of the URL; the request's secrets are masked wherever they appear, in a body that
echoes them, say.
"""

from __future__ import annotations

import contextlib
import re
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any

from poller.duration import words
from poller.errors import ConfigurationError
from poller.jobs.job import ready_made
from poller.lazy import lazy
from poller.model.answers import Fail, Interrupted, TimedOut, Unexpected
from poller.ready_made.http.request import order
from poller.ready_made.http.stoppable_match import is_found

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import Unpack

    from poller.jobs.job import Job, When
    from poller.jobs.options import CommonOptions
    from poller.jobs.run import Run
    from poller.ready_made.http import send_request
    from poller.ready_made.http.request import HttpRequest, Redirects
    from poller.ready_made.http.send_request import HttpResponse
else:  # it needs httpx2, which is slow to import, and an extra
    send_request = lazy("poller.ready_made.http.send_request")

SHOWN_CHARACTERS = 2000  # of the body, in the run's output


class RequestFailed(Unexpected):
    """There was no answer, or not the expected one."""

    def __init__(self, text: str, not_before: float = 0.0) -> None:
        self.not_before = not_before
        super().__init__(text)


def http(  # noqa: PLR0913 - the contract's options
    name: str,
    url: str,
    *,
    schedule: When | None = None,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    data: str | bytes | Mapping[str, Any] | None = None,
    expect: int | Collection[int] = 200,
    expect_body: str | re.Pattern[str] | None = None,
    redirects: Redirects = "same-host",
    private: bool | None = None,
    **options: Unpack[CommonOptions],
) -> Job[..., None]:
    """Make a job that sends a request, and fails unless the answer is the expected one.

    It needs httpx2: `pip install 'poller[http]'`.

    Args:
        name: the job's name.
        url: `http://…` or `https://…`; a user and password in it are sent as basic authentication.
        schedule: when it runs: `cron(…)`, `fixed_delay(…)` or `fixed_rate(…)`; None if by hand or `after=`.
        method: of the request.
        headers: of the request; they are sent to the URL's own host only.
        json: the body, as JSON.
        data: the body: a text, bytes, or a mapping that is sent as a form.
        expect: the status, or statuses, of success: `200`, `{200, 204}`, `range(200, 300)`.
        expect_body: a text that the body must hold, or a compiled expression that must be found in it: in a process
            of its own, within the `timeout`.
        redirects: which are followed: those to the same host, or `"any"`. One that is expected is not.
        private: whether addresses that are not public may be reached; by default those of this host and
            of private networks, if the URL itself says so, as `http://localhost` and `https://app.internal` do.
        **options: see `CommonOptions`; `timeout` is five minutes unless given.

    Raises:
        ConfigurationError: an option that cannot work, or httpx2 is missing; it names the place of this call.

    >>> warm = http("warm-cache", "https://app.internal/warm", schedule=fixed_rate("30s"), expect={200, 204})
    >>> warm.name
    'warm-cache'
    """

    def work(run: Run | None = None) -> None:
        made.run(run, job.options.timeout)

    job = ready_made(work, name, schedule, options)
    try:
        _require_httpx2()
        request, secrets = order(
            url,
            method=method,
            headers=headers,
            json=json,
            data=data,
            expect=expect,
            redirects=redirects,
            private=private,
        )
        made = _Request(request, _wanted(expect_body, request), secrets)
    except ConfigurationError as error:
        msg = f"{job.place}: {error}"
        raise ConfigurationError(msg) from None
    return job


@dataclass(frozen=True, slots=True)
class _Request:
    """A job's request, the text that its answer must hold, and its secrets."""

    order: HttpRequest
    wanted: str | re.Pattern[str] | None
    secrets: tuple[str, ...]

    def run(self, run: Run | None, timeout: float) -> None:
        """Send it, and print the result.

        Raises:
            RequestFailed: there was no answer, or not the expected one.
            TimedOut, Interrupted: it was ended.
            Fail: it was refused.
        """
        until = monotonic() + timeout
        answer = self._send(timeout, lambda: _reason_to_end(run, until, timeout))
        # Masked before it is cut, or half a secret would be left.
        masked = replace(answer, body=self._masked(answer.body))
        sys.stdout.write(self._printable(f"{self._head(answer)}\n{_shown(masked)}"))
        if answer.status not in self.order.expected:
            msg = f"{self._head(answer)}, expected {_listed(self.order.expected)}"
            raise RequestFailed(msg, answer.retry_after)
        if self.wanted is not None and not self._holds(
            answer.body, until - monotonic(), lambda: _reason_to_end(run, until, timeout)
        ):
            where = "in the beginning of its body" if answer.more else "in its body"
            msg = f"{self._head(answer)}, but {_text(self.wanted)!r} is not {where}"
            raise RequestFailed(msg)

    def _holds(self, body: str, seconds: float, why: Callable[[], Exception | None]) -> bool:
        if isinstance(self.wanted, re.Pattern):
            return is_found(self.wanted, body, seconds, why)
        return self.wanted is None or self.wanted in body

    def _send(self, timeout: float, why: Callable[[], Exception | None]) -> HttpResponse:
        try:
            return send_request.send_stoppably(self.order, timeout, why)
        except send_request.NoAnswer as error:
            raise RequestFailed(self._printable(f"{self.order.method} {error}")) from None
        except Fail as error:
            raise Fail(self._printable(str(error))) from None

    def _head(self, answer: HttpResponse) -> str:
        origin = self._printable(answer.origin)  # a redirect may have led to a host that is made of a secret
        return f"{self.order.method} {origin}: {answer.status} in {words(answer.seconds)}"

    def _printable(self, text: str) -> str:
        """Mask secrets, and replace characters that could affect a terminal."""
        text = self._masked(text)
        return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)

    def _masked(self, text: str) -> str:
        """Mask secrets in whatever case: the names of hosts and headers come back in another."""
        folded = text.casefold()
        for secret in self.secrets:
            if secret.casefold() in folded:  # much faster than to search for each by an expression
                text = re.sub(re.escape(secret), "***", text, flags=re.IGNORECASE)
                folded = text.casefold()
        return text


def _reason_to_end(run: Run | None, until: float, timeout: float) -> Exception | None:
    if monotonic() >= until:
        return TimedOut(f"timed out after {words(timeout)}")
    if run is not None and run.cancelled:
        return Interrupted("interrupted: the request was broken off")
    return None


def _shown(answer: HttpResponse) -> str:
    """Return the beginning of the body, for the run's output."""
    if "\0" in answer.body:
        return "(no text)\n"
    head = "\n".join(answer.body[:SHOWN_CHARACTERS].splitlines())
    cut = "\n…" if answer.more or len(answer.body) > SHOWN_CHARACTERS else ""
    return f"{head}{cut}\n" if head else ""


def _listed(statuses: frozenset[int]) -> str:
    first, last = min(statuses), max(statuses)
    if 2 < len(statuses) == last - first + 1:  # noqa: PLR2004 - worth a range
        return f"{first} to {last}"
    return " or ".join(map(str, sorted(statuses)))


def _text(wanted: str | re.Pattern[str]) -> str:
    return wanted if isinstance(wanted, str) else wanted.pattern


def _wanted(expect_body: Any, request: HttpRequest) -> str | re.Pattern[str] | None:
    if expect_body is None:
        return None
    if request.method == "HEAD":
        msg = "expect_body: the response to a HEAD request has no body"
        raise ConfigurationError(msg)
    if isinstance(expect_body, str):
        return expect_body
    if isinstance(expect_body, re.Pattern) and isinstance(expect_body.pattern, str):
        return expect_body
    msg = f"expect_body must be a string or a compiled pattern of str, got {expect_body!r}"
    raise ConfigurationError(msg)


def _require_httpx2() -> None:
    with contextlib.suppress(ValueError):  # a stand-in without a spec
        if find_spec("httpx2") is not None:
            return
    msg = "http jobs need httpx2; run: pip install 'poller[http]'"
    raise ConfigurationError(msg)
