"""Asks Postgres for the plan of a handler's claim, which also shows whether its `where` and `order_by` are valid SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from poller.db.connection import UNPLANNABLE, why_unplannable
from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.store.binding import Binding

_NOT_FOUND = (psycopg.errors.UndefinedFunction, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedObject)


def plan_claim(connection: psycopg.Connection[Any], binding: Binding) -> list[str]:
    """Return the plan of a handler's claim, a line each; poller's own schema must be there.

    Raises:
        ConfigurationError: Postgres cannot plan the claim, since `where` or `order_by` is not valid SQL for this table;
            or it cannot plan the write of a status.
    """
    plan = _planned(connection, binding, "the claim", binding.claim_first, binding.asked(limit=1))
    if not binding.handler.is_job:
        _planned(connection, binding, "the outcome", binding.touch, {})
    return plan


def _planned(
    connection: psycopg.Connection[Any],
    binding: Binding,
    what: str,
    question: sql.Composed,
    asked: Mapping[str, Any],
) -> list[str]:
    try:
        rows = connection.execute(sql.SQL("explain {}").format(question), asked).fetchall()
    except UNPLANNABLE as error:
        options = {"where": binding.handler.where, "order_by": binding.handler.order_by}
        given = ", ".join(f"{name}={value!r}" for name, value in options.items() if value)
        reason = why_unplannable(error)
        place = binding.handler.place
        if isinstance(error, _NOT_FOUND) and not given:
            reason += (
                "; a function of an index, a policy or a generated column looks for it by the search path: "
                "have it look in its own (alter function … set search_path = …), or write the schema"
            )
        msg = f"{place}: Postgres cannot plan {what} of {binding}{given and f' ({given})'}: {reason}"
        raise ConfigurationError(msg) from None
    return [row[0] for row in rows]
