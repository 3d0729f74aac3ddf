"""The desk: web pages and an API about the fleet, as an ASGI application to run or to mount."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.errors import ConfigurationError
from poller.lazy import lazy
from poller.web.rights import Right, Viewer

if TYPE_CHECKING:
    from typing import Unpack

    from poller.web import app
    from poller.web.app import Database, Desk, Options
    from poller.web.guard import Asked
else:  # it needs the extra
    app = lazy("poller.web.app")

__all__ = ["Right", "Viewer", "desk"]


def desk(database: Database, *, authorize: Asked, **options: Unpack[Options]) -> Desk:
    """Return the desk of a database, to be mounted in another ASGI application, or to be served alone.

    Args:
        database: a `postgresql://` URL.
        authorize: called with each request that needs a right, returns who looks and what they may do, or None for
            nobody; a coroutine function is awaited, any other is called on a thread.
        **options: see `poller.web.app.Options`.

    Raises:
        ConfigurationError: the extra is not installed, or the URL is not valid.
    """
    try:
        made = app.desk
    except ModuleNotFoundError as error:
        msg = f"the desk needs {error.name}; run: pip install 'poller[ui]'"
        raise ConfigurationError(msg) from None
    return made(database, authorize=authorize, **options)
