"""The file by which a supervisor shows other processes of its host that its loops run.

The time in it is the kernel's monotonic one, which all processes of a host share and nobody sets. By default it stands
where files of running programs do, named by the working folder; the directory is this user's own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from time import monotonic
from typing import NamedTuple

STALE_SECONDS = 15.0  # older than this, its supervisor stands still or is gone


def path(given: str | None) -> Path:
    """Return the file: as given, or by the working folder."""
    if given:
        return Path(given)
    name = hashlib.sha256(os.fsencode(Path.cwd())).hexdigest()[:16]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    home = Path(runtime) / "poller" if runtime else _temporary() / f"poller-{os.getuid()}"
    return home / f"{name}.heartbeat"


def _temporary() -> Path:
    """Return the folder for temporary files; where none can be written to, the one that the first write will name."""
    try:
        return Path(tempfile.gettempdir())
    except OSError:
        return Path("/tmp")  # noqa: S108 - nothing is written there


class Beat(NamedTuple):
    """A heartbeat: of which process, and how many seconds ago."""

    pid: int
    age: float

    @property
    def is_fresh(self) -> bool:
        """Whether its supervisor's loops run; one of before the host's start is in the future."""
        return 0 <= self.age <= STALE_SECONDS


class HeartbeatFile:
    """Writes the file.

    Args:
        file: where.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._new = file.with_name(f"{file.name}.{os.getpid()}")

    def write(self, state: str) -> None:
        """Say that the loops run.

        Raises:
            OSError: it cannot be written.
        """
        if not self._file.parent.exists():
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_others(self._file.parent)
        said = {"pid": os.getpid(), "monotonic": monotonic(), "state": state}
        self._new.write_text(json.dumps(said), encoding="utf-8")
        self._new.replace(self._file)

    def remove(self) -> None:
        """Take it away: this supervisor ends in order. Another's is left."""
        for each in (self._new, self._file):
            said = read(self._file)
            if each == self._new or (said is not None and said.pid == os.getpid()):
                with contextlib.suppress(OSError):
                    each.unlink(missing_ok=True)


def read(file: Path) -> Beat | None:
    """Return the last heartbeat; None if there is none that this user may believe: its own, or root's."""
    try:
        if is_anothers(file) or not file.is_file():  # reading a pipe would wait for who writes into it
            return None
        said = json.loads(file.read_text(encoding="utf-8"))
        return Beat(int(said["pid"]), monotonic() - float(said["monotonic"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def is_anothers(file: Path) -> bool:
    """Return whether a file is another user's, whom only root may believe."""
    with contextlib.suppress(OSError):
        return bool(os.getuid()) and file.stat().st_uid not in (0, os.getuid())
    return False


def _refuse_others(folder: Path) -> None:
    """Refuse a directory in the default place that is another user's: a link in it may lead anywhere."""
    owner = folder.stat(follow_symlinks=False).st_uid
    if folder.name == f"poller-{os.getuid()}" and owner != os.getuid():
        msg = f"{folder} belongs to another user"
        raise PermissionError(msg)
