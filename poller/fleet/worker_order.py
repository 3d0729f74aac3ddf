"""What a supervisor tells a worker process when it starts it: one line of JSON on its standard input.

The order goes through the pipe, not the arguments, since the process's title must not show a password. The import path
is part of the line: the worker needs it before it can import anything of poller.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from poller.fleet.options import FleetOptions

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOrder:
    """How a worker works, and for whom.

    Attributes:
        options: as given to `poller run`.
        supervisor: the id of the supervisor that starts it.
        url: the database.
        database: the name that handlers know it by, if it has one.
        is_first: it is the database that jobs belong to, but for those that every database has.
        logged: what the worker's log lines say of themselves beside what happened.
        tables: schema and name of each handler's table, as the supervisor has found them (`binding_again`).
        replaces: the id of the process that it comes after; 0 if it is the first.
    """

    options: FleetOptions
    supervisor: UUID
    url: str
    database: str
    is_first: bool
    logged: dict[str, str]
    tables: dict[str, tuple[str, str]]
    replaces: int

    def line(self, path: Sequence[str]) -> bytes:
        """Return the order as a line of JSON, with the worker's import path."""
        order = {**asdict(self), "supervisor": str(self.supervisor)}
        return json.dumps({"path": list(path), "order": order}).encode() + b"\n"

    @classmethod
    def read(cls, order: dict[str, Any]) -> Self:
        """Return the order from its parsed line."""
        options = order["options"]
        options = FleetOptions(
            **{**options, **{name: tuple(options[name]) for name in ("only", "without", "labels")}}
        )
        tables = {handler: (schema, name) for handler, (schema, name) in order["tables"].items()}
        read = {"options": options, "supervisor": UUID(order["supervisor"]), "tables": tables}
        return cls(**{**order, **read})
