"""Reports what goes wrong: a service of the supervisor that opens and closes episodes, and sends notices of them.

The model. A run that fails leaves a signal, in its own transaction (`poller.run_signals`). A round takes signals and
writes episodes of them; once in ten seconds one of the supervisors that know the same jobs and handlers also surveys
what does not happen: runs that do not start, rows that wait. An episode is open once over the whole fleet. It owes a
notice when it opens, when another error comes, and when it is over; each target's notices are gathered for a while, and
become one message. Every supervisor that knows a target's address may send: it takes a message for half a minute, sends
it on a thread of its own, and writes down what became of it.

What may be trusted: what the database holds. An episode, a notice and a message are made once, each in the transaction
that takes what it is made of. A message may be sent again by another sender, with the same key, if its first one died,
or was too slow to say that it had arrived; its attempts are the fence.

On failure: a target that does not answer keeps its own messages only; they come again, after growing pauses, for a day.
A round that fails is repeated. No run waits for any of this.
"""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING

import tenacity

from poller.alerts.senders import Senders
from poller.alerts.store import AlertStore, Message
from poller.alerts.subjects import PING
from poller.alerts.survey import STATES, failed_runs, survey
from poller.alerts.words import letter, payload
from poller.errors import ConfigurationError
from poller.model.retry_policy import policy
from poller.runtime.failpoints import reach
from poller.targets.sending import address, require
from poller.telemetry.bus import emit
from poller.telemetry.events import MessageDelivered, MessageUndelivered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from poller.alerts.senders import Sent
    from poller.alerts.store import Signal
    from poller.alerts.subjects import Subjects
    from poller.db.connection import Link

LOOK_SECONDS = 1.0  # between two rounds
SURVEY_SECONDS = 10.0  # between two surveys
WATCH_SECONDS = 60.0  # between two notes that somebody takes signals
HEARTBEAT_SECONDS = 60.0
HEARTBEAT_TURN_SECONDS = HEARTBEAT_SECONDS - 1.0
HEARTBEAT_PAUSE_SECONDS = 5.0  # after one that has not arrived
LEASE_SECONDS = 30.0  # that a sender has for a message
MOST_SIGNALS = 1000  # taken in one transaction
MOST_NOTICES = 1000  # made, or gathered, in one transaction
MOST_AN_HOUR = 20  # messages of notices to one target; what comes beyond is summed in the next
GIVE_UP_SECONDS = 86400.0  # after which a message is not sent again
GIVE_UP_PING_SECONDS = 600.0  # a ping that is late says something false
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 2.0, 300.0  # between two attempts to send a message
OUTPUT_BYTES = 10_000  # of a run's output, in a ping
HEARTBEAT = ":heartbeat"
SIGNALS = ":signals"  # whose turn it is to take them, as a target's is to gather

_PAUSES = policy(
    stop=tenacity.stop_never,
    wait=tenacity.wait_exponential(FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS)
    + tenacity.wait_random(0, 1),
)


class Alerting:
    """The alerts of one database, as far as one supervisor takes its turn at them.

    Args:
        link: a connection of its own.
        subjects: what it tells of.
        beats: whether it sends the heartbeat: of several databases, one does.
        database: its name, if there are several, which messages then say.

    Attributes:
        wake: called when a message has been sent: there may be another for its target.
    """

    def __init__(self, link: Link, subjects: Subjects, *, beats: bool = True, database: str = "") -> None:
        self.wake: Callable[[], None] = lambda: None
        self._database = database
        self._link = link
        self._store = AlertStore(link)
        self._subjects = subjects
        self._settings = subjects.settings
        self._addresses = _known(subjects.addresses)
        beat = {HEARTBEAT: self._settings.heartbeat} if beats and self._settings.heartbeat else {}
        self._senders = Senders({**self._addresses, **beat}, self._wake)
        self._survey_at = monotonic() + SURVEY_SECONDS  # until then what is due has begun
        self._beat_at = 0.0 if beat else inf
        self._watch_at = 0.0
        self._since: datetime | None = None  # when it began, by the database's clock
        self._failing: dict[str, str] = {}  # the last error of targets that do not take messages
        self._is_ending = False

    def _wake(self) -> None:
        self.wake()

    def prepare(self) -> None:
        """Have runs leave signals from now on, before the first of them."""
        self._store.watch(self._subjects.watched)
        self._since = self._since or self._store.now()
        self._watch_at = monotonic() + WATCH_SECONDS

    def run_once(self) -> float:
        """Open and close episodes, and send what is owed. Returns the seconds to the next round."""
        if self._is_ending:
            self._write_results()
            return LOOK_SECONDS
        now = monotonic()
        if now >= self._watch_at:
            self.prepare()
        self._write_results()
        self._take_turns(now)
        functions = self._subjects.functions
        if not self._store.work_waits(functions, self._addresses):
            return LOOK_SECONDS
        is_full = self._take_signals(functions)
        self._store.close_failed(recovery=self._settings.recovery)
        self._make_notices()
        for target in self._store.targets_due(self._settings.targets, self._settings.group, MOST_AN_HOUR):
            self._gather(target)
        self._send()
        return 0.0 if is_full else LOOK_SECONDS

    def end(self) -> None:
        """Begin nothing more: rounds only write down what becomes of the messages that are being sent."""
        self._is_ending = True

    @property
    def is_sending(self) -> bool:
        """Whether a message is being sent, or what became of one is not written down yet."""
        return self._senders.is_sending(self._addresses)

    def recover(self) -> None:
        """Start over on a new connection."""
        self._link.close()

    def _take_turns(self, now: float) -> None:
        """Survey, and send the heartbeat, if it is time and no other supervisor has."""
        if now >= self._survey_at:
            self._survey_at = now + SURVEY_SECONDS / 2
            if self._store.take_turn(f"survey {self._subjects.digest}", SURVEY_SECONDS - 1.0):
                self._store.give_up_pings(GIVE_UP_PING_SECONDS)
                self.survey()
        if now >= self._beat_at and HEARTBEAT in self._senders.idle():
            self._beat_at = now + HEARTBEAT_SECONDS / 4
            if self._store.take_turn("heartbeat", HEARTBEAT_TURN_SECONDS):
                self._senders.beat(HEARTBEAT)

    # --- what goes wrong ----------------------------------------------------------------------------

    def survey(self) -> None:
        """Look for trouble that leaves no signal (a run that is missing, say); open and close its episodes."""
        self._store.set_back()
        seen = survey(self._store, self._subjects)
        self._store.open_episodes(seen.found)
        recovery = self._settings.recovery
        not_over = [*seen.found, *seen.unknown]
        self._store.close_states(STATES, not_over, seen.functions, seen.handlers, recovery=recovery)
        if opened := self._store.open_subjects():
            self._store.close_gone(self._since or self._store.now())
            if routed := self._subjects.routed(opened):
                self._store.route(routed)

    def _take_signals(self, functions: Sequence[str]) -> bool:
        """Turn signals into episodes and pings, one supervisor at a time; return whether there may be more."""
        with self._store.connection.transaction():
            if not self._store.hold_target(SIGNALS):
                return False
            signals = self._store.take_signals(functions, self._settings.after, MOST_SIGNALS)
            reach("signals taken")
            if found := failed_runs(self._subjects, signals):
                self._store.open_episodes(found)
            pinging = (
                self._subjects.addresses
            )  # also if the address itself is known to other supervisors only
            if pings := [_ping(each) for each in signals if f"{PING}{each.function}" in pinging]:
                self._store.write_pings(pings)
        return len(signals) == MOST_SIGNALS

    # --- what is told ---------------------------------------------------------------------------------

    def _make_notices(self) -> None:
        recovery = self._settings.recovery
        for _ in range(2):  # an episode that was over before it was told owes another one
            self._store.make_notices(repeat=self._settings.repeat, recovery=recovery, most=MOST_NOTICES)

    def _gather(self, target: str) -> None:
        """Make one message of the notices that a target has not been sent."""
        with self._store.connection.transaction():
            if self._store.hold_target(target) and (
                notices := self._store.gather_notices(target, MOST_NOTICES)
            ):
                made = payload(target, notices, self._database)
                self._store.write_message(target, made, [each["id"] for each in notices])
                reach("notices gathered")

    def _send(self) -> None:
        for each in self._store.take_messages(
            [name for name in self._senders.idle() if name != HEARTBEAT], LEASE_SECONDS
        ):
            reach("message taken")
            self._senders.start(each, letter(each, self._output(each)))

    def _output(self, message: Message) -> str:
        """Return what a ping carries of its run's output."""
        if not self._settings.output or message.ping not in ("success", "fail"):
            return ""
        text = self._store.output(message.payload["run"], OUTPUT_BYTES)
        return text.encode()[-OUTPUT_BYTES:].decode(errors="ignore")

    def _write_results(self) -> None:
        for each in self._senders.results():
            if each.message.target == HEARTBEAT:
                self._note_heartbeat(each)
                continue
            reach("message sent")
            if each.error is None:
                self._store.sent(each.message)
            else:
                self._store.failed(each.message, _pause(each), each.error)
            self._tell(each)

    def _note_heartbeat(self, sent: Sent) -> None:
        """Have a heartbeat that has not arrived sent again soon, by any supervisor: else the fleet would seem dead."""
        if sent.error is not None:
            # At most until that of the next minute: a fleet that is silent for longer seems dead.
            pause = min(max(HEARTBEAT_PAUSE_SECONDS, sent.retry_after), HEARTBEAT_SECONDS)
            self._store.give_back_turn("heartbeat", HEARTBEAT_TURN_SECONDS, pause)
            self._beat_at = monotonic() + pause
        self._tell(sent)

    def _tell(self, sent: Sent) -> None:
        """Log a target's first failure of a kind, and that it is well again."""
        target, error = sent.message.target, sent.error
        if error is None:
            if self._failing.pop(target, None) is not None:
                emit(MessageDelivered(target=target))
        elif self._failing.get(target) != error:
            self._failing[target] = error
            emit(MessageUndelivered(target=target, error=error))


def _known(addresses: dict[str, str]) -> dict[str, str]:
    """Return the addresses that can be found here: jobs whose ping has none that works leave it to other hosts."""
    known = {}
    for name, reference in addresses.items():
        is_ping = name.startswith(PING)
        try:
            if is_ping:
                require(reference, pings=True)
            address(reference)
        except ConfigurationError as error:
            if not is_ping:
                raise
            emit(MessageUndelivered(target=name, error=str(error)))
            continue
        known[name] = reference
    return known


def _ping(signal: Signal) -> dict[str, object]:
    return {
        "target": f"{PING}{signal.function}",
        "ping": signal.event,
        "job": signal.job,
        "run": signal.run_id,
    }


def _pause(sent: Sent) -> float | None:
    """Return the seconds until a message is sent again, or None for never."""
    message = sent.message
    if message.age > (GIVE_UP_SECONDS if message.ping is None else GIVE_UP_PING_SECONDS):
        return None
    delay = _PAUSES.delay(TimeoutError(), message.attempts)
    return None if delay is None else max(delay, sent.retry_after)
