"""Matches a user's pattern against an untrusted text, in a process that can be stopped.

A malicious text can make a regular expression run for ages, and it holds the interpreter meanwhile: no other thread
runs, neither one that could end it nor the one that keeps the worker's leases. So its own process matches it.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_SECONDS = 0.1  # between two checks whether it must end
FOUND, MISSING = 10, 11  # exit statuses

_PROGRAM = f"""
import json, re, signal, sys
pattern, flags, text, seconds = json.load(sys.stdin.buffer)
signal.alarm(seconds)  # if those are gone who would end it
sys.exit({MISSING} if re.search(pattern, text, flags) is None else {FOUND})
"""


def is_found(
    pattern: re.Pattern[str], text: str, seconds: float, why: Callable[[], Exception | None]
) -> bool:
    """Tell whether a pattern is found in a text.

    Args:
        pattern: as `re.compile` has made it.
        text: where to look.
        seconds: after which it is given up in any case.
        why: gives a reason to end it earlier, which is raised.

    Raises:
        RuntimeError: it could not be matched: it took too much memory, say.
    """
    given = json.dumps([pattern.pattern, pattern.flags & ~re.DEBUG, text, max(1, math.ceil(seconds) + 1)])
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet) as process:  # noqa: S603 - ours
        # Not `communicate`, which forgets what it has still to write once it has timed out.
        writing = threading.Thread(target=_write, args=(process, given.encode()), daemon=True)
        writing.start()
        try:
            _wait(process, why)
        finally:
            process.kill()
            writing.join()
    if process.returncode not in (FOUND, MISSING):
        msg = f"{pattern.pattern!r} could not be matched: the process that matches it ended with {process.returncode}"
        raise RuntimeError(msg)
    return process.returncode == FOUND


def _write(process: subprocess.Popen[bytes], given: bytes) -> None:
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    with contextlib.suppress(OSError), process.stdin as pipe:  # the process may have ended before
        pipe.write(given)


def _wait(process: subprocess.Popen[bytes], why: Callable[[], Exception | None]) -> None:
    while True:
        try:
            process.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if (reason := why()) is not None:
                raise reason from None
        else:
            return
