"""Makes an order once, however often it is sent: a program that has not heard the answer sends it again.

The model. The sender gives each order a word. The order's entry in the log (`poller.action`) names the word's hash, the
run that was made, and a hash of what was ordered. An order takes the lock of its word first, which it keeps until it is
committed together with its entry; so one that comes at the same time, by whichever process, waits, and then reads
that entry. Sessions of poller's are `read committed`: what is read after the wait is what was committed before.

What may be trusted: within a day a word makes one order. After that it is a new one. Words of different people differ.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from poller.client.job_queries import JobQueries
from poller.client.jobs import Triggered
from poller.client.refusals import RefusedError
from poller.db.statements import statement
from poller.jobs.runtime_schedules import as_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

_DETAIL = re.compile(r"run (\d+), key (\w+) of (\w+)")
WORD_DIGITS, ORDER_DIGITS = 20, 10  # of the hashes


class RepeatableTrigger:
    """An order to run a job, which is given once.

    Args:
        word: the sender's, for this order.
        person: who sends it.
        job: its name.
        args: what its function is called with.

    Raises:
        ConfigurationError: the arguments are no JSON.
    """

    def __init__(self, word: str, person: str | None, job: str, args: Mapping[str, Any] | None) -> None:
        self._word = _hash(f"{person}\0{word}", WORD_DIGITS)
        self._order = _hash(f"{job}\0{as_json(args, 'args')}", ORDER_DIGITS)

    def earlier(self, connection: psycopg.Connection[Any]) -> Triggered | None:
        """Return what the word has made already, in the transaction that is to make it; None if nothing.

        Raises:
            RefusedError: it was given with another order.
        """
        asked = {"word": self._word}
        connection.execute(statement("lock_word"), asked)
        row = connection.execute(statement("ordered_by_word"), asked).fetchone()
        found = row and _DETAIL.fullmatch(row[1])
        if row is None or found is None:
            return None
        if found[3] != self._order:
            msg = "this key has already been used for another order"
            raise RefusedError(msg, "key_used")
        job = JobQueries(connection).job(row[0])
        return Triggered(int(found[1]), row[0], is_paused=job is not None and job.paused_at is not None)

    def detail(self, run: int) -> str:
        """Return what is logged of the order that has made a run."""
        return f"run {run}, key {self._word} of {self._order}"


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
