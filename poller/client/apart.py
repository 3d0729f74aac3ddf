"""Asks about many things by one statement; where that has failed, about each apart.

So what is slow, locked or broken costs itself only, and where all is well there is one statement, without savepoints: a
failure then ends the transaction, and the caller begins another one, `apart`.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from poller.db.connection import is_servers
from poller.telemetry.outage import LeftOut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

K = TypeVar("K", int, str)
S = TypeVar("S")
R = TypeVar("R")

ALONE_SECONDS = 10.0  # at most for what is asked about one by one
LEFT_OUT_SECONDS = 60.0  # for which nothing is asked about what could not be told


class Apart:
    """Asks again and again, on one connection, in a transaction.

    Attributes:
        apart: whether it asks about each apart.
    """

    def __init__(self) -> None:
        self._left_out = LeftOut(LEFT_OUT_SECONDS)
        self.apart = False

    def ask(
        self,
        connection: psycopg.Connection[Any],
        subjects: Mapping[K, S],
        ask: Callable[[Sequence[S]], R],
    ) -> list[R]:
        """Return the answers: one about all subjects, or one about each of those that can be told.

        Args:
            connection: in a transaction.
            subjects: by what each is left out for a while.
            ask: asks about some of them.

        Raises:
            psycopg.Error: the connection is lost, or the server cannot go on; or one of them cannot be told.
        """
        left: dict[K, S] = {name: each for name, each in subjects.items() if name not in self._left_out}
        if not self.apart:
            return [ask([*left.values()])]
        found: list[R] = []
        until = monotonic() + ALONE_SECONDS
        for name, each in left.items():
            if monotonic() > until:  # the others have their turn once those that are too slow are left out
                break
            try:
                with connection.transaction():
                    found.append(ask([each]))
            except psycopg.Error as error:
                if connection.closed or is_servers(error):
                    raise
                self._left_out.add(name)
        return found
