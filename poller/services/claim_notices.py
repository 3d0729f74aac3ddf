"""Heeds notifications, and decides at which of them this worker looks for rows.

The model. All workers hear all notifications of the channel `poller`; the first word says what has happened:

    table OID TRANSACTION       rows of a table have arrived, or changed their status (`poller.wake()`)
    handler NUMBER TRANSACTION  a run of a job may start (plan_runs.sql, end_pauses.sql, `poller.run_succeeded()`)
    worker NUMBER HANDLER       another worker has no room for rows of a handler; this one has (wake_some.sql)
    fleet                       a worker has come or gone (recount.sql)
    drain                       some worker is to drain (drain_workers.sql)

Of rows that have arrived, one worker looks for them (`poll_turns`), and asks for nothing else: it claims at once for the
handlers that are meant, if they are few. Anything else, such as the empty text of wake.sql, has all workers look.

On failure: a notification is a hint. What the one worker misses, a worker finds in its turn.

Threads. The claimer's, except `notice`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from poller.services.claim_handover import WorkerRegistration
    from poller.services.claim_looks import Expected, Looks
    from poller.services.poll_turns import Turn
    from poller.store.binding import Binding

FEW_HANDLERS = 3  # up to this number, a notification triggers claims for all of them without a query first


class Notices:
    """What a claimer makes of notifications.

    Args:
        bindings: its handlers.
        looks: asks what is due.
        expected: the handlers that are claimed for without asking.
        registration: the worker's identity.
        turn: returns this worker's place among those that know its handlers.
        drain: called when some worker is to drain.
        recount: called when a worker has come or gone.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - its collaborators
        self,
        bindings: Sequence[Binding],
        looks: Looks,
        expected: Expected,
        registration: WorkerRegistration,
        turn: Callable[[], Turn],
        drain: Callable[[], None],
        recount: Callable[[], None],
    ) -> None:
        self._bindings = bindings
        self._watching = [each for each in bindings if not each.handler.is_job]
        self._looks = looks
        self._expected = expected
        self._registration = registration
        self._turn = turn
        self._drain = drain
        self._recount = recount

    def notice(self) -> None:
        """Look for rows of all handlers; from any thread.

        Look from the top, too, as soon as that is affordable: the new row may have arrived between the last look and
        the query for the last key (`claim_cursor`). If there are few handlers, claiming is quicker than asking first.
        """
        self._looks.ask()
        for cursor in self._looks.cursors.values():
            cursor.notice()
        if len(self._watching) <= FEW_HANDLERS:
            self._expected.add(self._watching)

    def heed(self, said: Iterable[str]) -> bool:
        """Act on notifications; return whether one of them has this worker look."""
        return any([self._heed(each) for each in said])  # noqa: C419 - each of them is to be heeded

    def _heed(self, said: str) -> bool:
        match said.split(" "):  # which any role may have sent
            case ["table" | "handler", _, _] if not self._turn().answers(said):
                return False
            case ["table", oid, _]:
                return self._arrived([each for each in self._watching if str(each.table.oid) == oid])
            case ["handler", number, _]:
                self._looks.call()
                return self._expect(self._numbered(number))
            case ["worker", worker, number]:
                return worker == str(self._registration.worker) and self._help_out(number)
            case ["fleet"]:
                self._recount()
                return False
            case ["drain"]:
                self._drain()
        self.notice()
        return True

    def _arrived(self, bindings: Sequence[Binding]) -> bool:
        """Look for rows of a table, which these handlers are known to have."""
        self._looks.call()
        if 0 < len(bindings) <= FEW_HANDLERS:
            return self._expect(bindings)
        self.notice()  # the table may have been replaced by another of its name since it was bound
        return True

    def _help_out(self, number: str) -> bool:
        """Look for a handler's rows, and for all else: there may have been no room for that, either."""
        self._looks.ask()
        return self._expect(self._numbered(number))

    def _expect(self, bindings: Sequence[Binding]) -> bool:
        for binding in bindings:
            self._looks.cursors[binding].notice()
        self._expected.add(bindings)
        return bool(bindings)

    def _numbered(self, number: str) -> list[Binding]:
        return [each for each in self._bindings if str(each.id) == number]
