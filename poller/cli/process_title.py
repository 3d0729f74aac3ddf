"""Hides the password of a `--database` on the command line from `ps`."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

_START, _END = 45, 46  # of the arguments in memory, counted from the state: proc(5), /proc/pid/stat
_SECRET = re.compile(rb"(?<=://)[^\0]+|(?<=password=)[^\0]+", re.IGNORECASE)


def hide_urls() -> bool:
    """Overwrite possible passwords in this process's own arguments; tell whether that worked.

    Python has long copied its arguments; other users see the memory that held them at first. A user
    who looked before this has seen them, so passwords still do not belong on command lines.
    """
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = int(fields[_START]), int(fields[_END])
        if not 0 < start < end:
            return False
        memory = (ctypes.c_char * (end - start)).from_address(start)
        if not Path("/proc/self/cmdline").read_bytes().startswith(memory.raw.partition(b"\0")[0]):
            return False
        memory.raw = _SECRET.sub(lambda found: b"*" * len(found[0]), memory.raw)
    except (OSError, ValueError, IndexError):
        return False
    return True
