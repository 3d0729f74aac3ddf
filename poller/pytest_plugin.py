"""A pytest fixture for the tests of your handlers: pytest finds it by itself where poller is installed.

```python
def test_a_new_tenant_gets_a_bucket(poller_engine, database_url):
    engine = poller_engine(database_url, initialise)
    [done] = engine.run_due()
    assert done.to == "normal"
```

pytest imports this module in every project that has poller installed, so it imports nothing of the engine
until a test asks for one.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

import pytest

from poller.lazy import lazy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poller import testing
    from poller.executor.around import Around
    from poller.jobs.job import Job
    from poller.model.handler import Handler
    from poller.testing import Engine
else:
    testing = lazy("poller.testing")


class EngineFactory(Protocol):
    """The type of the fixture, for tests that are typed."""

    def __call__(
        self, url: str, /, *work: Handler | Job, concurrency: int = 4, around: Sequence[Around] = ()
    ) -> Engine:
        """Return an engine for these handlers and jobs on the test's database; see `poller.testing.Engine`."""


@pytest.fixture
def poller_engine() -> Iterator[EngineFactory]:
    """Make engines that are closed when the test ends: `poller_engine(url, handler, job, …)`."""
    with contextlib.ExitStack() as engines:

        def enter(
            url: str, /, *work: Handler | Job, concurrency: int = 4, around: Sequence[Around] = ()
        ) -> Engine:
            return engines.enter_context(testing.Engine(url, *work, concurrency=concurrency, around=around))

        yield enter
