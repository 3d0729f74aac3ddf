"""Acts: each is shown on a page of the server's first, and carried out when that is confirmed.

The model. A form posts what is to be done. Without a token the answer is the confirm page: what, of what, how much now.
Its form posts the same again with a token, which says that this viewer was shown just this, not longer than two minutes
ago; so neither a script nor a stale page can have anything done that nobody has seen. The orders are the client's, which
check for themselves and write down who has ordered what. What the right `operate` does not cover is refused here, too:
moves, and acts on more than a thousand rows; those go on while the viewer is shown how far they are (`under_way`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from poller.client.refusals import NothingSelectedError
from poller.errors import ConfigurationError, PollerError
from poller.web.act import MOST, NOT_MOVED, OF_ROWS, Act, carry_out, read, refuse_text, rows_of
from poller.web.answers import FORBIDDEN
from poller.web.faults import Refused, is_undone
from poller.web.forms import form_of
from poller.web.own_threads import OwnThreads
from poller.web.pages import page
from poller.web.progress import Progress, stoppable
from poller.web.refused import no_such
from poller.web.rendering import address
from poller.web.rights import Right
from poller.web.state import desk_of, viewer_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from poller.client.client import Client
    from poller.web.forms import Form
    from poller.web.state import DeskState

SAMPLES = 3  # keys that the confirm page shows
THREADS = OwnThreads("acts")  # acts may take long: pages go on beside them
SEE_OTHER, WRONG, GONE = 303, 400, 409


async def confirm(request: Request) -> Response:
    """Show what an act would do; carry it out, if this was confirmed."""
    form = await form_of(request)
    return await to_thread.run_sync(_answer, request, form, limiter=THREADS.limiter)


def _answer(request: Request, form: Form) -> Response:
    act = read(form)
    if act.name == "move" and not viewer_of(request).may(Right.MOVE):
        raise HTTPException(FORBIDDEN, "this needs the right move")
    try:
        refuse_text(desk_of(request).client, act, viewer_of(request))
        if "token" not in form:
            return _ask(request, act)
        return _confirmed(request, act, form)
    except (NothingSelectedError, ConfigurationError) as error:
        code = GONE if isinstance(error, NothingSelectedError) else WRONG
        is_told = act.name != "move" or viewer_of(request).may(Right.VALUES)
        return page(request, "done.html", code=code, act=act, said=str(error) if is_told else NOT_MOVED)


def _confirmed(request: Request, act: Act, form: Form) -> Response:
    """Carry an act out, if it was shown as it is now; else show it again."""
    viewer, desk, shown = viewer_of(request), desk_of(request), form.get("shown", "")
    if not desk.seal.holds(form["token"], (viewer.name, *act.parts, shown)):
        return _ask(request, act, "This page was too old, or not for this. Look again.")
    if (known := desk.under_way.of(act)) is not None:
        return _see(request, f"/acts/{known.number}")
    rows, exact = _rows(request, act)
    if rows is not None and (exact or act.name != "move") and str(rows) != shown and rows > int(shown or 0):
        return _ask(request, act, "There are more by now.")
    if not desk.seal.spend(form["token"]):
        return _ask(request, act, "This was confirmed before, and may be carried out already. Look again.")
    return _carried_out(request, act, int(shown) if shown else None, form["token"])


def _carried_out(request: Request, act: Act, most: int | None, token: str) -> Response:
    """Carry an act out, while the viewer waits if it is on few rows; else have it go on."""
    viewer, desk = viewer_of(request), desk_of(request)
    orders = desk.orders_of(viewer)
    if _is_long(act, most):
        begun = desk.under_way.begin(
            act, viewer.name, most, lambda each: _done(desk, orders, act, most, each, may_see=False)
        )
        return _see(request, f"/acts/{begun.number}")
    with stoppable(Progress()) as progress:
        try:
            said = _done(desk, orders, act, most, progress, may_see=viewer.may(Right.VALUES))
        except (PollerError, Refused) as error:
            if not progress.rows and is_undone(error):
                desk.seal.give_back(token)
            raise
    if said is None:
        return _see(request, act.back)
    return page(request, "done.html", act=act, said=said)


def _is_long(act: Act, rows: int | None) -> bool:
    """Tell whether an act goes on by itself."""
    return act.name in OF_ROWS and (rows is None or rows > MOST)


def _done(  # noqa: PLR0913 - of an act
    desk: DeskState, orders: Client, act: Act, most: int | None, progress: Progress, *, may_see: bool
) -> str | None:
    """Carry an act out; all pages show what is now, from then on."""
    try:
        return carry_out(orders, act, most, progress, may_see=may_see)
    finally:
        desk.snapshot.refresh()
        desk.shared.forget()


def under_way(request: Request) -> Response:
    """Show how far an act is, and what came of it."""
    found = desk_of(request).under_way.get(request.path_params["id"])
    if found is None:
        return no_such(request, "this desk knows no such act; what was done stands among the actions")
    known = (found.progress.rows, found.said, found.is_stopped)
    return page(request, "under_way.html", known=known, every=1, found=found)


def stop(request: Request) -> Response:
    """End an act after its current batch."""
    number = request.path_params["id"]
    found = desk_of(request).under_way.get(number)
    if found is None:
        return no_such(request, "this desk knows no such act; what was done stands among the actions")
    found.progress.stop.set()
    return _see(request, f"/acts/{number}")


def _see(request: Request, path: str) -> Response:
    return RedirectResponse(address(str(request.scope.get("root_path", "")), path), SEE_OTHER)


def _ask(request: Request, act: Act, warning: str | None = None) -> Response:
    viewer = viewer_of(request)
    rows, exact = _rows(request, act)
    if (rows is None or rows > MOST) and act.name in {"retry", "release"} and not viewer.may(Right.MOVE):
        raise HTTPException(FORBIDDEN, f"an act on more than {MOST:,} rows needs the right move")
    shown = "" if rows is None else str(rows)
    token = desk_of(request).seal.sign((viewer.name, *act.parts, shown))
    return page(
        request,
        "confirm.html",
        act=act,
        rows=rows,
        exact=exact,
        is_long=_is_long(act, rows),
        token=token,
        shown=shown,
        warning=warning,
        samples=SAMPLES,
    )


def _rows(request: Request, act: Act) -> tuple[int | None, bool]:
    desk = desk_of(request)
    overview = desk.snapshot.seen().overview if act.name == "move" else None
    return rows_of(desk.client, act, overview)
