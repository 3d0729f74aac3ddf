"""`poller metrics` and `poller health`: what they need, and what they say without it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import poller
from poller.cli.probe import fault
from poller.telemetry.heartbeat_file import HeartbeatFile, path, read

if TYPE_CHECKING:
    import pytest

    from tests.command_line import InProcess
    from tests.harness import Project


def test_metrics_without_its_extra_say_how_to_install_it(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, with 2; with it, an empty fleet has its workers' states and no sample of a process."""
    plain = here.run("metrics")
    assert (plain.returncode, plain.stderr) == (0, "")
    assert 'poller_workers{state="alive"} 0.0' in plain.stdout
    assert "poller_up" not in plain.stdout
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    without = here.run("metrics")
    assert (without.returncode, without.stdout) == (2, "")
    assert without.stderr == "metrics need prometheus_client; run: pip install 'poller[metrics]'\n"


def test_health_imports_neither_handlers_nor_the_driver_and_finds_its_file_in_each_place(
    project: Project,
) -> None:
    """The option, the variable, the settings; one that is missing, stale or unreadable is 1 with one line."""
    project.handlers("raise SystemExit('imported')")
    file = project.folder / "beat"
    missing = project.run("health", "--heartbeat-file", "beat")
    assert (missing.returncode, missing.stderr) == (1, "no poller run shows a heartbeat in beat\n")
    HeartbeatFile(file).write("running")
    assert project.run("health", "--heartbeat-file", "beat").returncode == 0
    assert project.run("health", POLLER_HEARTBEAT_FILE="beat").returncode == 0
    assert project.run("health").returncode == 1
    (project.folder / "poller.toml").write_text("heartbeat-file = 'beat'")
    assert project.run("health").returncode == 0
    assert project.run("health", "--json").returncode == 2
    odds = [f'{{"pid": {pid}, "monotonic": {at}}}' for pid, at in ((1, "1e18"), (1, "NaN"), ("1e999", 1))]
    for odd in ("no JSON", "[" * 100_000, *odds):
        file.write_text(odd)
        ended = project.run("health")
        assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1), odd[:30]
        assert "Error" not in ended.stderr
    file.unlink()
    os.mkfifo(file)  # nobody writes into it: a probe that waited for that would tell nothing
    assert project.run("health", timeout=10).returncode == 1
    in_a_folder_that_is_gone = (
        f"mkdir gone; cd gone; rmdir ../gone; exec {sys.executable} -P -m poller health"
    )
    told = subprocess.run(
        ["sh", "-c", in_a_folder_that_is_gone],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": str(Path(poller.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stderr) == (
        2,
        "the working directory cannot be used: No such file or directory; change to one that is there\n",
    )
    loaded = project.run("health", "--heartbeat-file", "beat", PYTHONVERBOSE="1").stderr
    for module in ("typer", "psycopg", "sqlalchemy", "handlers"):
        assert f"import '{module}'" not in loaded
    assert "import 'poller.telemetry.heartbeat_file'" in loaded


def test_the_usual_place_is_the_folders_and_this_users_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor that ends takes its own heartbeat away, and no other's."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    usual = path(None)
    beat = HeartbeatFile(usual)
    beat.write("running")
    assert usual.parent.stat().st_mode & 0o777 == 0o700
    said = read(usual)
    assert said is not None
    assert (said.pid, said.is_fresh) == (os.getpid(), True)
    owner = os.getuid()
    with monkeypatch.context() as another:
        another.setattr(os, "getuid", lambda: 4711)
        if owner == 0:  # whose heartbeat everyone believes
            os.chown(usual, 4712, -1)
        assert read(usual) is None
        assert "another user's" in str(fault(usual))
    os.chown(usual, owner, -1)
    usual.write_text(usual.read_text().replace(str(os.getpid()), "1"))
    beat.remove()
    assert usual.exists()
    beat.write("running")
    beat.remove()
    assert not usual.exists()
