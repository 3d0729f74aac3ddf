"""What is told of a job that fails: at once, once, again when it changes or lasts, and when it is over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from poller import job
from tests.alerts.stage import Stage

if TYPE_CHECKING:
    import psycopg
    import pytest

    from tests.website import Server

HOW = {"error": ""}  # what the job of these tests raises


@job()
def sync() -> None:
    if HOW["error"]:
        raise {"value": ValueError, "key": KeyError}[HOW["error"]]("CANARY")


def runs(stage: Stage, *errors: str) -> None:
    """Have the job run once for each of these; an empty one is a success."""
    for each in errors:
        HOW["error"] = each
        stage.engine.trigger(stage.jobs[0])
        stage.engine.run_due()
        stage.advance("1s")


def test_an_episode_is_told_of_when_it_opens_changes_lasts_and_ends(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not between: one notice for many failures, one for another error, one a day, one for the success."""
    with Stage(url, site, monkeypatch, sync) as stage:
        runs(stage, "value", "value", "value")
        [first] = stage.tell()
        assert (first["subject"], first["kind"], first["reason"], first["times"]) == (
            "sync",
            "failed",
            "opened",
            3,
        )
        assert (first["error"], first["place"].partition(":")[0]) == ("ValueError", "test_episodes.py")
        runs(stage, "value", "value")
        assert stage.tell() == []
        runs(stage, "key", "key", "value")
        [changed] = stage.tell()
        assert (changed["reason"], changed["error"]) == ("changed", "KeyError")
        stage.advance("25h")
        [reminder] = stage.tell()
        assert (reminder["reason"], reminder["times"], reminder["number"]) == ("reminder", 8, 3)
        assert stage.tell() == []
        runs(stage, "")
        assert stage.reasons() == [("sync", "failed", "recovered")]
        runs(stage, "")
        assert stage.tell() == []
        runs(stage, "value", "")  # over before it was looked at
        assert stage.reasons() == [("sync", "failed", "opened"), ("sync", "failed", "recovered")]
    sent = db.execute(
        "select count(*), count(distinct key), bool_and(state = 'sent') from poller.message"
    ).fetchone()
    assert sent == (len(site.received), len(site.received), True)
    bodies = [json.loads(each.body) for each in site.received]
    assert [each["key"] for each in bodies] == [each.headers["idempotency-key"] for each in site.received]
    assert not [each for each in site.received if b"CANARY" in each.body]


def test_a_clock_that_was_set_back_delays_nothing(
    url: str, db: psycopg.Connection[Any], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had written ahead of time counts as of now: a new failure is new, and a message is sent."""
    with Stage(url, site, monkeypatch, sync) as stage:
        runs(stage, "value", "")
        stage.tell()
        ahead = "poller.now() + interval '3 hours'"
        db.execute(f"update poller.episode set last_at = {ahead}, closed_at = {ahead}, notified_at = {ahead}")
        stage.alerting.survey()
        runs(stage, "value")
        stage.alerting._take_signals(["sync"])
        stage.alerting._make_notices()
        db.execute(f"update poller.notice set at = {ahead} where message is null")
        stage.alerting.survey()
        stage.alerting._gather("oncall")
        db.execute(f"update poller.message set next_at = {ahead} where state = 'waiting'")
        assert stage.reasons(survey=True) == [("sync", "failed", "opened")]
        runs(stage, "")
        assert stage.reasons() == [("sync", "failed", "recovered")]


def test_of_several_databases_a_message_says_which(
    url: str, site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no two of their notices have one id, though each database counts for itself."""
    for name in ("eu", "us"):
        with Stage(url, site, monkeypatch, sync, database=name) as stage:
            runs(stage, "value", "")
            stage.tell()
    bodies = [json.loads(each.body) for each in site.received]
    assert [(each["database"], each["title"][:12]) for each in bodies] == [
        ("eu", "[poller eu] "),
        ("us", "[poller us] "),
    ]
    ids = [notice["id"] for each in bodies for notice in each["notices"]]
    assert len({*ids}) == 4
    assert all(each.startswith(("eu:", "us:")) for each in ids)


def test_so_many_failures_in_a_row_are_needed(
    url: str, site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A success in between begins anew."""
    with Stage(url, site, monkeypatch, sync, after=3, recovery=False, repeat="never") as stage:
        runs(stage, "value", "value", "", "value", "value")
        assert stage.tell() == []
        runs(stage, "value")
        [notice] = stage.tell()
        assert notice["times"] == 3
        stage.advance("100h")
        runs(stage, "")
        assert stage.tell() == []


def test_what_comes_beyond_so_many_messages_an_hour_is_summed(
    url: str, site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one message, once there is room."""
    monkeypatch.setattr("poller.alerts.alerting.MOST_AN_HOUR", 3)
    with Stage(url, site, monkeypatch, sync) as stage:
        for _ in range(5):
            runs(stage, "value", "")
            stage.tell()
        assert len(site.received) == 3
        stage.advance("1h")
        assert len(stage.tell()) == 4
        assert len(site.received) == 4
