"""The file descriptors that a worker keeps in reserve, in a process of its own, whose limit can be lowered."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import os, resource, time
from poller.fleet import descriptors

used = len(os.listdir("/proc/self/fd")) - 1
resource.setrlimit(resource.RLIMIT_NOFILE, (used + 3, used + 3))
reserve = descriptors.Descriptors()
descriptors.SECONDS = 0.05
first = reserve.have_run_out()
time.sleep(0.1)
print(first, reserve.have_run_out())
os.close(os.dup(0))  # there is room again
print(reserve.have_run_out())
"""


def test_a_low_limit_leaves_a_smaller_reserve_and_no_error() -> None:
    """It has run out after some seconds only, not at a moment's peak; and is released then."""
    ended = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("False True\nFalse\n", "")
