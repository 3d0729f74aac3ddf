"""Asks several questions in one round trip: what lies between a face and its database is waited for once.

The model. All are sent before the first answer is read. Behind each stands a Sync, which ends its transaction. So one
that the server refuses (its table is locked) costs the others nothing, and what a statement sets for its transaction
(the users' path) does not reach the next.

What may be trusted: one that has no answer is asked again by itself when its rows are wanted, and raises what it meets.
In a transaction, which may be the caller's, all are asked so, each behind a savepoint: a refusal would end it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from psycopg import sql


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A statement, what it is asked with, and what its rows are made of."""

    query: sql.Composed
    asked: Mapping[str, Any] = field(default_factory=dict)
    rows: Any = tuple_row


class OneRound:
    """Questions that are asked on a connection, and their answers; outside of transactions in one round trip."""

    def __init__(self, connection: psycopg.Connection[Any], questions: Iterable[Question]) -> None:
        self._connection = connection
        self._cursors: dict[Question, psycopg.Cursor[Any]] = {}
        self._is_alone = connection.info.transaction_status == TransactionStatus.IDLE
        if self._is_alone and psycopg.Pipeline.is_supported():
            self._send(questions)

    def rows(self, question: Question) -> list[Any]:
        """Return the answer.

        Raises:
            psycopg.Error: the server refuses it.
        """
        cursor = self._cursors.pop(question, None)
        if cursor is None or cursor.pgresult is None:
            cursor = self._asked(question)
        return cursor.fetchall()

    def _send(self, questions: Iterable[Question]) -> None:
        with contextlib.suppress(psycopg.Error), self._connection.pipeline() as pipeline:
            for each in questions:
                self._cursors[each] = self._connection.cursor(row_factory=each.rows)
                with contextlib.suppress(psycopg.Error):  # which an answer that came meanwhile raises here
                    self._cursors[each].execute(each.query, each.asked)
                # `Pipeline.sync` would wait for the answer.
                pipeline.command_queue.append(self._connection.pgconn.pipeline_sync)
                pipeline.result_queue.append(None)

    def _asked(self, question: Question) -> psycopg.Cursor[Any]:
        with contextlib.nullcontext() if self._is_alone else self._connection.transaction():
            return self._connection.cursor(row_factory=question.rows).execute(question.query, question.asked)
