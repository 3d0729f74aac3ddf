"""An act as a form asks for it, what there is to say of it, and how it is carried out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec
from starlette.exceptions import HTTPException

from poller.client.move_order import in_column
from poller.client.refusals import NothingSelectedError
from poller.client.retrying import cause
from poller.web.answers import FORBIDDEN
from poller.web.causes import told
from poller.web.rendering import address, word
from poller.web.rights import Right

if TYPE_CHECKING:
    import threading

    from poller.client.client import Client
    from poller.client.moves import Left
    from poller.client.overview import Overview
    from poller.client.retrying import Retried
    from poller.web.forms import Form
    from poller.web.progress import Progress
    from poller.web.rights import Viewer

MOST = 1000  # rows that the right `operate` covers, and that are done while the viewer waits
HELD = 100_000  # rows in flight that are counted
DIGITS = 18  # of the number of a run
LONGEST_ARGS = 10_000  # characters
NOT_MOVED = "no row could be moved"  # to whom is not told what the table says
WRONG, TOO_LARGE = 400, 413
NAMED, OF_ROWS = ("pause", "resume", "trigger"), ("retry", "release", "move")
SILENCES = (("1h", "1 hour"), ("4h", "4 hours"), ("1d", "a day"), ("7d", "a week"))
LONGEST_REASON = 500  # characters

SAID = {  # what the confirm page asks, and what follows
    "pause": (
        "Pause {target}?",
        "Nothing of it starts on the whole fleet until it is resumed. What runs goes on, and ends.",
    ),
    "resume": ("Resume {target}?", "It goes on from now; slots that came meanwhile are not made up for."),
    "trigger": ("Run {target} now?", "A run is entered beside its schedule."),
    "silence": (
        "Silence {target} for {lasts}?",
        "Alerts about it are kept quiet until then. What still goes wrong afterwards is told then.",
    ),
    "end": ("End the silence of {target}?", "What goes wrong is told at once."),
    "cancel": ("Cancel run {target}?", "If it waits, it does not begin; if it runs, it is asked to stop."),
    "retry": (
        "Retry rows of {target}?",
        "They are due at once, their attempts counted from the start. Rows in flight are left alone.",
    ),
    "release": (
        "Release rows of {target}?",
        (
            "Their workers lose them: the attempt counts, and they are due at once. "
            "A handler that runs is not stopped, and may run beside the next attempt."
        ),
    ),
    "move": (
        "Move rows of {target} to {to}?",
        (
            "Each is moved only if it still shows the status that it is moved from. "
            "What is in flight is not stopped; its outcome is superseded."
        ),
    ),
}


class Batched(TypedDict):
    """How an order is carried out in batches."""

    most: int | None
    progress: Progress
    stop: threading.Event


@dataclass(frozen=True, slots=True)
class Act:
    """What is to be done.

    Attributes:
        name: of the client's method.
        target: the selector, job or run.
        keys: of the rows that are chosen; none for all.
        error: only rows with this error.
        to: the status that rows are moved to.
        args: what a job is called with, as JSON; None for its own.
        lasts: how long a silence does; "0" ends it.
        reason: why.
        status: that the rows show: the end of the target, where a form has named it apart.
        column: the status column that was shown, where the table has several.
        is_handler: the target is a handler, and no job of that name.
    """

    name: str
    target: str
    keys: tuple[str, ...] = ()
    error: str | None = None
    to: str | None = None
    args: str | None = None
    lasts: str | None = None
    reason: str | None = None
    status: str | None = None
    column: str | None = None
    is_handler: bool = False

    @property
    def table(self) -> str:
        """The target without the status."""
        return self.target if self.status is None else self.target.removesuffix(f":{self.status}")

    @property
    def parts(self) -> tuple[object, ...]:
        """What is signed."""
        rest = (
            self.error,
            self.to,
            self.args,
            self.lasts,
            self.reason,
            self.status,
            self.column,
            self.is_handler,
        )
        return (self.name, self.target, len(self.keys), *self.keys, *rest)

    @property
    def question(self) -> str:
        """What the confirm page asks."""
        return SAID[self.said_as][0].format(target=self.named, to=word(self.to or ""), lasts=self.lasts)

    @property
    def named(self) -> str:
        """The target, with the status column where that was shown."""
        return in_column(self.target, self.column)

    @property
    def follows(self) -> str:
        """What happens if it is carried out."""
        return SAID[self.said_as][1]

    @property
    def said_as(self) -> str:
        """What it is called in words."""
        return "end" if self.lasts == "0" else self.name

    @property
    def back(self) -> str:
        """The page that shows what it has done."""
        match self.name:
            case "cancel":
                return f"/runs/{self.target}"
            case "trigger":
                return address("", "/runs", job=self.target)
            case "silence":
                return "/alerts"
            case "pause" | "resume":
                return "/" if self.is_handler or ":" in self.target else address("", "/job", name=self.target)
        if len(self.keys) == 1:
            return address("", "/row", table=self.table, key=self.keys[0])
        listing = address("", "/rows", table=self.table, status=self.status, column=self.column)
        return "/trouble" if self.status is None or self.error else listing


def read(form: Form) -> Act:
    """Read what a form asks for.

    Raises:
        HTTPException: it is not an act.
    """
    name, to, run = form.get("act", ""), form.get("to"), form.get("run", "")
    if name == "silence" and form.get("name") and form.get("for"):
        reason = form.get("reason", "").strip()[:LONGEST_REASON] or None
        return Act(name, form["name"], lasts=form["for"], reason=reason)
    if name in ("pause", "resume") and form.get("handler"):
        return Act(name, form["handler"], is_handler=True)
    if name in NAMED and form.get("name"):
        return Act(name, form["name"], args=_arguments(form.get("args", "")) if name == "trigger" else None)
    if name == "cancel" and run.isascii() and run.isdigit() and len(run) <= DIGITS:
        return Act(name, run)
    if name in OF_ROWS and form.get("table") and (to is not None or name != "move"):
        status = form.get("status")
        selector = form["table"] if status is None else f"{form['table']}:{status}"
        keys = tuple(dict.fromkeys(form.all("key")))
        if (
            not keys and form.get("chosen") == "only"
        ):  # of a listing that is filtered, all would be others, too
            raise HTTPException(WRONG, "choose the rows: this listing is filtered")
        target_status = to if name == "move" else None
        column = (form.get("column") or None) if name == "move" else None
        return Act(
            name, selector, keys, form.get("error") or None, target_status, status=status, column=column
        )
    raise HTTPException(WRONG, "unknown act, or a field of it is missing")


def _arguments(text: str) -> str | None:
    """Return what a job is to be called with, as it was written; None if nothing was.

    Raises:
        HTTPException: it is not a JSON object, or too long.
    """
    if not text.strip():
        return None
    if len(text) > LONGEST_ARGS:
        raise HTTPException(TOO_LARGE, f"the arguments have more than {LONGEST_ARGS:,} characters")
    try:
        msgspec.json.decode(text, type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        msg = f'the arguments must be a JSON object, such as {{"day": "2026-11-28"}}: {error}'
        raise HTTPException(WRONG, msg) from None
    return text.strip()


def refuse_text(client: Client, act: Act, viewer: Viewer) -> None:
    """Refuse an order for a part of an error's text from who may not see such texts: its answer would tell them.

    Raises:
        HTTPException: the error is neither a class nor a place, nor both.
    """
    if act.error is None or viewer.may(Right.VALUES):
        return
    groups = told(client.failure_groups(act.target).items, may_see=False)
    known = {
        name
        for each in groups
        for name in (each.error, each.place, cause(each.error, each.place))
        if each.error
    }
    if act.error not in known:
        raise HTTPException(FORBIDDEN, "to choose rows by the text of their error needs the right values")


def rows_of(client: Client, act: Act, overview: Overview | None) -> tuple[int | None, bool]:
    """Return how many rows an act would be on now, and whether they were counted; None if it is not on rows.

    Raises:
        NothingSelectedError: there is none.
    """
    if act.name not in OF_ROWS:
        return None, True
    if act.keys:
        return len(act.keys), True
    match act.name:
        case "retry":
            return _in_trouble(client, act)
        case "release":
            return _held(client, act)
    return _shown(act, overview)


def _in_trouble(client: Client, act: Act) -> tuple[int, bool]:
    groups = client.failure_groups(act.target)
    meant = [
        each
        for each in groups.items
        if act.error in {None, each.error, each.place, cause(each.error, each.place)}
    ]
    return _some(sum(each.waiting + each.parked for each in meant), act), groups.exact


def _held(client: Client, act: Act) -> tuple[int, bool]:
    found = client.inflight(act.target, limit=HELD)
    return _some(len(found.items), act), found.next is None


def _shown(act: Act, overview: Overview | None) -> tuple[int | None, bool]:
    """Return how many rows have the status that rows are moved from, by the last look; None if columns differ."""
    machines = [
        each for each in (overview.machines if overview else ()) if act.column in {None, each.machine.column}
    ]
    lines = [
        line for each in machines for line in each.statuses if f"{line.table}:{line.status}" == act.target
    ]
    return (_some(lines[0].rows, act), lines[0].exact) if len(lines) == 1 else (None, False)


def _some(rows: int, act: Act) -> int:
    if not rows:
        msg = f"there is no row of {act.named} to {act.name}"
        raise NothingSelectedError(msg)
    return rows


def carry_out(orders: Client, act: Act, most: int | None, progress: Progress, *, may_see: bool) -> str | None:
    """Carry an act out; return what it has done, or None if the page that follows shows it.

    Args:
        orders: the viewer's client.
        act: what is to be done.
        most: how many rows at the most; None for no end.
        progress: is told how many rows are done, and can stop it.
        may_see: whether all who are told may see what a table says of a row that it refuses, which may quote its values.

    Raises:
        PollerError: it cannot be done.
    """
    how: Batched = {"most": most, "progress": progress, "stop": progress.stop}
    match act.name:
        case "retry":
            done = orders.retry(act.target, act.keys, error=act.error, **how)
            locked = f"; {done.locked:,} are locked by others and were left" if done.locked else ""
            stuck = done.kept + done.untried
            kept = f"; {stuck:,} left: {_stays(done, may_see=may_see)}" if stuck else ""
            unseen = f"; {done.unseen:,} of them could not be looked at" if done.unseen else ""
            return f"{_rows(done.rows)} due again{unseen}{locked}{kept}{_end(done.stopped)}"
        case "release":
            released = orders.release(act.target, act.keys, error=act.error, **how)
            return f"{_rows(released.rows, were=True)} taken from their workers{_end(released.stopped)}"
        case "move":
            moved = orders.move(act.table, str(act.to), act.keys, shown=act.status, column=act.column, **how)
            left = "".join(f"; {each.rows:,} left: {_why(each, may_see=may_see)}" for each in moved.left)
            return f"{_rows(moved.rows, were=True)} moved to {word(str(act.to))}{left}{_end(moved.stopped)}"
        case "cancel":
            orders.cancel(int(act.target))
        case "trigger":
            orders.trigger(act.target, None if act.args is None else msgspec.json.decode(act.args))
        case "silence":
            orders.silence(act.target, "0s" if act.lasts == "0" else str(act.lasts), act.reason)
        case "pause" | "resume":
            getattr(orders, act.name)(act.target, is_handler=act.is_handler)
    return None


def _rows(count: int, *, were: bool = False) -> str:
    """Return a number of rows, with its verb."""
    if count == 1:
        return f"1 row {'was' if were else 'is'}"
    return f"{count:,} rows {'were' if were else 'are'}"


def _stays(done: Retried, *, may_see: bool) -> str:
    """Say why rows that show their handler's `during` are left: of the first, if the viewer may see its reason."""
    return done.why[0] if may_see and done.why else "the table does not let them leave their handler's during"


def _why(left: Left, *, may_see: bool) -> str:
    return left.detail if may_see or left.reason != "refused" else "the table refused them"


def _end(stopped: bool) -> str:  # noqa: FBT001 - as the client says it
    return ". It was stopped before its end." if stopped else "."
