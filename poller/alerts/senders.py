"""Sends messages, each target on a thread of its own: one that answers slowly, or never, keeps no other waiting.

A thread may hang in a library for as long as it likes. Then its message counts as not delivered, and this process sends
nothing to that target until the thread has ended. The message's key tells a receiver that it comes again.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING
from uuid import uuid4

from poller.alerts.store import Message
from poller.errors_in_words import class_name
from poller.targets.sending import SEND_SECONDS, Letter, Undelivered, send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


PATIENCE_SECONDS = SEND_SECONDS + 1.0  # for a thread to say that its time is over


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a message; `error` is None if it has arrived.

    Attributes:
        retry_after: seconds for which the receiver asks to be left alone.
    """

    message: Message
    error: str | None
    retry_after: float = 0.0


@dataclass(slots=True)
class _Sending:
    message: Message
    began: float
    thread: threading.Thread
    is_given_up: bool = False


class Senders:
    """The threads that send.

    Args:
        addresses: where the address of each target is to be found.
        wake: called when a message has been sent or not.
    """

    def __init__(self, addresses: Mapping[str, str], wake: Callable[[], None]) -> None:
        self._addresses = addresses
        self._wake = wake
        self._busy: dict[str, _Sending] = {}
        self._results: deque[Sent] = deque()

    def idle(self) -> list[str]:
        """Return the targets that no thread sends to."""
        return [name for name in self._addresses if not self._is_busy(name)]

    def start(self, message: Message, letter: Letter) -> None:
        """Send a message, in the background."""
        thread = threading.Thread(
            target=self._send, args=(message, letter), name=f"poller message to {message.target}", daemon=True
        )
        self._busy[message.target] = _Sending(message, monotonic(), thread)
        thread.start()

    def beat(self, target: str) -> None:
        """Send the fleet's own ping, which says that the fleet is there."""
        message = Message(key=uuid4(), target=target, ping="success", payload={}, attempts=1, age=0.0)
        self.start(message, Letter(key=str(message.key), ping="success"))

    def results(self) -> Iterator[Sent]:
        """Yield what became of messages; the caller must have written one down before it asks for the next."""
        self._give_up(monotonic())
        while self._results:
            yield self._results[0]
            self._results.popleft()

    def is_sending(self, targets: Iterable[str]) -> bool:
        """Whether a message to some targets is on its way and not given up, or a result has not been asked for."""
        waited_for = [name for name in targets if name in self._busy and not self._busy[name].is_given_up]
        return bool(self._results) or any(map(self._is_busy, waited_for))

    @property
    def count(self) -> int:
        """How many threads send."""
        return sum(map(self._is_busy, [*self._busy]))

    def wait(self, targets: Iterable[str], seconds: float) -> None:
        """Wait until nothing is being sent to some targets, or so many seconds."""
        until = monotonic() + seconds
        for name in targets:
            if name in self._busy:
                self._busy[name].thread.join(max(0.0, until - monotonic()))

    def _is_busy(self, target: str) -> bool:
        return target in self._busy and self._busy[target].thread.is_alive()

    def _give_up(self, now: float) -> None:
        for each in self._busy.values():
            if each.thread.is_alive() and not each.is_given_up and now - each.began > PATIENCE_SECONDS:
                each.is_given_up = True
                self._results.append(Sent(each.message, "no answer in time"))

    def _send(self, message: Message, letter: Letter) -> None:
        error: str | None = None
        retry_after = 0.0
        try:
            send(self._addresses[message.target], letter)
        except Undelivered as found:
            error, retry_after = str(found), found.retry_after
        except BaseException as found:  # noqa: BLE001 - SystemExit of a library is only its answer
            error = class_name(found)
        sending = self._busy[message.target]
        if not sending.is_given_up or error is None:
            self._results.append(Sent(message, error, retry_after))
        self._wake()
