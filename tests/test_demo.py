"""The example: files become rows, and rows an index of what the files hold."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import pytest

from handlers import library, maintenance, seed
from poller import Transition, registry
from poller.testing import Engine, row

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from poller.testing import Done

GOOD = b"class A:\n    async def one(self): ...\n\ndef two(): ...\n"
FILES = {
    "good.py": GOOD,
    "empty.py": b"",
    "deep/latin.py": "# coding: latin-1\nnaïve = 1\n".encode("latin-1"),
    "wrong.py": b"print 'hello'\n",
    "nul.py": b"a = 1\0\n",
    "unreadable.py": b"a = '\xff'\n",
    "claims.py": b"# coding: no-such-encoding\n",
    "brackets.py": b"(" * 100_000,
    "minuses.py": b"-" * 100_000 + b"1",
    "dots.py": b"a" + b".a" * 50_000,
}
GONE = "gone.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small library of files, good and bad, beside packages of others."""
    for name, content in {**FILES, GONE: GOOD, "site-packages/other.py": GOOD, "notes.txt": b""}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return tmp_path


@pytest.fixture
def seeded(folder: Path, db: psycopg.Connection[Any]) -> Path:
    """The same folder, known to the database."""
    seed.create(db)
    seed.refresh(db, folder)
    return folder


def index(url: str) -> list[Done]:
    """Run all that is due."""
    with Engine(url, library.index) as engine:
        return engine.run_due()


def known(db: psycopg.Connection[Any], folder: Path, name: str) -> tuple[Any, ...] | None:
    """Return what the database knows of a file."""
    question = (
        "select status, sha256, size, lines, functions, classes, error from source_file where path = %s"
    )
    return db.execute(question, [str(folder / name)]).fetchone()


def test_each_source_file_of_the_folder_becomes_a_pending_row(
    folder: Path, db: psycopg.Connection[Any]
) -> None:
    """Packages that were installed beside the library, and what is not Python, are left out."""
    seed.create(db)
    assert seed.refresh(db, folder) == (11, 11)

    rows = db.execute("select path, status from source_file").fetchall()
    assert sorted(rows) == sorted((str(folder / name), "pending") for name in [*FILES, GONE])


def test_seeding_again_makes_only_changed_files_pending(seeded: Path, db: psycopg.Connection[Any]) -> None:
    """So that `make run` can be repeated, and takes up what has changed since."""
    db.execute("update source_file set status = 'normal'")
    os.utime(seeded / "good.py", (1, 1))

    assert seed.refresh(db, seeded) == (11, 1)
    pending = db.execute("select path from source_file where status = 'pending'").fetchall()
    assert pending == [(str(seeded / "good.py"),)]


def test_python_becomes_normal_with_what_it_holds(
    seeded: Path, db: psycopg.Connection[Any], url: str
) -> None:
    """An empty file is Python, and so is one in the encoding that it names."""
    index(url)

    digest = hashlib.sha256(GOOD).hexdigest()
    assert known(db, seeded, "good.py") == ("normal", digest, len(GOOD), 4, 2, 1, None)
    empty = hashlib.sha256(b"").hexdigest()
    assert known(db, seeded, "empty.py") == ("normal", empty, 0, 0, 0, 0, None)
    latin = FILES["deep/latin.py"]
    digest = hashlib.sha256(latin).hexdigest()
    assert known(db, seeded, "deep/latin.py") == ("normal", digest, len(latin), 2, 0, 0, None)


@pytest.mark.parametrize(
    "name", ["wrong.py", "nul.py", "unreadable.py", "claims.py", "brackets.py", "minuses.py", "dots.py"]
)
def test_what_is_no_python_is_rejected_with_the_reason(
    seeded: Path, db: psycopg.Connection[Any], url: str, name: str
) -> None:
    """At the first attempt: trying again would not help."""
    done = {each.key: each for each in index(url)}[str(seeded / name)]

    assert (done.became, done.to, done.attempt) == ("moved", "rejected", 1)
    status, sha256, size, *counts, error = known(db, seeded, name) or ()
    assert (status, size, counts) == ("rejected", len(FILES[name]), [None, None, None])
    assert sha256 == hashlib.sha256(FILES[name]).hexdigest()
    assert "Error: " in error


def test_a_file_that_went_away_before_its_turn_is_rejected(
    seeded: Path, db: psycopg.Connection[Any], url: str
) -> None:
    """Between the seeding and the handling a file may be deleted."""
    (seeded / GONE).unlink()

    index(url)

    assert known(db, seeded, GONE) == ("rejected", None, None, None, None, None, "the file is gone")


def test_a_file_that_cannot_be_read_is_tried_again(
    seeded: Path, db: psycopg.Connection[Any], url: str
) -> None:
    """A fault of the disk or of the rights may pass, so it is not the file's end."""
    (seeded / GONE).unlink()
    (seeded / GONE).mkdir()

    done = {each.key: each for each in index(url)}[str(seeded / GONE)]

    assert done.became == "retrying"
    assert "IsADirectoryError" in (done.error or "")
    assert (known(db, seeded, GONE) or ())[0] == "pending"


def test_every_row_is_handled_once(seeded: Path, db: psycopg.Connection[Any], url: str) -> None:
    """Bad files do not hold up the good ones."""
    done = index(url)

    assert sorted(each.key for each in done) == sorted(str(seeded / name) for name in [*FILES, GONE])
    assert {each.became for each in done} == {"moved"}
    assert db.execute("select count(*) from source_file where status = 'pending'").fetchone() == (0,)


def test_the_handler_can_be_called_without_a_database(folder: Path) -> None:
    """As any handler can: it is a function still."""
    answer = library.index(row(path=str(folder / "good.py")))

    assert isinstance(answer, Transition)
    assert answer.status == "normal"
    assert answer.columns["functions"] == 2


def test_the_package_has_the_handler_and_the_jobs() -> None:
    """`poller run` finds them without being told where, and the set-up is neither."""
    found = registry.load("handlers")
    assert [str(each) for each in found.handlers] == ["source_file:pending"]
    assert sorted(each.name for each in found.jobs) == ["purge library_sample", "rescan", "sample"]


def test_a_rescan_has_changed_files_indexed_again(
    seeded: Path, db: psycopg.Connection[Any], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """30 seconds after the last one; by then four samples were taken, one every 10."""
    monkeypatch.setattr(maintenance, "library", lambda: seeded)
    with Engine(url, library.index, maintenance.rescan, maintenance.sample) as engine:
        engine.run_due()
        os.utime(seeded / "good.py", (1, 1))
        engine.advance("31s")
        done = engine.run_due()

    assert [each.key for each in done if each.status == "pending"] == [str(seeded / "good.py")]
    outputs = db.execute("select output from poller.run where job = 'rescan' order by id").fetchall()
    assert outputs == [("11 files, 0 of them new or changed\n",), ("11 files, 1 of them new or changed\n",)]
    assert db.execute("select sum(files) from library_sample").fetchone() == (4 * 11,)
