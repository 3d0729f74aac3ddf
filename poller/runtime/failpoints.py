"""Steps of the engine at which its tests have a process killed, stopped or held: never by chance, always right there.

Armed by the environment variable `POLLER_TEST_FAILPOINTS`, which is read once, at the start: `step=action@file`,
several separated by `;`. The first process that reaches the step makes the file and acts; no other process does.
`kill` and `stop` send the process SIGKILL or SIGSTOP; `hold` keeps the thread until `file.go` is there.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from time import sleep

VARIABLE = "POLLER_TEST_FAILPOINTS"

_ARMED: dict[str, tuple[str, Path]] = {}
for _each in filter(None, os.environ.get(VARIABLE, "").split(";")):
    _step, _, _what = _each.partition("=")
    _action, _, _file = _what.partition("@")
    _ARMED[_step] = (_action, Path(_file))


def reach(step: str) -> None:
    """Do the action that the step is armed with, unless it has been done already."""
    if step in _ARMED:
        _act(*_ARMED[step])


def _act(action: str, file: Path) -> None:
    try:
        file.touch(exist_ok=False)
    except FileExistsError:
        return
    if action == "hold":
        while not file.with_name(f"{file.name}.go").exists():
            sleep(0.005)
    else:
        os.kill(os.getpid(), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[action])
