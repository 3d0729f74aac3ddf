"""The embedded Postgres of root, which Postgres refuses to run as: nothing is opened, asked or taken over."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from poller.db import embedded, embedded_programs
from poller.errors import ConfigurationError
from tests.servers import as_account, can_run_servers, postmaster, query, temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN = 0o755
CLOSED = 0o700

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it is about what root does")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give an empty folder; no server in it outlives the test."""
    with temporary_folder() as path:
        yield path


@pytest.fixture
def nobody() -> pwd.struct_passwd:
    """Give an account that can run servers, but nothing else."""
    if not can_run_servers("nobody"):
        pytest.skip("nobody cannot reach the programs of this environment")
    return pwd.getpwnam("nobody")


def modes(path: Path) -> dict[Path, tuple[int, int, int]]:
    """Return mode and owner of a folder and of all those above it."""
    found = {above: above.stat() for above in (path, *path.parents)}
    return {above: (each.st_mode, each.st_uid, each.st_gid) for above, each in found.items()}


@pytest.mark.parametrize("mode", [OPEN, CLOSED], ids=["open", "closed"])
def test_root_opens_no_folder_to_others(folder: Path, mode: int) -> None:
    """The server runs as another account, even below folders closed to it, and nobody's modes change."""
    inner = folder / "inner"
    inner.mkdir(mode=mode)
    folder.chmod(mode)
    before = modes(inner)
    url = embedded.start(inner)

    assert query(url, "select 1") == 1
    assert Path("/proc", str(postmaster(inner))).stat().st_uid != 0
    assert modes(inner) == before
    assert not (inner / ".poller/data").is_symlink()
    assert embedded.stop(inner)
    assert embedded.start(inner) == url
    assert modes(inner) == before


def test_root_begins_nothing_in_somebodys_folder(folder: Path, nobody: pwd.struct_passwd) -> None:
    """The owner may swap `.poller` for a link at any moment; the line says as whom to run the command."""
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    target = folder / "target"
    target.mkdir()
    (folder / ".poller").symlink_to(target)
    for made in (False, True):
        with pytest.raises(ConfigurationError, match="belongs to nobody; run this as nobody"):
            embedded.start(folder)
        assert target.stat().st_uid == 0
        assert list(target.iterdir()) == []
        if not made:
            (folder / ".poller").unlink()
            (folder / ".poller").mkdir()
            os.chown(folder / ".poller", nobody.pw_uid, nobody.pw_gid)


def test_what_its_owner_has_begun_root_uses_and_stops(folder: Path, nobody: pwd.struct_passwd) -> None:
    """To ask a server that runs is no risk to root."""
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    url = as_account("nobody", lambda: embedded.start(folder))
    assert embedded.start(folder) == url
    assert query(url, "select 1") == 1
    assert embedded.stop(folder)
    assert as_account("nobody", lambda: embedded.start(folder)) == url


def test_root_does_not_write_through_links_of_others(folder: Path, nobody: pwd.struct_passwd) -> None:
    """The owner of a folder cannot have root write to, or give away, a file elsewhere."""
    target = folder / "target"
    target.write_text("root's")
    home = folder / "theirs/.poller"
    home.mkdir(parents=True)
    (home / "lock").symlink_to(target)
    for path in (home.parent, home):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)

    with pytest.raises(ConfigurationError):
        embedded.start(home.parent)
    assert target.stat().st_uid == 0
    assert target.read_text() == "root's"


def test_programs_below_a_closed_folder_are_copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment below /root works: not its folders are opened, but Postgres' programs copied, once."""
    programs = embedded_programs.newest()
    closed = folder / "closed"
    closed.mkdir(mode=CLOSED)
    for name in (programs.parts[-3], f"{programs.parts[-3]}.libs"):
        (closed / name).symlink_to(programs.parents[2] / name)
    hidden = closed.joinpath(*programs.parts[-3:])
    folder.chmod(OPEN)
    monkeypatch.setattr(embedded_programs, "newest", lambda: hidden)
    monkeypatch.setattr(embedded_programs, "shipped", lambda: {"18": hidden})
    monkeypatch.setattr(embedded_programs, "_COPIES", folder / "copies")

    assert query(embedded.start(folder), "select 1") == 1
    copied = [path.name for path in (folder / "copies").iterdir()]
    assert embedded.stop(folder)
    assert embedded.start(folder)
    assert [path.name for path in (folder / "copies").iterdir()] == copied
    assert len(copied) == 1
    assert stat.S_IMODE(closed.stat().st_mode) == CLOSED
    embedded.stop(folder)
