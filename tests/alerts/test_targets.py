"""What reaches a target, and what one that is slow, broken or silent costs: its own messages, and nothing else."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
from email.header import decode_header, make_header
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler

from poller import job
from poller.alerts.survey import found
from poller.errors import ConfigurationError
from poller.targets.checking import require_targets
from poller.targets.sending import Letter, Undelivered, require, send
from poller.targets.settings import parse
from tests.alerts.stage import Stage
from tests.command_line import value
from tests.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

    from tests.website import Server, Visit

HOW = {"works": True}


@job(ping="env:HC", alerts=())
def backup() -> None:
    print("begun" + "é" * 10_000 + "done")  # noqa: T201 - its output
    if not HOW["works"]:
        raise ValueError("CANARY")


@job()
def one() -> None:
    raise ValueError("CANARY")


@job(alerts="other")
def two() -> None:
    raise KeyError("CANARY")


class Mailbox(MessageHandler):
    """Keeps the mails that it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Message] = []

    def handle_message(self, message: Message) -> None:
        self.mails.append(message)


@contextlib.contextmanager
def mail_server() -> Iterator[tuple[Mailbox, int]]:
    """Give a mailbox, and the port at which mails for it are taken."""
    mailbox = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield mailbox, port
    finally:
        controller.stop()


def test_a_health_check_hears_of_each_run_in_order(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its start and its end with the same id; while one cannot be sent, the later ones wait."""
    site.at("/hc/start", 503)
    site.at("/hc/fail")
    site.at("/hc")
    monkeypatch.setenv("HC", "hc.example.org/no-scheme")
    with Stage(url, site, monkeypatch, backup) as elsewhere:  # a host that has no address that works
        elsewhere.engine.trigger(backup)
        elsewhere.engine.run_due()
        elsewhere.tell()
        assert value(db, "select max(attempts) from poller.message") == 0  # they are left to other hosts
        elsewhere.advance("11m")
        elsewhere.alerting._survey_at = 0.0
        elsewhere.tell()
        given_up = "select count(*) from poller.message where state = 'given up'"
        assert value(db, given_up) == 2
    assert site.received == []
    db.execute("delete from poller.message")
    monkeypatch.setenv("HC", site.url("/hc"))
    with Stage(url, site, monkeypatch, backup, output=True) as stage:
        for works in (True, False):
            HOW["works"] = works
            stage.engine.trigger(backup)
            stage.engine.run_due()
        assert stage.tell() == []
        assert {each.path.partition("?")[0] for each in site.received} == {"/hc/start"}
        assert value(db, "select error from poller.message order by id limit 1") == "the answer was 503"
        site.received.clear()
        site.at("/hc/start")
        stage.advance("10s")
        stage.tell()
    assert [each.path.partition("?")[0] for each in site.received] == [
        "/hc/start",
        "/hc",
        "/hc/start",
        "/hc/fail",
    ]
    runs = [each.path.partition("rid=")[2] for each in site.received]
    assert (runs[0], runs[2]) == (runs[1], runs[3])
    assert len(set(runs)) == 2
    start, success, _, _ = site.received
    assert (start.method, start.body) == ("GET", b"")
    assert (success.method, success.body.decode().strip("é")) == ("POST", "done\n")
    assert 9_990 < len(success.body) <= 10_000


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of apprise and what it uses
def test_a_mail_is_sent_by_apprise(
    url: str, site: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """From a title and a text; the server's password is in no log."""
    caplog.set_level(logging.DEBUG)
    with mail_server() as (mailbox, port), Stage(url, site, monkeypatch, one) as stage:
        monkeypatch.setenv(
            "ONCALL", f"mailto://127.0.0.1:{port}?from=p@example.org&to=o@example.org&token=T0K3N"
        )
        stage.engine.trigger(one)
        stage.engine.run_due()
        stage.tell()
    [mail] = mailbox.mails
    assert mail["subject"].startswith("[poller] job one failed, ValueError at test_targets.py")
    assert "CANARY" not in mail.as_string()
    assert "T0K3N" not in caplog.text


HOSTILE = "task:<b>new</b>\r\nBcc: victim@example.org"  # a status may hold any character


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_people_get_is_whole_and_holds_no_header(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines of a mail are what they are; a flood comes in parts that the chat takes, nothing left out."""
    monkeypatch.setenv("CHAT", f"mmost://127.0.0.1:{site.port}/CHAT")
    site.at("/hooks/CHAT")
    targets = {"mail": {"url": "env:MAIL"}, "chat": {"url": "env:CHAT"}}
    many = [f"task:{'x' * 300}{number}" for number in range(20)]
    with mail_server() as (mailbox, port):
        monkeypatch.setenv("MAIL", f"mailto://127.0.0.1:{port}?from=p@example.org&to=o@example.org")
        with Stage(url, site, monkeypatch, one, to="mail", targets=targets) as stage:
            opened = [found("handler", name, "parked", ["chat"]) for name in many]
            stage.alerting._store.open_episodes([found("handler", HOSTILE, "parked", ["mail"]), *opened])
            stage.tell()
    assert db.execute("select target, state from poller.message order by target").fetchall() == [
        ("chat", "sent"),
        ("mail", "sent"),
    ]
    [mail] = mailbox.mails
    assert mail["bcc"] is None
    assert r"<b>new</b>\r\nBcc" in str(make_header(decode_header(mail["subject"])))
    bodies = {
        each.get_content_type(): str(each.get_payload(decode=True) or b"", "utf-8") for each in mail.walk()
    }
    lines = bodies["text/plain"].strip().splitlines()
    assert lines[-1] == str(value(db, "select key from poller.message where target = 'mail'"))
    assert lines[0].startswith(r"handler task:<b>new</b>\r\nBcc: victim@example.org has parked rows")
    assert "<b>" not in bodies.get("text/html", "")
    parts = [json.loads(each.body)["text"] for each in site.received if each.path == "/hooks/CHAT"]
    assert len(parts) > 1
    assert all(len(each) <= 4000 for each in parts)
    assert all(name in "".join(parts) for name in many)


def test_a_message_is_not_lost_on_its_way(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redirect that drops what a POST carries has delivered nothing; one that keeps it has."""
    site.redirect("/moved", site.url("/there"), 301)
    site.redirect("/here", site.url("/there"), 308)
    site.at("/there")
    error = "select error from poller.message"
    with Stage(url, site, monkeypatch, one) as stage:
        monkeypatch.setenv("ONCALL", site.url("/moved"))
        stage.engine.trigger(one)
        stage.engine.run_due()
        stage.tell()
        assert value(db, error) == "the answer was 301: the address has moved"
        monkeypatch.delenv("ONCALL")
        stage.advance("10s")
        stage.tell()
        assert value(db, error) == "the variable ONCALL is not set"
        monkeypatch.setenv("ONCALL", site.url("/here"))
        stage.advance("10s")
        stage.tell()
    assert value(db, "select state from poller.message") == "sent"
    assert [(each.method, each.path) for each in site.received] == [
        ("POST", "/moved"),
        ("POST", "/here"),
        ("POST", "/there"),
    ]
    assert site.received[-1].body == site.received[0].body


def endless(visit: Visit) -> None:
    """Answer 200, and go on with it until the test is over."""
    visit.send_response(200)
    visit.end_headers()
    visit.wfile.write(b"x")
    visit.server.release.wait(10)
    visit.close_connection = True


def test_what_a_target_answers_is_told_as_it_is(site: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A success is there with its head, whatever follows; a redirect elsewhere is called that."""
    monkeypatch.setattr("poller.targets.sending.SEND_SECONDS", 1.0)
    site.answers["/endless"] = site.answers["/endless/start"] = endless
    ping, message = Letter(key="k", ping="start"), Letter(key="k", content={})
    monkeypatch.setenv("ONCALL", site.url("/endless"))
    send("env:ONCALL", message)
    send("env:ONCALL", ping)

    def told(address: str, letter: Letter) -> str:
        monkeypatch.setenv("ONCALL", address)
        with pytest.raises(Undelivered) as found:
            send("env:ONCALL", letter)
        return str(found.value)

    site.redirect("/away", "http://localhost:9/", 307)
    site.redirect("/away/start", "ftp://127.0.0.1/", 302)
    assert told(site.url("/away"), message) == "the address has moved to another host"
    assert told(site.url("/away"), ping) == "the address has moved to another host"
    assert (
        told(site.url("/").replace("http:", "https:"), message)
        == "no answer: there is no TLS as it should be"
    )
    assert told("http://169.254.169.254/", message).startswith("its address is not valid as one of the web")
    assert told("json://127.0.0.1/", ping).startswith("its address is not valid as one of the web")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of apprise and what it uses
@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("env:ODD", "the variable ODD cannot be read: UnicodeEncodeError"),
        ("env:\ud800", r"the variable \ud800 cannot be read: UnicodeEncodeError"),
        ("file:/tmp/a\0b", r"the file /tmp/a\0b cannot be read: ValueError"),
        ("file:/tmp", "the file /tmp cannot be read: Is a directory"),
    ],
)
def test_an_address_that_cannot_be_read_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, reference: str, reason: str
) -> None:
    """At the start; and what became of a message, if it is found later, is a text that can be written down."""
    monkeypatch.setenv("ODD", "json://127.0.0.1/\udcff")
    with pytest.raises(ConfigurationError) as refused:
        require(reference)
    assert str(refused.value) == reason
    with pytest.raises(Undelivered) as undelivered:
        send(reference, Letter(key="k"))
    assert str(undelivered.value) == reason


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_heartbeat_to_what_takes_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that takes messages is no health check."""
    monkeypatch.setenv("MAIL", "mailto://127.0.0.1?from=p@example.org&to=o@example.org")
    require("env:MAIL")
    with pytest.raises(
        ConfigurationError, match=r"^alerts\.heartbeat: its address is not valid as one of the web"
    ):
        require_targets(parse({"heartbeat": "env:MAIL"}), [], [])


def test_pings_keep_their_order_while_the_first_is_in_other_hands(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another session that holds its row is neither waited for nor overtaken."""
    monkeypatch.setenv("HC", site.at("/hc"))
    HOW["works"] = True
    with Stage(url, site, monkeypatch, backup) as stage, psycopg.connect(url) as other:
        stage.engine.trigger(backup)
        stage.engine.run_due()
        stage.alerting._take_signals(["backup"])
        other.execute("select from poller.message where ping = 'start' for update")
        assert stage.alerting._store.take_messages(["ping:backup"], 30.0) == []
        other.rollback()
        [first] = stage.alerting._store.take_messages(["ping:backup"], 30.0)
        assert first.ping == "start"
        assert stage.alerting._store.take_messages(["ping:backup"], 30.0) == []


def test_a_database_that_goes_away_meanwhile_costs_no_second_delivery(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has become of a message is kept until it can be written down."""
    with Stage(url, site, monkeypatch, one) as stage:
        stage.engine.trigger(one)
        stage.engine.run_due()
        stage.alerting.run_once()
        stage.alerting._senders.wait(["oncall"], 5)
        session = stage.alerting._store.connection.info.backend_pid
        db.execute("select pg_terminate_backend(%s, 5000)", [session])
        with pytest.raises(psycopg.OperationalError):
            stage.alerting.run_once()
        stage.alerting.recover()
        assert stage.tell() == []
    assert len(site.received) == 1
    assert db.execute("select state, attempts from poller.message").fetchone() == ("sent", 1)


def test_a_process_that_was_stopped_does_not_keep_others_from_telling(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had taken in its transaction is there again, and told by another; it finds its session gone."""
    monkeypatch.setattr("poller.alerts.store.STOPPED_TIMEOUT", "2s")
    with Stage(url, site, monkeypatch, one) as stopped, Stage(url, site, monkeypatch, one) as other:
        other.engine.trigger(one)
        other.engine.run_due()
        store = stopped.alerting._store
        store.connection.execute("begin")
        assert store.hold_target(":signals")
        assert len(store.take_signals(["one"], 1, 10)) == 1
        assert other.tell() == []
        wait_until("it is told", other.tell)
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            store.now()
        stopped.alerting.recover()
        assert stopped.tell() == []
    assert value(db, "select sum(times) from poller.episode") == 1


def test_a_heartbeat_that_does_not_arrive_comes_again_soon(
    url: str, site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After seconds, from any supervisor, not after a minute; one that has arrived is the only one of its minute."""
    monkeypatch.setenv("HB", site.at("/beat", 503))
    with Stage(url, site, monkeypatch, one, heartbeat="env:HB") as stage:
        alerting = stage.alerting

        def beats() -> int:
            site.received.clear()
            alerting._beat_at = 0.0  # it is time to see whether it is this supervisor's turn
            alerting.run_once()
            alerting._senders.wait([":heartbeat"], 5)
            alerting._write_results()
            return len(site.received)

        assert beats() == 1
        assert alerting._beat_at - monotonic() < 10
        assert beats() == 0
        stage.advance("6s")
        site.at("/beat")
        assert beats() == 1
        stage.advance("50s")
        assert beats() == 0
        stage.advance("10s")
        assert beats() == 1
        stage.advance("60s")
        site.at("/beat", 429, retry_after="20")
        assert beats() == 1
        assert 15 < alerting._beat_at - monotonic() <= 20
        stage.advance("19s")
        assert beats() == 0
        stage.advance("1s")
        site.at("/beat", 503, retry_after="3600")  # for so long the fleet would seem dead
        assert beats() == 1
        stage.advance("60s")
        assert beats() == 1


def test_a_target_that_asks_for_time_gets_it(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its message comes again when `Retry-After` says, not before, but after an hour at the most; so does a ping."""
    monkeypatch.setenv("HC", site.at("/hc/start", 429, retry_after="120").removesuffix("/start"))
    wait = "select extract(epoch from next_at - poller.now()) from poller.message where target = %s and sent_at is null"
    with Stage(url, site, monkeypatch, one, backup) as stage:
        waits = stage.alerting._store.connection  # whose clock the stage moves
        site.at("/hook", 503, retry_after="90")
        stage.engine.trigger(one)
        stage.engine.trigger(backup)
        stage.engine.run_due()
        stage.tell()
        assert 85 < waits.execute(wait, ["oncall"]).fetchone()[0] <= 90
        assert 115 < waits.execute(wait, ["ping:backup"]).fetchone()[0] <= 120
        stage.advance("80s")
        site.received.clear()
        stage.tell()
        assert site.received == []
        site.at("/hook", 503, retry_after="2 weeks")
        stage.advance("11s")
        stage.tell()
        assert 2 < waits.execute(wait, ["oncall"]).fetchone()[0] < 20
        site.at("/hook", 429, retry_after="999999")
        stage.advance("20s")
        stage.tell()
        stage.alerting.survey()  # which brings back what a clock that ran ahead has written
        assert 3590 < waits.execute(wait, ["oncall"]).fetchone()[0] <= 3600
        site.at("/hook")
        stage.advance("1h")
        assert [each["subject"] for each in stage.tell()] == ["one"]


def test_a_target_that_does_not_answer_keeps_its_own_messages_only(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other's arrive meanwhile; its own come again, each with its key, once it answers."""

    def hang(visit: Visit) -> None:
        site.release.wait(10)

    monkeypatch.setattr("poller.targets.sending.SEND_SECONDS", 0.3)
    monkeypatch.setenv("OTHER", site.at("/other"))
    targets = {"oncall": {"url": "env:ONCALL"}, "other": {"url": "env:OTHER"}}
    with Stage(url, site, monkeypatch, one, two, targets=targets) as stage:
        site.answers["/hook"] = hang
        stage.engine.trigger(one)
        stage.engine.trigger(two)
        stage.engine.run_due()
        began = monotonic()
        stage.alerting.run_once()
        wait_until("the other target hears", lambda: "/other" in [each.path for each in site.received])
        stage.alerting._senders.wait(["oncall"], 5)
        assert monotonic() - began < 3
        stage.alerting.run_once()
        assert value(db, "select error from poller.message where target = 'oncall'") == "no answer in time"
        site.at("/hook")
        stage.advance("10s")
        assert stage.reasons() == [("one", "failed", "opened")]
    keys = {each.headers["idempotency-key"] for each in site.received if each.path == "/hook"}
    assert len(keys) == 1
    assert value(db, "select attempts from poller.message where target = 'oncall'") == 2


def test_a_sender_that_was_too_slow_changes_nothing(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one has taken its message meanwhile: what that reports holds."""
    with Stage(url, site, monkeypatch, one) as stage:
        stage.engine.trigger(one)
        stage.engine.run_due()
        stage.alerting._take_signals(["one"])
        stage.alerting._make_notices()
        stage.alerting._gather("oncall")
        store = stage.alerting._store
        [slow] = store.take_messages(["oncall"], 30.0)
        assert store.take_messages(["oncall"], 30.0) == []
        stage.advance("31s")
        [again] = store.take_messages(["oncall"], 30.0)
        assert (again.key, again.payload, again.attempts) == (slow.key, slow.payload, 2)
        store.failed(slow, None, "too late")
        assert value(db, "select state from poller.message") == "waiting"
        store.sent(again)
        store.failed(again, None, "it has arrived")
        assert value(db, "select state from poller.message") == "sent"
        total = "select target, outcome, messages from poller.message_total"
        assert db.execute(total).fetchall() == [("oncall", "sent", 1)]
        db.execute("delete from poller.message")
        assert value(db, "select messages from poller.message_total") == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of apprise and what it uses
def test_a_service_that_hangs_is_left_behind(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its library waits longer than it should: the message counts as not sent, and its target gets no other thread."""
    monkeypatch.setattr("poller.alerts.senders.PATIENCE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute, Stage(url, site, monkeypatch, one) as stage:
        port = mute.getsockname()[1]
        monkeypatch.setenv("ONCALL", f"mailto://127.0.0.1:{port}?from=p@example.org&to=o@example.org")
        stage.engine.trigger(one)
        stage.engine.run_due()
        stage.alerting.run_once()
        wait_until(
            "it is given up",
            lambda: stage.alerting.run_once() and value(db, "select error from poller.message"),
        )
        assert value(db, "select error from poller.message") == "no answer in time"
        assert stage.alerting._senders.idle() == []
        stage.advance("1m")
        stage.alerting.run_once()
        assert value(db, "select attempts from poller.message") == 1
        mute.settimeout(10)
        with contextlib.suppress(TimeoutError):  # on a busy machine its time may be over before it has asked
            mute.accept()[0].close()
        wait_until("the thread ends", stage.alerting._senders.idle)


def test_no_run_waits_for_its_alerts(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even for the table that it leaves a signal in: what cannot be left is not left, and the run is as it was."""
    with Stage(url, site, monkeypatch, one) as stage, psycopg.connect(url) as other:
        other.execute("lock table poller.signal in access exclusive mode")
        stage.engine.trigger(one)
        began = monotonic()
        [done] = stage.engine.run_due()
        assert done.to == "failed"
        assert monotonic() - began < 1
        other.rollback()
        stage.engine.trigger(one)
        stage.engine.run_due()
        assert [each["times"] for each in stage.tell()] == [1]
    assert value(db, "select count(*) from poller.run where status = 'failed'") == 2
