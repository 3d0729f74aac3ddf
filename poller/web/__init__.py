"""The desk: web pages and an API about the fleet, as an ASGI application to run or to mount."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from poller.errors import ConfigurationError
from poller.lazy import lazy
from poller.web.rights import USUAL, Right, Viewer, rights_of

if TYPE_CHECKING:
    from typing import Unpack

    from poller.web import app
    from poller.web.app import Database, Desk, Options
    from poller.web.guard import Asked
else:  # it needs the extra
    app = lazy("poller.web.app")

__all__ = ["USUAL", "Right", "Viewer", "desk", "require", "rights_of"]

EXTRA = ("jinja2", "markupsafe", "msgspec", "starlette", "uvicorn")


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
    require()
    return app.desk(database, authorize=authorize, **options)


def require() -> None:
    """Make sure that what the desk needs is installed.

    Raises:
        ConfigurationError: something is not.
    """
    missing = [each for each in EXTRA if find_spec(each) is None]
    if missing:
        msg = f"the desk needs {' and '.join(missing)}; run: pip install 'poller[ui]'"
        raise ConfigurationError(msg)
