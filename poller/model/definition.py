"""A handler's definition as data, stored when a worker registers it, for commands that run without its code.

What may be trusted: names and numbers. The texts of SQL (`where`, `order_by`) are there to be shown, and not run from
here: a role that may register a handler could run them with the rights of the role that looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poller.errors_in_words import storable
from poller.model.handler import Handler
from poller.model.rate import Rate
from poller.model.retry_policy import policy
from poller.model.table_name import table_name

if TYPE_CHECKING:
    from collections.abc import Mapping

_AS_THEY_ARE = (
    *("column", "during", "on_failure", "where", "order_by", "due", "timeout", "limit"),
    *("per_key_limit", "in_order", "batch", "place"),
)
NOT_REBUILT = ("where", "order_by")  # texts of SQL
# The options that a rebuilt handler takes from a definition.
_REBUILT = ("during", "on_failure", "due", "limit", "per_key_limit", "in_order", "batch")


def define(handler: Handler, encoding: str = "UTF8") -> dict[str, Any]:
    """Return a handler's definition as JSON. Durations are seconds.

    Args:
        handler: the handler.
        encoding: of the database that will store it.
    """
    rate = handler.rate
    made = {name: getattr(handler, name) for name in _AS_THEY_ARE}
    made |= {
        "to": list(handler.to),
        "attempts": handler.policy.attempts,
        "rate": rate and f"{rate.rows}/{rate.window:.10g}s",
        "per_key": list(handler.per_key),
        "function": getattr(handler.function, "__qualname__", repr(handler.function)),
    }
    return {name: _storable(value, encoding) for name, value in made.items()}


def _storable(value: Any, encoding: str) -> Any:
    if isinstance(value, list):
        return [_storable(each, encoding) for each in value]
    return storable(value, encoding) if isinstance(value, str) else value


def rebuilt(table: str, status: str, column: str, definition: Mapping[str, Any] | None) -> Handler:
    """Return a handler that claims as a registered one does, without its `where` and `order_by`; it cannot be called.

    Args:
        table: its name, as the database has it.
        status: the status that it takes.
        column: the status column.
        definition: as `define` has made it; None if an older version has registered it.
    """
    known = definition or {}
    return Handler(
        function=_Absent(str(known.get("function") or "")),
        invoke=_Absent(""),
        table=table_name(table),
        status=status,
        to=tuple(known.get("to") or ()),
        policy=policy(attempts=known.get("attempts")),
        is_coroutine=False,
        takes_context=False,
        column=column,
        per_key=tuple(known.get("per_key") or ()),
        rate=_rate(known.get("rate")),
        **{name: known[name] for name in _REBUILT if name in known},
        place=known.get("place", f"{table}:{status}"),
    )


def has_code(handler: Handler) -> bool:
    """Tell whether a handler is one of the code that is here, and not a rebuilt one."""
    return not isinstance(handler.function, _Absent)


def _rate(text: str | None) -> Rate | None:
    if text is None:
        return None
    rows, _, window = text.partition("/")
    return Rate(int(rows), float(window.removesuffix("s")))


class _Absent:
    """Stands for a function whose code is elsewhere, and has its name."""

    def __init__(self, name: str) -> None:
        self.__qualname__ = name

    def __call__(self, *_: object) -> None:
        msg = "the code of this handler is not available here"
        raise NotImplementedError(msg)
