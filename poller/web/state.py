"""What all endpoints of a desk share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from poller.client.client import Client
from poller.errors import PollerError
from poller.web.faults import Refused

if TYPE_CHECKING:
    from starlette.requests import Request

    from poller.client.database import DatabaseLocation
    from poller.web.rights import Viewer
    from poller.web.seal import Seal
    from poller.web.shared import Shared
    from poller.web.shown import Show
    from poller.web.snapshot import Snapshot
    from poller.web.under_way import ActsUnderWay

ROLE_LASTS = 60.0  # seconds that the rights of the database's role are remembered
VIA = "desk"  # the face, as orders are logged with it


@dataclass(frozen=True, slots=True)
class DeskState:
    """What a desk has.

    Attributes:
        database: which it is about.
        client: asks it questions.
        snapshot: what was seen of the fleet last.
        place: the name of the database, as pages show it.
        show: which columns of users' tables are shown, by table.
        shared: answers that all viewers share for a moment.
        seal: signs what the confirm page has shown.
        roles: remembers for a while what the database's role may do.
        under_way: the acts that go on while pages show how far they are.
        entrance: how people come in: one of `entrances`, or the host's own `authorize`.
    """

    database: str | DatabaseLocation
    client: Client
    snapshot: Snapshot
    place: str
    entrance: object
    show: Show
    shared: Shared
    seal: Seal
    under_way: ActsUnderWay
    roles: Shared

    def may_order(self) -> bool:
        """Tell whether the database's role may give orders; it may, as long as that is not known."""
        try:
            return self.roles.ask("may order", self.client.may_order, ROLE_LASTS)
        except (PollerError, Refused):
            return True

    def orders_of(self, viewer: Viewer, via: str = VIA) -> Client:
        """Return a client for a viewer's orders, which are logged with their name."""
        return Client(self.database, via=via, person=viewer.name)


def desk_of(request: Request) -> DeskState:
    """Return what the request's desk has."""
    found: DeskState = request.app.state.desk
    return found


def viewer_of(request: Request) -> Viewer:
    """Return the request's viewer. The guard makes sure that there is one on each route that needs a right."""
    found: Viewer = request.state.viewer
    return found
