"""A receiver of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.website import Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def site() -> Iterator[Server]:
    """A web server."""
    with serving() as site:
        yield site
