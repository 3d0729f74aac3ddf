"""Why a question or an order was refused: a line for people, and its parts for the face that shows it.

A face may add what to do in its own words: the command line names a command, a page a button.
"""

from __future__ import annotations

from typing import Any

from poller.errors import ConfigurationError, PollerError


class NothingSelectedError(PollerError):
    """What was asked for is not there: the face's own negative answer.

    Attributes:
        reason: a word for the reason, or "" where the text says all there is to say.
        data: what the text is made of.
    """

    exit_status = 1

    def __init__(self, text: str, reason: str = "", **data: Any) -> None:
        super().__init__(text)
        self.reason = reason
        self.data = data


class RefusedError(ConfigurationError):
    """An order that cannot be carried out as it was given.

    Attributes:
        reason: a word for the reason.
        data: what the text is made of.
    """

    def __init__(self, text: str, reason: str, **data: Any) -> None:
        super().__init__(text)
        self.reason = reason
        self.data = data
