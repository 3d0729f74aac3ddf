"""Fixtures of what runs handlers."""

from __future__ import annotations

import pytest

from poller.executor import batching
from poller.services import claim_size


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows share their lease and their transaction, however slow the machine is."""
    monkeypatch.setattr(claim_size, "HORIZON_SECONDS", 60.0)
    monkeypatch.setattr(batching, "LONGEST_SECONDS", 60.0)
