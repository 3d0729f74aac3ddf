"""Sends one message to an address: a web hook, a health check, or any service that apprise knows.

An address is a secret. It is read when it is needed, from the environment or a file; what is raised here names a class
or a status, never the address, nor what a library says of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit, urlunsplit

from poller.errors import ConfigurationError
from poller.errors_in_words import class_name, storable
from poller.lazy import lazy
from poller.model.answers import Fail
from poller.ready_made.http.request import order

if TYPE_CHECKING:
    from poller.ready_made.http import send_request
    from poller.targets import services
else:  # they need the extra
    services = lazy("poller.targets.services")
    send_request = lazy("poller.ready_made.http.send_request")

SEND_SECONDS = 5.0  # for one message
SUCCESS = range(200, 300)
LOSING = (301, 302, 303)  # redirects that turn a POST into a GET, which drops what it carries (RFC 9110 15.4)
ENDINGS = {"start": "/start", "success": "", "fail": "/fail"}  # of a health check's address
SIGNS = {  # of what went wrong, in the text of an error
    "the name does not resolve": "the name does not resolve",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not valid",
    "[SSL: ": "there is no TLS as it should be",
    "All connection attempts failed": "the connection was refused, or nothing is there",
}
NO_WEB_ADDRESS = "its address is not valid as one of the web, or leads to where no message may go"
NO_ADDRESS = "its address is neither a web address nor one of a service that apprise knows"
MISSING = "alerts need httpx2 and apprise; run: pip install 'poller[alerts]'"

_OPTIONS: dict[str, Any] = {
    "headers": None,
    "expect": SUCCESS,
    "redirects": "same-host",
    "private": None,
}


class Undelivered(Exception):  # noqa: N818 - what happened to the message
    """A message has not arrived; the text is safe to show.

    Attributes:
        retry_after: seconds for which the receiver asks to be left alone.
    """

    def __init__(self, text: str, retry_after: float = 0.0) -> None:
        self.retry_after = retry_after
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Letter:
    """What is sent: JSON for programs, a title and a text for people; for a ping, its kind, and its run as a UUID."""

    key: str
    title: str = ""
    text: str = ""
    content: dict[str, Any] | None = None
    ping: str | None = None
    run: str | None = None


def address(reference: str) -> str:
    """Return the address that `env:NAME` or `file:PATH` stands for.

    Raises:
        ConfigurationError: there is none; the text names the variable or the file.
    """
    kind, _, where = reference.partition(":")
    is_variable = kind == "env"
    named = storable(f"the {'variable' if is_variable else 'file'} {where}")
    try:
        found = os.environ.get(where, "") if is_variable else Path(where).read_text(encoding="utf-8-sig")
        found.encode()  # what a variable holds need not be text
    except (OSError, ValueError) as error:
        msg = f"{named} cannot be read: {getattr(error, 'strerror', '') or class_name(error)}"
        raise ConfigurationError(msg) from None
    if not found.strip():
        msg = f"{named} is {'not set' if is_variable else 'empty'}"
        raise ConfigurationError(msg)
    return found.strip()


def require(reference: str, *, pings: bool = False) -> None:
    """Make sure that there is an address, and what sends to it is installed.

    Args:
        reference: where the address is.
        pings: it is a health check's, which is asked by HTTP only.

    Raises:
        ConfigurationError: there is none, no service is known for it, or an extra is missing.
    """
    found = address(reference)
    is_web = pings or _is_web(found)
    try:
        is_known = _is_valid(found) if is_web else services.knows(found)
    except ImportError:
        raise ConfigurationError(MISSING) from None
    if not is_known:
        raise ConfigurationError(NO_WEB_ADDRESS if is_web else NO_ADDRESS)


def send(reference: str, letter: Letter) -> None:
    """Send a message within `SEND_SECONDS`; a library that goes on for longer is the caller's to leave behind.

    Raises:
        Undelivered: it did not arrive, or that is not known.
    """
    try:
        found = _found(reference)
        if letter.ping is not None:
            _request(_ping(found, letter), letter.key, data=letter.text or None)
        elif _is_web(found):
            _request(found, letter.key, json=letter.content)
        elif not services.tell(found, letter.title, f"{letter.text}\n\n{letter.key}"):
            _refuse("the service did not take it")
    except Undelivered:
        raise
    except ImportError:
        raise Undelivered(MISSING) from None
    except Exception as error:  # noqa: BLE001 - a library's text may hold the address
        raise Undelivered(class_name(error)) from None


def _found(reference: str) -> str:
    try:
        return address(reference)
    except ConfigurationError as error:  # its text names the variable or the file
        raise Undelivered(str(error)) from None


def _is_web(found: str) -> bool:
    return found.lower().startswith(("https://", "http://"))


def _is_valid(found: str) -> bool:
    """Tell whether a request can be sent to a web address."""
    send_request.send_stoppably  # noqa: B018 - it is imported: else it is found missing when it is needed
    try:
        order(found, method="POST", json=None, data=None, **_OPTIONS)
    except ConfigurationError:  # its text may hold the address
        return False
    return True


def _ping(found: str, letter: Letter) -> str:
    """Return a health check's address for a start, a success or a fail, with the run's id."""
    parts = urlsplit(found)
    query = "&".join(filter(None, (parts.query, f"rid={letter.run}" if letter.run else "")))
    path = parts.path.rstrip("/") + ENDINGS[letter.ping or "success"]
    return urlunsplit(parts._replace(path=path, query=query))


def _request(url: str, key: str, *, json: dict[str, Any] | None = None, data: str | None = None) -> None:
    """Send a request, without a body a GET; the time counts from here, whatever the server does.

    Raises:
        Undelivered: there was no answer in time, or it was not a success.
    """
    options = {**_OPTIONS, "headers": {"Idempotency-Key": key}}
    if json is not None:  # a redirect that would lose it is an answer, and no success
        options["expect"] = [*SUCCESS, *LOSING]
    method = "GET" if json is None and data is None else "POST"
    try:
        request, _ = order(url, method=method, json=json, data=data, **options)
    except ConfigurationError:  # its text may hold the address
        _refuse(NO_WEB_ADDRESS)
    until = monotonic() + SEND_SECONDS
    late = Undelivered("no answer in time")
    try:
        answer = send_request.send_stoppably(
            replace(request, wants_body=False),
            2 * SEND_SECONDS,
            lambda: late if monotonic() > until else None,
        )
    except send_request.NoAnswer as error:
        _refuse(_reason(str(error)))
    except send_request.RedirectedAway:
        _refuse("the address has moved to another host")
    except Fail:
        _refuse("the address is neither public nor says that it is inside")
    if answer.status not in SUCCESS:
        moved = ": the address has moved" if answer.status in LOSING else ""
        _refuse(f"the answer was {answer.status}{moved}", answer.retry_after)


def _reason(text: str) -> str:
    """Return why there was no answer, in words of our own: a library's may hold the address."""
    return next((f"no answer: {words}" for sign, words in SIGNS.items() if sign in text), "no answer")


def _refuse(text: str, retry_after: float = 0.0) -> NoReturn:
    raise Undelivered(text, retry_after)
