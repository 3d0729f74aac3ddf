"""Tries a target: sends it a message, now, and says whether it arrived."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from poller.alerts.sending import Letter, Undelivered, require, send
from poller.client.refusals import NothingSelectedError
from poller.errors import ConfigurationError
from poller.services.loop import within

if TYPE_CHECKING:
    from poller.alerts.settings import AlertSettings

TITLE = "[poller] a test of this target"
TEXT = "If you read this, alerts reach you."
PATIENCE_SECONDS = 15.0  # a service that apprise knows may take longer than its own time limits say


def try_target(settings: AlertSettings, name: str) -> None:
    """Send a message to a target.

    Raises:
        ConfigurationError: the settings have no such target, or its address is not there or not valid.
        NothingSelectedError: it did not arrive.
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
        raise NothingSelectedError(msg)
