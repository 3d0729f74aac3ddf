"""Two programs on one database that have a job of one name: whoever starts is told, with both places."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tests.harness import Project, wait_until, workers_of

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    import psycopg

CODE = """
from poller import cron

@cron("{line}")
def report(): pass
"""


def test_a_job_that_another_program_declares_otherwise_is_told_with_both_places(
    project: Project, db: psycopg.Connection[Any], tmp_path: Path, url: str
) -> None:
    """The same declaration, as of a second host of one program, is none to speak of."""
    project.handlers(CODE.format(line="0 3 * * *"))
    project.start("run").wait_for_log("is ready")
    [(_, pid)] = workers_of(db)
    same = project.start("run")
    wait_until("it is there", lambda: len(workers_of(db)) == 2)
    assert "declared differently" not in same.log

    folder = tmp_path / "other"
    folder.mkdir()
    with Project(folder, url) as other:
        other.handlers(CODE.format(line="0 4 * * *"))
        said = other.start("run")
        said.wait_for_log("warning: job report is declared differently by another program")
        said.wait_for_log("is ready")
        [line] = [each for each in said.log.splitlines() if "declared differently" in each]

    assert f"{other.folder}/handlers/__init__.py:5" in line
    assert f"there={socket.gethostname()}/" in line
    assert pid in {each for _, each in workers_of(db)}
