"""The log: one line for each event that has a sentence (`sentences`), for people or as JSON.

A line is a record of the logger `poller`. Its `event` names the event, `poller` holds the fields that are shown beside
the sentence, and `known` all of them. `setup` chooses how it is printed; a program that embeds poller may attach its own
handler to the logger instead.

A user's package may configure logging as it likes, when it is imported or later: that is about the user's own lines.
poller's go on.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from poller.errors_in_words import traceback_of
from poller.telemetry import stderr, stdout
from poller.telemetry.printable import as_json, lines, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LogFormat = Literal["text", "json"]

_settings: dict[str, Any] = {}
_always: dict[str, str] = {}
_here: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar("poller log fields")
_printers: list[logging.Handler] = []


class _Kept(logging.Logger):
    """A logger that keeps printing when others configure theirs.

    `dictConfig` and `fileConfig` disable every logger that they do not name, and take the handlers of those that they
    name.
    """

    @property
    def disabled(self) -> bool:
        return False

    @disabled.setter
    def disabled(self, _: bool) -> None: ...

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        return level >= self.getEffectiveLevel()

    def removeHandler(self, hdlr: logging.Handler) -> None:  # noqa: N802 - logging's name
        if hdlr not in _printers:
            super().removeHandler(hdlr)


def _logger(name: str) -> logging.Logger:
    plain = logging.getLoggerClass()
    logging.setLoggerClass(_Kept)
    try:
        return logging.getLogger(name)
    finally:
        logging.setLoggerClass(plain)


_log = _logger("poller")
_logger("poller.handler")  # `Context.logger`


def is_asked_for(level: int) -> bool:
    """Return whether lines of a level are printed."""
    return _log.isEnabledFor(level)


def write(
    text: str,
    level: int,
    shown: Mapping[str, Any],
    *,
    event: str = "",
    known: Mapping[str, Any] | None = None,
) -> None:
    """Write a line.

    Args:
        text: the sentence; neither it nor a field may hold row values or passwords.
        level: of `logging`.
        shown: the fields beside it, in text form.
        event: the name of the event that it tells of.
        known: what else is known of it, for JSON.
    """
    if _log.isEnabledFor(level):
        with contextlib.suppress(Exception):  # a user's filter, on our logger, is not to end a service
            _log.log(level, text, extra={"poller": dict(shown), "event": event, "known": known or {}})


def problem(text: str, /, **fields: Any) -> None:
    """Log a problem that is not an event, and that an operator should look at."""
    write(text, logging.WARNING, fields)


def trace(error: BaseException, /, **fields: Any) -> None:
    """Log what a handler raised, with its traceback, for `--log-level debug`; neither holds a row's values."""
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("handler raised", extra={"poller": fields, "traceback": traceback_of(error)})


@contextlib.contextmanager
def about(fields: Mapping[str, str]) -> Iterator[None]:
    """Have each line that this thread writes meanwhile show these fields."""
    token = _here.set(fields)
    try:
        yield
    finally:
        _here.reset(token)


def settings() -> dict[str, Any]:
    """Return what `setup` was called with, for processes that this one starts."""
    return dict(_settings)


def setup(form: LogFormat, level: str = "INFO", **fields: str) -> None:
    """Print the log on standard error, for people or as one JSON object a line, each with these fields.

    After that, no writer ever waits for standard error (see `stderr`).
    """
    _settings.update(form=form, level=level, **fields)
    _always.update(fields)
    printer = logging.StreamHandler(stderr.unblock(_tell_dropped))
    printer.setFormatter(_JsonLines() if form == "json" else _PlainLines())
    _log.handlers[:] = _printers[:] = [printer]
    _log.propagate = False  # what a user's own handlers print would come twice
    _log.setLevel(level.upper())
    logging.lastResort = printer


def hear_others() -> None:
    """Print what other loggers warn of, too, unless the user's package, which is imported by now, has said how."""
    root = logging.getLogger()
    if _printers and not root.handlers:
        root.addHandler(_printers[0])


def forgive_output() -> None:
    """Let no handler of this process fail for what it prints (see `stdout`)."""
    stdout.forgive(_tell_lost)


def _tell_lost(error: OSError) -> None:
    problem(f"standard output cannot be written: {error.strerror}; what handlers print is lost")


def _tell_dropped(lines: int) -> None:
    problem(f"standard error was not read: {lines:,} lines of this process are lost")


class _PlainLines(logging.Formatter):
    """`12:00:01 worker 3 · row parked · table=orders key=17`."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        fields = {**_always, **_here.get({}), **getattr(record, "poller", {})}
        words = [f"{name}={_short(value)}" for name, value in fields.items()]
        mark = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        message = one_line(record.getMessage()) if record.name == _log.name else lines(record.getMessage())
        line = f"{time} {mark}{message}" + (f" · {' '.join(words)}" if words else "")
        if traceback := _traceback(self, record):
            line += "\n" + lines(traceback)
        return line.replace("\n", "\n    ")  # what goes on is not taken for a line of its own


class _JsonLines(logging.Formatter):
    """One object a line, times in ISO 8601 with offset."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": getattr(record, "event", ""),
            "message": record.getMessage(),
            "process": record.process,
            **_always,
            **_here.get({}),
            **getattr(record, "known", {}),
            **getattr(record, "poller", {}),
        }
        if not line["event"]:
            del line["event"]
        traceback = _traceback(self, record)
        if traceback:
            line["traceback"] = traceback
        return as_json(line)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    traceback: str = getattr(record, "traceback", "")
    return formatter.formatException(record.exc_info) if record.exc_info else traceback


def _short(value: object) -> str:
    text = one_line(value)
    return repr(text) if " " in text or not text else text
