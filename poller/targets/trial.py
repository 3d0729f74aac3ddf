"""Tries a target: sends it a message, now, and says whether it arrived."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from poller.errors import ConfigurationError, PollerError
from poller.services.loop import within
from poller.targets.sending import Letter, Undelivered, require, send

if TYPE_CHECKING:
    from poller.targets.settings import AlertSettings

TITLE = "[poller] a test of this target"
TEXT = "If you read this, alerts reach you."
PATIENCE_SECONDS = 15.0  # a service that apprise knows may take longer than its own time limits say


class UnreachedError(PollerError):
    """A target was not reached: a negative answer, not a fault."""

    exit_status = 1


def try_target(settings: AlertSettings, name: str) -> None:
    """Send a message to a target.

    Raises:
        ConfigurationError: the settings have no such target, or its address is not there or not valid.
        UnreachedError: it did not arrive.
    """
    settings.refuse_unknown("the command", [name])
    where = settings.targets[name]
    try:
        require(where)
    except ConfigurationError as error:
        msg = f"alerts.targets.{name}: {error}"
        raise ConfigurationError(msg) from None
    key = str(uuid.uuid4())
    content = {"key": key, "target": name, "title": TITLE, "text": TEXT, "notices": [], "more": {}}
    failure: list[str] = ["no answer in time"]

    def deliver() -> None:
        try:
            send(where, Letter(key=key, title=TITLE, text=TEXT, content=content))
            failure.clear()
        except Undelivered as error:
            failure[:] = [str(error)]

    within(PATIENCE_SECONDS, deliver)
    if failure:
        msg = f"{name} was not reached: {failure[0]}"
        raise UnreachedError(msg)
