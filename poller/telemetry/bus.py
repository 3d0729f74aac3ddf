"""Emits events to the log and to the user's subscribers.

The model. An event is delivered where it happened: in that process, on that thread, before the engine goes on. So a
subscriber must be quick, and hand slow work on. The log gets an event first, then the subscribers in the order in which
they subscribed. An error of a subscriber is logged once, and has no other consequence; it is still called.

Events of every batch are emitted only if there are subscribers: `is_heard()`.
"""

from __future__ import annotations

import inspect
import threading
from typing import TYPE_CHECKING, Any

from poller.errors_in_words import guarded, reason
from poller.telemetry import log, sentences

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from poller.telemetry.events import Event, RowEvent

    Subscriber = Callable[[Event], object]


class _Subscription:
    """A subscriber, for as long as it subscribes; two are different even if their function is the same."""

    def __init__(self, function: Subscriber) -> None:
        self._function = function
        self._has_failed = False
        self.has_ended = False  # also for what is being delivered

    def hear(self, event: Event) -> None:
        if self.has_ended:
            return
        try:
            self._function(event)
        except BaseException as error:  # noqa: BLE001 - SystemExit of a user's function is not to end a service
            self._complain(event, error)

    def _complain(self, event: Event, error: BaseException) -> None:
        if self._has_failed:
            return
        self._has_failed = True
        name = guarded(lambda: str(self._function.__qualname__), "") or type(self._function).__name__
        why = guarded(lambda: reason(error), type(error).__name__)
        log.problem(f"the subscriber {name} raised at {event.name}: {why}; this is logged only once")


_NOT_PLAIN = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
_subscriptions: tuple[_Subscription, ...] = ()
_changing = threading.Lock()


def subscribe(function: Subscriber) -> Callable[[], None]:
    """Have a function called with each event that happens in this process; see docs/events.md.

    It is called on the thread on which the event happened, before the engine goes on: it should be quick, and must not
    wait for the engine. What it raises is logged once, and has no other consequence.

    Args:
        function: takes the event, an instance of a class of `poller.telemetry.events`.

    Returns:
        a function without arguments that ends the subscription; further calls of it do nothing.

    Raises:
        TypeError: it cannot be called, or a call of it would run nothing: of a coroutine, or a generator.

    >>> heard = []
    >>> end = subscribe(heard.append)
    >>> end()
    """
    global _subscriptions  # noqa: PLW0603 - one tuple, replaced as a whole: `emit` reads it without a lock
    if not callable(function):
        msg = f"a subscriber is a function that takes an event, not {type(function).__name__}"
        raise TypeError(msg)
    if any(kind(each) for kind in _NOT_PLAIN for each in (function, type(function).__call__)):
        msg = "a subscriber is a plain function, as nobody awaits it; have one put the event into a queue"
        raise TypeError(msg)
    subscription = _Subscription(function)
    with _changing:
        _subscriptions = (*_subscriptions, subscription)
    return lambda: _end(subscription)


def _end(subscription: _Subscription) -> None:
    global _subscriptions  # noqa: PLW0603 - as above
    subscription.has_ended = True
    with _changing:
        _subscriptions = tuple(each for each in _subscriptions if each is not subscription)


def is_heard() -> bool:
    """Return whether there are subscribers: without them, events that the log does not tell are not composed."""
    return bool(_subscriptions)


def emit(event: Event, /, **beside: Any) -> None:
    """Emit an event; its fields must hold no row values and no passwords.

    Args:
        event: what happened.
        **beside: further fields of its line in the log.
    """
    sentences.write(event, **beside)
    for each in _subscriptions:
        each.hear(event)


def emit_rows(events: Sequence[RowEvent]) -> None:
    """Emit what became of rows in trouble, all of one handler; the log gathers them by their cause."""
    if not events:
        return
    sentences.gather(events)
    for each in _subscriptions:
        for event in events:
            each.hear(event)
