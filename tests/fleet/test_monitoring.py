"""A fleet seen from outside: scrapes and probes of real supervisors, while workers, servers and loops fail them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import statistics
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from poller.fleet import listening, vitals
from poller.fleet.listening import Door, bound
from poller.fleet.service_manager import ServiceManager
from poller.fleet.signs_of_life import SignsOfLife
from poller.fleet.vitals import Vitals
from poller.runtime.failpoints import VARIABLE
from poller.services.loop import Loop
from poller.telemetry.metrics import BY_NAME, FLEET
from tests.harness import Project, parent, wait_until, workers_of
from tests.servers import cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness import Process

CODE = """
import time
from poller import fixed_rate

@handler("thing", status="pending", to="normal", attempts=2, due="at")
def work(row):
    if row.id % 100 == 0:
        raise ValueError("each hundredth")
    time.sleep(2 if row.id == 7 else 0.001)

@fixed_rate("1s")
def tick(): pass
"""
HELD_BACK = {each.name for each in FLEET if each.kind == "counter"}


class Answer(NamedTuple):
    """What a door has answered, and in how many seconds."""

    status: int
    text: str
    seconds: float

    @property
    def said(self) -> Any:
        """What it says as JSON."""
        return json.loads(self.text)


ROWS_MOVED = "poller_rows_total moved pending public.thing"


class Seen:
    """What a supervisor exports, from outside."""

    def __init__(self, process: Process) -> None:
        process.wait_for_log("listening at")
        found = re.search(r"listening at (127\.0\.0\.1:\d+)", process.log)
        assert found is not None
        self.process = process
        self._address = found[1]

    def get(self, path: str) -> Answer:
        """Ask."""
        return get(self._address, path)

    def numbers(self) -> dict[str, float]:
        """Return the numbers by their names and labels."""
        return numbers(self.get("/metrics").text)


def get(address: str, path: str) -> Answer:
    """Ask a door."""
    began = time.perf_counter()
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return Answer(answer.status, answer.read().decode(), time.perf_counter() - began)
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read().decode(), time.perf_counter() - began)


def numbers(text: str) -> dict[str, float]:
    """Return numbers by their names and labels."""
    return {
        f"{each.name} {' '.join(each.labels[key] for key in sorted(each.labels))}".strip(): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def fleet(found: dict[str, float]) -> dict[str, float]:
    """Return the numbers of the fleet alone."""
    names = {each.name for each in FLEET}
    return {name: number for name, number in found.items() if name.partition(" ")[0] in names}


def counters(found: dict[str, float]) -> dict[str, float]:
    """Return the counters of the fleet alone."""
    return {name: number for name, number in found.items() if name.partition(" ")[0] in HELD_BACK}


def make_things(db: psycopg.Connection[Any], first: int, last: int) -> None:
    """Make pending rows."""
    db.execute(
        "create table if not exists thing"
        " (id int primary key, status text not null default 'pending', at timestamptz not null default now())"
    )
    db.execute("create index if not exists thing_pending on thing (id) where status = 'pending'")
    db.execute("insert into thing select generate_series(%s::int, %s)", [first, last])


def moved_by(db: psycopg.Connection[Any]) -> float | None:
    """Return how many rows have moved, as it was measured."""
    asked = "select value from poller.gauge where name = 'rows_total' and labels ->> 'outcome' = 'moved'"
    found = db.execute(asked).fetchone()
    return None if found is None else found[0]


def measured(db: psycopg.Connection[Any], supervisors: list[Seen]) -> list[dict[str, float]]:
    """Have the fleet measured now, and return what each supervisor exports then."""

    def are_equal() -> list[dict[str, float]]:
        found = [each.numbers() for each in supervisors]
        at = db.execute("select min(at) from poller.gauge where name = 'workers'").fetchone()
        is_new = at is not None and at[0] is not None and at[0] > asked[0]
        is_read = all(
            each.get(ROWS_MOVED) == moved_by(db) for each in found
        )  # and not what was measured before
        return found if is_new and is_read and all(fleet(each) == fleet(found[0]) for each in found) else []

    [asked] = db.execute("select poller.now()").fetchall()
    db.execute("update poller.gauge set at = at - interval '20 seconds'")
    db.execute("notify poller_supervisor, 'gauge'")
    return wait_until("all export the same", are_equal)


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_no_counter_goes_back_over_kills_restarts_and_purges(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """All supervisors export the same of the fleet; sums over their processes count each attempt once."""
    make_things(db, 1, 2000)
    project.handlers(CODE)

    def start() -> Seen:
        return Seen(project.start("run", "--workers", "2", "--listen", "127.0.0.1:0"))

    def is_done() -> bool:
        [(all_rows, waits)] = db.execute(
            "select count(*), count(*) filter (where status = 'pending' and id % 100 > 0) from thing"
        ).fetchall()
        states = "select state, count(*) from poller.attempt group by 1"
        return waits == 0 and db.execute(states).fetchall() == [("parked", all_rows // 100)]

    supervisors = [start(), start()]
    wait_until("all workers have come", lambda: len(workers_of(db)) == 4)
    wait_until("the rows are done", is_done)
    before = measured(db, supervisors)[0]
    assert before["poller_rows_total moved pending public.thing"] == 1980
    assert before["poller_rows_total retried pending public.thing"] == 20
    assert before["poller_rows_total parked pending public.thing"] == 20
    assert before["poller_rows parked pending public.thing"] == 20
    assert before["poller_workers alive"] == 4
    wait_until("workers have told what they did", lambda: _attempts(supervisors) == 2020)

    goes_on = supervisors[0].process.pid
    os.kill(next(pid for _, pid in workers_of(db) if parent(pid) == goes_on), signal.SIGKILL)
    db.execute(
        "delete from poller.event; delete from poller.move; delete from poller.tally; delete from poller.run"
    )
    wait_until("another worker has come", lambda: len(workers_of(db)) == 4)
    supervisors[1].process.signal(signal.SIGTERM)
    assert supervisors[1].process.wait() == 0
    supervisors[1] = start()
    make_things(db, 2001, 3000)
    wait_until("the further rows are done", is_done)

    after = measured(db, supervisors)[0]
    assert after["poller_rows_total moved pending public.thing"] == 2970
    assert after["poller_rows_total parked pending public.thing"] == 30
    assert {name for name, number in counters(before).items() if after.get(name, -1) < number} == set()
    assert sum(each.numbers()["poller_worker_restarts_total"] for each in supervisors) == 1
    slots = "poller_slots poller.run:tick"
    wait_until(
        "each has told its slots", lambda: [each.numbers().get(slots) for each in supervisors] == [16, 16]
    )


def _attempts(supervisors: list[Seen]) -> float:
    name = "poller_handler_duration_seconds_count "
    found = [each.numbers() for each in supervisors]
    return sum(number for each in found for key, number in each.items() if key.startswith(name))


def test_what_is_exported_is_what_the_catalogue_says(project: Project, db: psycopg.Connection[Any]) -> None:
    """Names, kinds and labels; and none of it says whose process, which host, which row or which error it was."""
    make_things(db, 1, 200)
    project.handlers(CODE)
    seen = Seen(project.start("run", "--listen", "127.0.0.1:0"))
    wait_until("a run was late", lambda: "poller_run_lateness_seconds_count tick" in seen.numbers())
    wait_until(
        "a retry was picked up", lambda: "poller_pickup_seconds_count pending public.thing" in seen.numbers()
    )
    db.execute("insert into poller.message_total values ('oncall', 'sent', 2)")
    measured(db, [seen])
    text = seen.get("/metrics").text
    assert 'poller_alerts_total{outcome="sent",target="oncall"} 2.0' in text
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert family.type == BY_NAME[name].kind
        for each in family.samples:
            assert set(each.labels) - {"le"} == set(BY_NAME[name].labels), each
    assert [name for name in BY_NAME if name.removesuffix("_total") not in text] == []
    for secret in (str(workers_of(db)[0][1]), socket.gethostname(), "ValueError", "hundredth"):
        assert f'="{secret}' not in text
    printed = project.run("metrics")
    assert (printed.returncode, fleet(numbers(printed.stdout))) == (0, fleet(numbers(text)))
    assert fleet(numbers(printed.stdout)) == numbers(printed.stdout), "and nothing of a process"


# --- probes ----------------------------------------------------------------------------------------------------------


def test_probes_while_postgres_is_stopped_and_while_the_fleet_stops(tmp_path: Path) -> None:
    """It lives, answered in no time; it is not ready, and says why."""
    with cluster() as server, Project(tmp_path, server.url) as project:
        with psycopg.connect(server.url, autocommit=True) as db:
            make_things(db, 1, 5)
        project.handlers(CODE)
        seen = Seen(project.start("run", "--listen", "127.0.0.1:0", "--grace", "1s"))
        wait_until("it is ready", lambda: seen.get("/readyz").status == 200)
        server.stop("immediate")
        wait_until("it is not", lambda: seen.get("/readyz").status == 503)
        answers = [(seen.get("/healthz"), seen.get("/readyz")) for _ in range(1000)]
        assert {alive.status for alive, _ in answers} == {200}
        assert {ready.status for _, ready in answers} == {503}
        assert all("database" in ready.said["failing"] for _, ready in answers)
        quarter, *_ = statistics.quantiles((alive.seconds for alive, _ in answers), n=4)
        assert quarter < 0.01  # others may have the machine for the rest
        assert project.run("health").returncode == 0
        server.start()
        wait_until("it is ready again", lambda: seen.get("/readyz").status == 200)
        with psycopg.connect(server.url, autocommit=True) as db:
            make_things(db, 7, 7)
            claimed = "select from poller.claim where '7' = any (keys)"
            wait_until("the row is in hand", lambda: db.execute(claimed).fetchone() is not None)
        seen.process.signal(signal.SIGTERM)
        wait_until("it drains", lambda: seen.get("/readyz").said["failing"] == ["draining"])
        assert seen.get("/healthz").status == 200
        assert seen.process.wait() == 0


def test_a_loop_that_stands_still_is_told_to_all_who_watch(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """/healthz is 503, the heartbeat grows old, systemd hears no more. It takes the ten seconds that a probe waits."""
    make_things(db, 1, 5)
    project.handlers(CODE)
    hold = project.folder / "hold"
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind("\0poller-test-" + str(os.getpid()))
    heard.settimeout(0)
    started = project.start(
        "run",
        *("--listen", "127.0.0.1:0", "--heartbeat-file", "beat"),
        NOTIFY_SOCKET=f"@poller-test-{os.getpid()}",
        WATCHDOG_USEC="2000000",
        **{VARIABLE: f"supervisor looks=hold@{hold}"},
    )
    seen = Seen(started)
    wait_until("it was held", hold.exists)
    said = _listen(heard)
    assert {"READY=1", "WATCHDOG=1"} <= set(said)
    assert project.run("health", POLLER_HEARTBEAT_FILE="beat").returncode == 0
    wait_until("it does not live", lambda: seen.get("/healthz").status == 503)
    assert seen.get("/healthz").said["standing_still"] == ["poller main"]
    assert _listen(heard) == [], "no sign while it stood still"
    beat = project.folder / "beat"
    said_last = json.loads(beat.read_text())
    assert time.monotonic() - said_last["monotonic"] > 9
    beat.write_text(
        json.dumps({**said_last, "monotonic": time.monotonic() - 16})
    )  # rather than to wait for it
    old = project.run("health", "--heartbeat-file", "beat")
    assert (old.returncode, len(old.stderr.splitlines())) == (1, 1)
    hold.with_name("hold.go").touch()
    wait_until("it lives", lambda: seen.get("/healthz").status == 200)
    assert project.run("health", POLLER_HEARTBEAT_FILE="beat").returncode == 0
    started.signal(signal.SIGTERM)
    assert started.wait() == 0
    assert "STOPPING=1" in _listen(heard)
    gone = project.run("health", "--heartbeat-file", "beat")
    assert (gone.returncode, len(gone.stderr.splitlines())) == (1, 1)
    heard.close()


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("0", None), ("", None), ("²", None), ("-5", None), ("9" * 5000, None), ("5000000", 5.0), ("1", 1e-6)],
    ids=lambda each: str(each)[:10],
)
def test_a_watchdog_is_one_that_can_be(
    monkeypatch: pytest.MonkeyPatch, said: str, seconds: float | None
) -> None:
    """What is none is left alone; and the most impatient one keeps no processor busy."""
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody")
    monkeypatch.setenv("WATCHDOG_USEC", said)
    assert ServiceManager().watchdog_seconds == seconds
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody")
    monkeypatch.setenv("WATCHDOG_USEC", said)
    assert 0.05 <= SignsOfLife(None).every_seconds <= 2


def _listen(heard: socket.socket) -> list[str]:
    said: list[str] = []
    while True:
        try:
            said += heard.recv(4096).decode().splitlines()
        except BlockingIOError:
            return said


def test_a_service_that_stands_still_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as a round lasts; one that was stopped does not count, nor one that sleeps."""
    monkeypatch.setattr(vitals, "ROUND_SECONDS", 0.05)
    with _Site() as site:
        living = Vitals()
        living.begin([site])  # type: ignore[list-item]  # that part of a site that is asked
        wait_until("it is told", lambda: living.standing_still() == ["poller stuck"])
        site.go.set()
        wait_until("it goes on", lambda: living.standing_still() == [])
        site.loops[0].stop()
        assert living.standing_still() == []


class _Site:
    def __init__(self) -> None:
        self.go = threading.Event()
        self.slow_loops: list[Loop] = []
        self.loops = [Loop("stuck", lambda: 60.0 if self.go.wait() else 0.0), Loop("sleeper", lambda: 60.0)]

    def __enter__(self) -> Self:
        for each in self.loops:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        for each in self.loops:
            each.stop()


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """A door with room for a few, whose clients have half a second; its address is `its`."""
    monkeypatch.setattr(listening, "MOST_CLIENTS", 20)
    monkeypatch.setattr(listening, "MOST_SECONDS", 0.5)
    made = Door(bound("127.0.0.1:0"), Vitals(), tuple)
    made.start()
    yield made
    made.shutdown()
    made.server_close()


def its(door: Door) -> str:
    """Return the address of a door."""
    return f"127.0.0.1:{door.socket.getsockname()[1]}"


def test_clients_that_say_nothing_or_drip_hold_nothing_up(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest makes room for one that comes; who sends a byte now and then is cut off like the silent."""
    monkeypatch.setattr(listening, "MOST_SECONDS", 600)
    silent = [socket.create_connection(door.socket.getsockname()) for _ in range(40)]
    wait_until("they are served", lambda: len(door._clients) == 20)
    assert get(its(door), "/healthz").status == 200
    silent[0].settimeout(10)
    assert silent[0].recv(1) == b"", "it has made room"
    for each in silent:
        each.close()
    wait_until("they are forgotten", lambda: not door._clients)

    monkeypatch.setattr(listening, "MOST_SECONDS", 0.5)
    with (
        socket.create_connection(door.socket.getsockname()) as dripping,
        contextlib.suppress(ConnectionError),
    ):
        began = time.monotonic()
        while time.monotonic() - began < 10:
            dripping.sendall(b"G")
            time.sleep(0.05)
        pytest.fail("it was served for as long as it dripped")


def test_odd_requests_are_answered(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing or goes wrong is told; and whatever a scraper would rather have, it gets the text format."""
    assert get(its(door), "/readyz").said == {"ready": False, "failing": ["database", "schema", "workers"]}
    assert get(its(door), "/elsewhere").status == 404
    for wants in ("", "application/openmetrics-text;version=1.0.0", "text/plain;version=odd", "image/png"):
        asked = urllib.request.Request(f"http://{its(door)}/metrics?x=1", headers={"Accept": wants})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    monkeypatch.setattr(door, "collect", lambda: 1 / 0)
    broken = get(its(door), "/metrics")
    assert (broken.status, broken.text) == (500, "ZeroDivisionError: division by zero\n")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    missing = get(its(door), "/metrics")
    assert (missing.status, missing.text) == (
        501,
        "metrics need prometheus_client; run: pip install 'poller[metrics]'\n",
    )


def test_a_name_is_listened_at_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` is ::1 first, also where there is no IPv6."""
    plain = socket.getaddrinfo
    found = [*plain("192.0.2.1", 0, type=socket.SOCK_STREAM), *plain("127.0.0.1", 0, type=socket.SOCK_STREAM)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with bound("localhost:0") as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "address",
    [
        "taken",
        "127.0.0.1",
        "127.0.0.1:http",
        "127.0.0.1:70000",
        ":9091",
        "127.0.0.1:" + "9" * 5000,
        "nowhere.invalid:9091",
    ],
    ids=lambda each: each[:20],
)
def test_an_address_that_will_not_do_is_refused_before_anything_starts(
    project: Project, db: psycopg.Connection[Any], address: str
) -> None:
    """In one line, with 2: no handler is imported, nothing is registered."""
    project.handlers("raise SystemExit('imported')")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = project.run("run", POLLER_LISTEN=f"127.0.0.1:{port}" if address == "taken" else address)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    assert "listen" in ended.stderr
    assert db.execute("select count(*) from poller.handler").fetchone() == (0,)
