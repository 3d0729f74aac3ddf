"""Errors in words, and texts that Postgres can store, whatever a user's objects do when they are touched.

An exception is a user's object: its text, its class and its attributes may raise anything, `SystemExit` included, or
return what is not a text. Nothing here raises for that. A database's error is described by its primary message: what it
adds (`DETAIL`, SQLAlchemy's parameters) holds the values of rows.
"""

from __future__ import annotations

import linecache
import re
import site
import sys
import sysconfig
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType

    import psycopg

T = TypeVar("T")

ERROR_CHARACTERS = 2000
TRACEBACK_CHARACTERS = 8000
SHOWN_EXCEPTIONS = 5  # exceptions of a chain that are shown
SHOWN_FRAMES = 30  # frames of one exception that are shown: the last ones

_ABOUT_DATA = "22"  # the class of SQLSTATE whose messages quote the value, not a name
# In the quotes of any language that Postgres speaks (`lc_messages`): "a", «a», »a«, „a“, “a”, 「a」.
_QUOTED = re.compile(r'["«»„“「].*["«»“”」]', re.DOTALL)
# What psycopg and SQLAlchemy add to a message, also to one that was made a part of another.
_ADDED = re.compile(
    r"(\s|\\n)*(\[SQL: |\[parameters: |DETAIL:  |CONTEXT:  |HINT:  |LINE \d+: |\(Background on this error )"
)

_OURS = str(Path(__file__).parent) + "/"
_LIBRARIES = tuple(
    {
        f"{folder}/"
        for folder in (
            *(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")),
            *site.getsitepackages(),
            site.getusersitepackages(),
        )
    }
)


def guarded(ask: Callable[[], T], otherwise: T) -> T:
    """Return what a user's object answers, or something else if it raises instead, whatever that is."""
    try:
        return ask()
    except BaseException:  # noqa: BLE001 - SystemExit, too, is only its answer
        return otherwise


def plain(text: str) -> str:
    """Return a text of `str` itself: a subclass may do anything when it is compared, cut or hashed.

    Raises:
        TypeError: it is none.
    """
    return "".join((text, ""))  # noqa: FLY002 - an f-string would ask the subclass


def storable(text: str, encoding: str = "UTF8") -> str:
    """Return a text as a database can store it: without NUL and lone surrogates, which are escaped.

    Args:
        text: any.
        encoding: the database's, as `server_encoding` names it; for encodings other than UTF8 the set of characters
            is not known here, so all characters beyond ASCII are escaped.
    """
    text = text.replace("\0", "\\0")
    target = "utf-8" if encoding == "UTF8" else "ascii"
    return text.encode(target, "backslashreplace").decode(target)


def encoding_of(connection: psycopg.Connection[object]) -> str:
    """Return the encoding that a connection's database stores texts in, as Postgres names it."""
    return connection.info.parameter_status("server_encoding") or "SQL_ASCII"


def one_line(text: str, most: int = ERROR_CHARACTERS) -> str:
    """Return a text as one line of bounded length that Postgres can store."""
    return storable(" ".join(text[: 2 * most].split())[:most])


def class_name(error: BaseException) -> str:
    """Return the name of an exception's class, which a metaclass cannot keep from us."""
    name: str = type.__dict__["__name__"].__get__(type(error))
    return plain(name)


def ungrouped(error: BaseException) -> BaseException:
    """Return the exception in a group of one, which `asyncio.TaskGroup` makes of any; any other as it is."""
    for _ in range(SHOWN_EXCEPTIONS):
        inside = _inside(error)
        if len(inside) != 1 or not _frames(
            inside[0]
        ):  # it comes from another process, and has left its frames there
            break
        error = inside[0]
    return error


def message(error: BaseException) -> str:
    """Return what an exception says, in one line, without the values of rows that a driver adds."""
    return guarded(lambda: one_line(_message(error)), "")


def reason(error: BaseException) -> str:
    """Return what an exception says, or at least its class."""
    return message(error) or class_name(error)


def kind_of(error: BaseException) -> str:
    """Return the name of an exception's class, also of one that was raised in another process."""
    kept = guarded(lambda: plain(error.raised_as), None)  # type: ignore[attr-defined]
    return one_line(kept or class_name(error), 200)


def raised_at(error: BaseException) -> str:
    """Return ` (file.py:12)`, as `place_of` finds it, or nothing if there is none."""
    place = place_of(error)
    return f" ({place})" if place else ""


def place_of(error: BaseException) -> str:
    """Return `file.py:12`, the last frame in the user's own code, or nothing if there is none.

    It is that of the exception, or of the first with such a frame of those that it came from.
    """
    kept = guarded(lambda: plain(error.raised_at), None)  # type: ignore[attr-defined]  # in another process
    if kept is not None:
        return storable(kept[:300])
    for each in _origins(error):
        frames = [(frame.f_code.co_filename, line) for frame, line in _frames(each)]
        users = _users([filename for filename, _ in frames])
        if users:
            filename, line = frames[users[-1]]
            return f"{one_line(Path(filename).name, 200)}:{line}"
    return ""


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an exception and of those it came from, without the values of rows.

    It is empty if none of them was raised in a user's code or a library.
    """
    text = guarded(lambda: plain(error.traced), None)  # type: ignore[attr-defined]  # in another process
    if text is None:
        is_theirs = any(map(_called, _origins(error)))
        text = "\n\n".join(reversed([_traced(each) for each in _chain(error)])) if is_theirs else ""
    return storable(text)[-TRACEBACK_CHARACTERS:]


def _message(error: BaseException) -> str:
    orm = sys.modules.get("sqlalchemy.exc")
    if orm is not None and issubclass(type(error), orm.StatementError):
        beneath: BaseException | None = error.orig  # type: ignore[attr-defined]
        return _message(beneath) if beneath is not None else plain(error.args[0])
    driver = sys.modules.get("psycopg")  # slow to import; if the error is psycopg's, it is imported already
    if driver is not None and issubclass(type(error), driver.Error):
        primary = error.diag.message_primary  # type: ignore[attr-defined]
        if primary:
            is_quoting = (error.sqlstate or "").startswith(_ABOUT_DATA)  # type: ignore[attr-defined]
            return _QUOTED.sub('"…"', primary) if is_quoting else plain(primary)
    text = plain(str(error))[: 2 * ERROR_CHARACTERS]
    added = _ADDED.search(text)
    return text[: added.start()] if added else text


def _frames(error: BaseException) -> list[tuple[FrameType, int]]:
    """Return the frames of an exception and their lines, without asking the exception itself."""
    frames = []
    trace: TracebackType | None = BaseException.__dict__["__traceback__"].__get__(error)
    while trace is not None:
        frames.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    return frames


def _users(filenames: list[str]) -> list[int]:
    """Return the places of the frames that are in the user's own code.

    That is whatever is not a library; or, if all is, the package of what poller has called.
    """
    called = [(at, name) for at, name in enumerate(filenames) if not name.startswith((_OURS, "<"))]
    users = [at for at, name in called if not name.startswith(_LIBRARIES)]
    if users or not called:
        return users
    home = _package(called[0][1])
    return [at for at, name in called if name.startswith(home)]


def _package(filename: str) -> str:
    """Return the folder of the installed package that a file belongs to."""
    library = max((each for each in _LIBRARIES if filename.startswith(each)), key=len)
    return library + filename.removeprefix(library).partition("/")[0]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Return an exception and those that it came from."""
    current: BaseException | None = error
    for _ in range(SHOWN_EXCEPTIONS):
        if current is None:
            return
        yield current
        cause = BaseException.__dict__["__cause__"].__get__(current)
        is_hidden = BaseException.__dict__["__suppress_context__"].__get__(current)
        context = None if is_hidden else BaseException.__dict__["__context__"].__get__(current)
        current = cause or context


def _origins(error: BaseException) -> Iterator[BaseException]:
    """Return an exception, then those that it came from, with what is in their groups; one of poller's alone.

    Python itself makes exceptions that were raised nowhere: of a `StopIteration` that leaves a coroutine, say.
    """
    module = guarded(lambda: plain(vars(type(error))["__module__"]), "")
    for each in [error] if module.startswith("poller.") else _chain(error):
        yield each
        yield from _inside(each)[:SHOWN_EXCEPTIONS]


def _called(error: BaseException) -> list[tuple[FrameType, int]]:
    """Return the frames that are not poller's."""
    return [each for each in _frames(error) if not each[0].f_code.co_filename.startswith(_OURS)]


def _traced(error: BaseException, depth: int = 0) -> str:
    lines = [_frame(frame, line) for frame, line in _called(error)[-SHOWN_FRAMES:]]
    text = message(error)
    inside = _inside(error)[:SHOWN_EXCEPTIONS] if depth < SHOWN_EXCEPTIONS else ()
    group = [indent(_traced(each, depth + 1), "  | ") for each in inside]
    return "\n".join([*lines, f"{class_name(error)}: {text}" if text else class_name(error), *group])


def _inside(error: BaseException) -> tuple[BaseException, ...]:
    """Return the exceptions in a group; none of any other."""
    if not issubclass(type(error), BaseExceptionGroup):
        return ()
    inside: tuple[BaseException, ...] = BaseExceptionGroup.__dict__["exceptions"].__get__(error)
    return inside


def _frame(frame: FrameType, line: int) -> str:
    code = frame.f_code
    text = linecache.getline(code.co_filename, line).strip()
    where = f'  File "{code.co_filename}", line {line}, in {code.co_name}'
    return f"{where}\n    {text}" if text else where
