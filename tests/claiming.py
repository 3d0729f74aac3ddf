"""A worker that claims and settles by hand, without its threads, for tests that step through races."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from poller.db.connection import Link
from poller.model.outcome import Became, Outcome
from poller.services.heartbeat import Heartbeat
from poller.store.binding import Binding
from poller.store.claims import Claims
from poller.store.lease import Result
from poller.store.liveness import register_handlers
from poller.store.settlements import Settlements

if TYPE_CHECKING:
    from poller.store.lease import Task


class HandWorker:
    """A claiming worker's statements and id, without its threads."""

    def __init__(self, url: str, binding: Binding) -> None:
        self.link = Link(url, "test")
        self.claims = Claims(self.link)
        self.settlements = Settlements(self.link)
        self.binding = binding
        register_handlers(self.link.connection, [binding])
        row = self.link.connection.execute(
            "insert into poller.worker (supervisor, host, pid, slots, handlers, lease)"
            " values (gen_random_uuid(), 'test', 1, 1, '{}', '30s') returning id"
        ).fetchone()
        assert row is not None
        self.id = row[0]

    def claim(self, limit: int = 10) -> list[Task]:
        return self.claims.claim(self.binding, self.id, limit).tasks

    def retries(self) -> list[tuple[str, int]]:
        """Claim retries; return their keys and attempts."""
        tasks = self.claims.claim_retries(self.binding, self.id, 10).tasks
        return [(task.key, task.attempt) for task in tasks]

    def settle(self, tasks: list[Task], outcome: Outcome | None = None) -> int:
        outcome = outcome or Outcome(Became.MOVED, to="normal")
        results = [Result(task, outcome, 0.0) for task in tasks]
        return sum(became not in ("late", "refused") for became in self.settlements.settle(results).became)

    def fail(self, tasks: list[Task]) -> int:
        retry = Outcome(Became.RETRYING, delay=0.0, attempt=tasks[0].attempt, error="no")
        return self.settle(tasks, retry)


def heartbeat(link: Link, bindings: Sequence[Binding] = (), **options: Any) -> Heartbeat:
    """Make the sign of life of a worker that knows these handlers, whose supervisor is none."""
    given = {"slots": 1, "lease": 30.0, "on_join": _ignore, "on_lost": _ignore, **options}
    return Heartbeat(link=link, supervisor=uuid.uuid4(), handlers=[each.id for each in bindings], **given)


def _ignore() -> None: ...


NewWorker = Callable[[Binding], HandWorker]
