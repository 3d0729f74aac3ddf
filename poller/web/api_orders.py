"""The orders of the API: the client carries them out, and writes down who has given them, and that it was the API.

A program has read what it orders, so that there is no page to confirm. What the right `operate` does not cover is
refused as on the pages: moves, and orders on more than a thousand rows.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from poller.client.answers import as_json
from poller.client.refusals import NothingSelectedError
from poller.web import api_hidden as hidden
from poller.web.act import LONGEST_ARGS, MOST, TOO_LARGE, Act, refuse_text, rows_of
from poller.web.answers import FORBIDDEN
from poller.web.api_questions import number
from poller.web.forms import WRONG
from poller.web.progress import Progress, stoppable
from poller.web.rights import Right
from poller.web.state import desk_of, viewer_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from poller.client.alerts import Silenced
    from poller.client.client import Client
    from poller.client.jobs import Cancelled, Paused, Resumed, Triggered
    from poller.client.moves import Moved
    from poller.client.pausing import HandlersPaused, HandlersResumed
    from poller.client.releasing import Released
    from poller.client.retrying import Retried
    from poller.web.api_asked import (
        Asked,
        HandlerPause,
        HandlerResume,
        JobPause,
        JobResume,
        MoveOrder,
        RowsOrder,
        SilenceOrder,
        TriggerOrder,
    )

KEY, LONGEST_KEY = "Idempotency-Key", 200
_WORD = re.compile(rf"[!-~]{{1,{LONGEST_KEY}}}")
VIA = "api"  # the face, as orders are logged with it


def retry(request: Request, asked: RowsOrder) -> Retried:
    """Retry rows in trouble: they are due at once, and their attempts are counted from the start."""
    most = _most(request, "retry", asked)
    with stoppable(Progress()) as until:
        done = _orders(request).retry(
            asked.selector, asked.keys, error=asked.error, most=most, progress=until, stop=until.stop
        )
    done = replace(done, stopped=done.stopped or _is_cut(asked, done.rows, most))
    return hidden.kept(request, done, hidden.retried)


def release(request: Request, asked: RowsOrder) -> Released:
    """Release leases by force: workers lose the rows, which are due at once; a handler that runs is not stopped."""
    most = _most(request, "release", asked)
    with stoppable(Progress()) as until:
        done = _orders(request).release(
            asked.selector, asked.keys, error=asked.error, most=most, progress=until, stop=until.stop
        )
    return replace(done, stopped=done.stopped or _is_cut(asked, done.rows, most))


def move(request: Request, asked: MoveOrder) -> Moved:
    """Move rows by hand, each only if it still shows the status that it is moved from."""
    with stoppable(Progress()) as until:
        try:
            done = _orders(request).move(
                asked.selector,
                asked.to,
                asked.keys,
                shown=asked.shown,
                column=asked.column,
                progress=until,
                stop=until.stop,
            )
        except NothingSelectedError as error:  # it tells what the table has said, which may quote its values
            raise NothingSelectedError(hidden.kept(request, str(error), hidden.nothing_moved)) from None
    return hidden.kept(request, done, hidden.moved)


def trigger(request: Request, asked: TriggerOrder) -> Triggered:
    """Run a job now, beside its schedule."""
    if asked.args is not None and len(as_json(asked.args)) > LONGEST_ARGS:
        raise HTTPException(TOO_LARGE, f"the arguments have more than {LONGEST_ARGS:,} characters")
    return _orders(request).trigger(asked.job, asked.args, once=_key(request))


def pause_job(request: Request, asked: JobPause) -> Paused | HandlersPaused:
    """Pause a job: nothing of it starts; what runs goes on."""
    desk_of(request).client.job(asked.job)
    return _orders(request).pause(asked.job, asked.lasts)


def resume_job(request: Request, asked: JobResume) -> Resumed | HandlersResumed:
    """Resume a job from now."""
    desk_of(request).client.job(asked.job)
    return _orders(request).resume(asked.job)


def pause_handler(request: Request, asked: HandlerPause) -> Paused | HandlersPaused:
    """Pause handlers: no worker claims another of their rows; what is in flight ends."""
    return _orders(request).pause(asked.handler, asked.lasts, is_handler=True)


def resume_handler(request: Request, asked: HandlerResume) -> Resumed | HandlersResumed:
    """Resume handlers."""
    return _orders(request).resume(asked.handler, is_handler=True)


def silence(request: Request, asked: SilenceOrder) -> Silenced:
    """Keep alerts quiet about jobs, handlers and hosts for a while; what still goes wrong then is told."""
    return _orders(request).silence(asked.name, asked.lasts, asked.reason)


def cancel(request: Request, asked: Asked) -> Cancelled:  # noqa: ARG001 - as all are called
    """Cancel a waiting run; ask a running one to stop."""
    return _orders(request).cancel(number(request))


def _orders(request: Request) -> Client:
    return desk_of(request).orders_of(viewer_of(request), VIA)


def _key(request: Request) -> str | None:
    """Return the word that makes an order once, if there is one.

    Raises:
        HTTPException: there are several, or it is none.
    """
    given = request.headers.getlist(KEY)
    if not given:
        return None
    if len(given) > 1 or not _WORD.fullmatch(given[0]):
        raise HTTPException(WRONG, f"{KEY} is one word of at most {LONGEST_KEY} characters")
    return given[0]


def _most(request: Request, name: str, asked: RowsOrder) -> int | None:
    """Return after how many rows an order has to stop; None for no end.

    Raises:
        HTTPException: it is on more rows than the viewer may order things of.
    """
    act = Act(name, asked.selector, tuple(dict.fromkeys(asked.keys)), asked.error)
    refuse_text(desk_of(request).client, act, viewer_of(request))
    if viewer_of(request).may(Right.MOVE):
        return None
    if name == "release" and asked.error is not None:  # rows in flight are not counted by their error
        return MOST
    try:
        rows, _ = rows_of(desk_of(request).client, act, None)
    except NothingSelectedError:
        if asked.error is None:
            raise
        return MOST  # nor are rows by a part of its text
    if rows is None or rows > MOST:
        raise HTTPException(FORBIDDEN, f"an order on more than {MOST:,} rows needs the right move")
    return MOST


def _is_cut(asked: RowsOrder, rows: int, most: int | None) -> bool:
    """Tell whether an order has ended at its limit, and may have left rows, since they were not counted before."""
    return asked.error is not None and not asked.keys and most is not None and rows >= most
