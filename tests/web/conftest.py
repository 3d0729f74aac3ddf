"""Fixtures of the tests of the desk."""

from __future__ import annotations

import pytest

from poller.web import snapshot


@pytest.fixture(autouse=True)
def _soon_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that looks ends soon after the test, and closes its connection."""
    monkeypatch.setattr(snapshot, "WATCHED", 2.0)
