"""The alerts of an engine in the test's own process, step by step, with a receiver that is a real server."""

from __future__ import annotations

import json
from math import inf
from typing import TYPE_CHECKING, Any, Self

from poller.alerts.alerting import Alerting
from poller.alerts.subjects import Subjects
from poller.targets.settings import parse
from poller.testing import Engine

if TYPE_CHECKING:
    import pytest

    from poller.jobs.job import Job
    from poller.model.handler import Handler
    from tests.website import Server


class Stage:
    """An engine, and alerts whose target `oncall` is `/hook` of a server; the engine's clock is theirs.

    Args:
        url: of the database.
        site: the receiver.
        monkeypatch: for the environment.
        *work: handlers and jobs.
        database: its name, as if there were several.
        **settings: of the section `alerts`, beside its targets.
    """

    def __init__(
        self,
        url: str,
        site: Server,
        monkeypatch: pytest.MonkeyPatch,
        *work: Handler | Job,
        database: str = "",
        **settings: Any,
    ) -> None:
        monkeypatch.setenv("ONCALL", site.at("/hook"))
        self.site = site
        self.engine = Engine(url, *work)
        self.jobs = self.engine._jobs
        self._database = database
        self.settings = parse(
            {"to": "oncall", "group": "0s", "targets": {"oncall": {"url": "env:ONCALL"}}, **settings}
        )

    def __enter__(self) -> Self:
        self.engine.__enter__()
        subjects = Subjects(self.settings, self.jobs, self.engine._bindings)
        self.alerting = Alerting(self.engine._link("alerts"), subjects, database=self._database)
        self.alerting._survey_at = inf  # a test says when
        self.alerting.prepare()
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.__exit__()

    def advance(self, duration: str) -> None:
        """Move the clock; those who take signals have said meanwhile that they are there."""
        self.engine.advance(duration)
        self.alerting.prepare()

    def tell(self, *, survey: bool = False) -> list[dict[str, Any]]:
        """Do what is due, and return the notices that have arrived since."""
        before = len(self.site.received)
        if survey:
            self.alerting.survey()
        for _ in range(4):
            self.alerting.run_once()
            self.alerting._senders.wait([*self.alerting._addresses], 5)
        arrived = [json.loads(each.body) for each in self.site.received[before:] if each.path == "/hook"]
        return [notice for each in arrived for notice in each["notices"]]

    def reasons(self, *, survey: bool = False) -> list[tuple[str, str, str]]:
        """The same, of each notice who, what and why."""
        return [(each["subject"], each["kind"], each["reason"]) for each in self.tell(survey=survey)]
