"""The picture of a day of jobs: where runs and slots are, and what is said of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from poller.client.job_queries import RunLine
from poller.client.jobs import JobLine
from poller.web.timeline import WIDE, hours, lanes, place

NOW = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)


def job(schedule: str | None, tz: str = "UTC", *, due_in: float | None = None) -> JobLine:
    """Return a job of a schedule, whose next slot is in so many hours."""
    at = None if due_in is None else NOW + timedelta(hours=due_in)
    return JobLine(
        paused_until=None,
        name="nightly",
        job="nightly",
        schedule=schedule,
        tz=tz,
        after=[],
        args={},
        declared=True,
        next_at=at,
        last_status=None,
        last_at=None,
        running=0,
        waiting=0,
        state="active",
        when="in words",
    )


def run(hours_ago: float, took: float | None, status: str = "succeeded") -> RunLine:
    """Return a run that began so many hours ago."""
    begun = NOW - timedelta(hours=hours_ago)
    ended = None if took is None else begun + timedelta(hours=took)
    return RunLine(7, "nightly", begun, begun, ended, status, 1, None, None, None, took)


def test_now_is_in_the_middle() -> None:
    """A day back is at the left, a day ahead at the right."""
    assert place(NOW, NOW) == WIDE / 2
    assert place(NOW - timedelta(days=1), NOW) == 0
    assert [text for _, text in hours(NOW)] == ["12:00", "18:00", "00:00", "06:00"] * 2 or len(
        list(hours(NOW))
    ) == 8


@pytest.mark.parametrize(
    ("schedule", "tz", "due_in", "slots"),
    [
        ("0 3 * * *", "UTC", 15.0, ["03:00:00"]),
        ("0 */6 * * *", "UTC", 6.0, ["18:00:00", "00:00:00", "06:00:00", "12:00:00"]),
        ("0 0 * * *", "Europe/Berlin", 10.0, ["22:00:00"]),
        ("*/5 * * * *", "UTC", 0.05, ["in words"]),
        ("@every 45s", "UTC", -3.0, ["in words"]),
        ("@after 1h", "UTC", 0.5, ["12:30:00"]),
        ("@after 1h", "UTC", -0.5, []),
        ("nonsense", "UTC", 1.0, []),
        ("0 3 * * *", "Nowhere/None", 1.0, []),
        ("0 3 * * *", "UTC", 30.0, []),
        (None, "UTC", None, []),
    ],
)
def test_slots_of_a_day_are_ahead(
    schedule: str | None, tz: str, due_in: float | None, slots: list[str]
) -> None:
    """Those that come often are one band; what cannot be read here has none."""
    found = lanes([job(schedule, tz, due_in=due_in)], [run(1, 0.5)], NOW, 9)
    ahead = [each for each in found[0].marks if each.kind in {"slot", "often"}]
    assert [each.said for each in ahead] == slots
    assert all(WIDE / 2 <= each.x <= WIDE for each in ahead)
    assert found[0].ran == "1 run"
    assert found[0].ahead == ("in words" if "in words" in slots else f"{len(slots)} slots")


def test_runs_are_bars_from_begin_to_end() -> None:
    """One that goes on reaches to now; those of the day before are not there, and a job without any has no lane."""
    [lane] = lanes(
        [job(None)], [run(2, None, "running"), run(12, 6, "failed"), run(23, 0.001), run(30, 1)], NOW, 9
    )
    assert [each.kind for each in lane.marks] == ["running", "failed", "run"]
    running, failed, short = lane.marks
    assert running.x + running.width == pytest.approx(WIDE / 2)
    assert failed.width == pytest.approx(WIDE / 8)
    assert short.width == 3
    assert lanes([job(None)], [run(30, 1)], NOW, 9) == []


def test_what_is_not_drawn_is_told() -> None:
    """Where a job has run more often than there is room for, its lane does not look as if it had not run before."""
    [lane] = lanes([job(None)], [run(2, 0.1), run(3, 0.1)], NOW, 2)
    assert [(each.kind, each.x) for each in lane.marks][2:] == [("earlier", 0)]
    assert lane.marks[2].width == lane.marks[1].x
    assert lane.ran == "more than 2 runs"
    [lane] = lanes([job(None)], [run(2, 0.1), run(30, 0.1)], NOW, 2)
    assert lane.ran == "1 run"


@pytest.mark.parametrize(
    ("schedule", "tz", "said"),
    [
        ("0 3 * * *", "Europe/Berlin", ["clocks of Europe/Berlin go from 02:00 to 03:00"]),
        ("0 3 * * *", "Australia/Lord_Howe", []),
        ("0 3 * * *", "Nowhere/None", []),
        ("@every 1h", "Europe/Berlin", []),
    ],
)
def test_a_day_that_lacks_an_hour_is_marked(schedule: str, tz: str, said: list[str]) -> None:
    """Where a schedule is by that zone's clocks, at the time at which they are put on."""
    [lane] = lanes([job(schedule, tz)], [run(1, 0.5)], NOW, 9)
    found = [each for each in lane.marks if each.kind == "shift"]
    assert [each.said for each in found] == said
    assert [each.x for each in found] == [place(NOW.replace(hour=1), NOW)] * len(said)
    assert lane.ran == "1 run"
