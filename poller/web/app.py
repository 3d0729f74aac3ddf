"""Puts the desk together: doors, guard, endpoints."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypedDict

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from poller.client.client import Client
from poller.client.database import locate
from poller.errors import PollerError
from poller.web.answers import BROKEN, FORBIDDEN, UNAVAILABLE, refusal, told
from poller.web.doors import Doors
from poller.web.enter import invite
from poller.web.faults import Refused, is_about_data, is_forbidden, said
from poller.web.forms import WRONG
from poller.web.guard import Guard, matcher
from poller.web.proxies import networks
from poller.web.routes import ROUTES
from poller.web.seal import Seal
from poller.web.shared import Shared
from poller.web.shown import shown
from poller.web.snapshot import Snapshot
from poller.web.state import VIA, DeskState
from poller.web.under_way import ActsUnderWay

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Unpack

    from starlette.requests import Request
    from starlette.responses import Response

    from poller.client.database import DatabaseLocation
    from poller.web.guard import Asked

    Database = str | DatabaseLocation

Desk = Doors


class Options(TypedDict, total=False):
    """What a desk may be told.

    Attributes:
        allowed_hosts: names that it is asked for by, besides those of the loopback and the address that it listens at.
        tables: for each table, as the database names it (`public.orders`) or without its schema, what of it is shown
            to viewers with the right `values`: `{"orders": {"show": ["slug", "plan"]}}`; "*" shows all columns but those
            whose names say that they are secret.
        trusted_proxies: addresses and networks (`10.0.0.0/8`) from where `X-Forwarded-Prefix` is believed.
    """

    allowed_hosts: Sequence[str]
    tables: Mapping[str, Any]
    trusted_proxies: Sequence[str]


def desk(database: Database, *, authorize: Asked, **options: Unpack[Options]) -> Desk:
    """Return the desk of a database.

    Args:
        database: a `postgresql://` URL.
        authorize: returns the request's viewer, or None if it has none.
        **options: see `Options`.

    Raises:
        ConfigurationError: the URL is not valid, a proxy's address, or an allowed host.
    """
    proxies = networks(options.get("trusted_proxies", ()))
    inner = Starlette(
        routes=[matcher(each) for each in ROUTES],
        middleware=[Middleware(Guard, routes=ROUTES, authorize=authorize, invite=partial(invite, authorize))],
        exception_handlers={
            HTTPException: _refused,
            PollerError: _unavailable,
            Refused: _unavailable,
            Exception: _broken,
        },
    )
    client = Client(database, via=VIA, hurried=True)
    inner.state.desk = DeskState(
        database=database,
        client=client,
        snapshot=Snapshot(client),
        place=_name(database),
        entrance=authorize,
        show=shown(options.get("tables", {})),
        shared=Shared(),
        seal=Seal(),
        under_way=ActsUnderWay(),
        roles=Shared(),
    )
    return Doors(inner, options.get("allowed_hosts", ()), proxies)


def _name(database: Database) -> str:
    """Return the name of a database, as pages show it."""
    place = locate(database, starts=False) if isinstance(database, str) else database
    return "embedded" if place.embedded else place.name


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as it is registered
    return told(request.scope, error)


async def _unavailable(request: Request, error: Exception) -> Response:
    if is_about_data(error):
        return refusal(request.scope, WRONG, "the database cannot read what was given")
    return refusal(request.scope, FORBIDDEN if is_forbidden(error) else UNAVAILABLE, said(error))


async def _broken(request: Request, error: Exception) -> Response:  # noqa: ARG001 - the server logs it
    return refusal(request.scope, BROKEN, "the desk has a fault, which its log tells")
