"""Fixtures of the ready-made jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.website import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.website import Server


@pytest.fixture
def site() -> Iterator[Server]:
    """A server on this host."""
    with serving() as site:
        yield site
