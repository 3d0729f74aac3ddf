"""What happened, said once: the engine emits events, and one place turns them into log lines.

An event is a log record of the logger `poller` whose `poller` attribute holds the fields. `setup` chooses how
it is printed; a program that embeds poller may attach its own handler to the logger instead.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

from poller.wording import traceback_of

LogFormat = Literal["text", "json"]

_settings: dict[str, Any] = {}
_always: dict[str, str] = {}
_log = logging.getLogger("poller")


def event(name: str, level: int = logging.INFO, /, **fields: Any) -> None:
    """Emit an event; its fields must hold no row values and no passwords."""
    if _log.isEnabledFor(level):
        _log.log(level, name, extra={"poller": fields})


def problem(name: str, /, **fields: Any) -> None:
    """Emit an event that somebody should look at."""
    event(name, logging.WARNING, **fields)


def trace(error: BaseException, /, **fields: Any) -> None:
    """Log what a handler raised, with its traceback, for `--log-level debug`; neither holds a row's values."""
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("handler raised", extra={"poller": fields, "traceback": traceback_of(error)})


def settings() -> dict[str, Any]:
    """Return what `setup` was called with, for processes that this one starts."""
    return dict(_settings)


def setup(form: LogFormat, level: str = "INFO", **fields: str) -> None:
    """Print the log on standard error, for people or as one JSON object a line, each with these fields."""
    _settings.update(form=form, level=level, **fields)
    _always.update(fields)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if form == "json" else _PlainLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    _log.setLevel(level.upper())


class _PlainLines(logging.Formatter):
    """`12:00:01 worker 3 · row parked · table=orders key=17`."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        fields = {**_always, **getattr(record, "poller", {})}
        words = [f"{name}={_short(value)}" for name, value in fields.items()]
        mark = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        line = f"{time} {mark}{record.getMessage()}" + (f" · {' '.join(words)}" if words else "")
        traceback = _traceback(self, record)
        return f"{line}\n{traceback}" if traceback else line


class _JsonLines(logging.Formatter):
    """One object a line, times in ISO 8601 with offset."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            "process": record.process,
            **_always,
            **getattr(record, "poller", {}),
        }
        traceback = _traceback(self, record)
        if traceback:
            line["traceback"] = traceback
        return json.dumps(line, default=str, ensure_ascii=False)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    told: str = getattr(record, "traceback", "")
    return formatter.formatException(record.exc_info) if record.exc_info else told


def _short(value: object) -> str:
    text = str(value)
    return repr(text) if " " in text or not text else text
