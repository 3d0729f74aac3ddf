"""`poller next`: the slots of an expression, told without a database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.command_line import InProcess, the_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.harness import Project

    Ask = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run `poller next`, where there is no database: exit status, lines, errors."""
    here = InProcess(tmp_path, "postgres://127.0.0.1:1/nowhere", monkeypatch, capsys)

    def run(*arguments: str) -> tuple[int, list[str], str]:
        ended = here.run("next", *arguments)
        return ended.returncode, ended.stdout.splitlines(), ended.stderr

    return run


NEW_YORK, CAIRO, LORD_HOWE = "America/New_York", "Africa/Cairo", "Australia/Lord_Howe"

# The rows of "Cron's corner cases": what is asked, and all that is answered.
CORNERS: dict[str, tuple[list[str], list[str]]] = {
    "02:30 daily, clocks forward: 03:00, once": (
        ["30 2 * * *", "--tz", NEW_YORK, "--from", "2024-03-09T03:00", "--count", "3"],
        ["2024-03-10T03:00:00-04:00", "2024-03-11T02:30:00-04:00", "2024-03-12T02:30:00-04:00"],
    ),
    "01:30 daily, clocks back: once, the first": (
        ["30 1 * * *", "--tz", NEW_YORK, "--from", "2024-11-02T12:00-04:00", "--count", "3"],
        ["2024-11-03T01:30:00-04:00", "2024-11-04T01:30:00-05:00", "2024-11-05T01:30:00-05:00"],
    ),
    "each half hour across the fold: real time": (
        ["*/30 * * * *", "--tz", NEW_YORK, "--from", "2024-11-03T00:45", "--count", "5"],
        [
            "2024-11-03T01:00:00-04:00",
            "2024-11-03T01:30:00-04:00",
            "2024-11-03T01:00:00-05:00",
            "2024-11-03T01:30:00-05:00",
            "2024-11-03T02:00:00-05:00",
        ],
    ),
    "each half hour across the gap: real time": (
        ["*/30 * * * *", "--tz", NEW_YORK, "--from", "2024-03-10T01:15", "--count", "2"],
        ["2024-03-10T01:30:00-05:00", "2024-03-10T03:00:00-04:00"],
    ),
    "the 13th or a Friday": (
        ["0 0 13 * 5", "--from", "2024-09-01", "--count", "4"],
        [
            "2024-09-06T00:00:00+00:00",
            "2024-09-13T00:00:00+00:00",
            "2024-09-20T00:00:00+00:00",
            "2024-09-27T00:00:00+00:00",
        ],
    ),
    "the 13th or a Friday, with seconds": (
        ["0 0 0 13 10 5", "--from", "2024-10-05", "--count", "3"],
        ["2024-10-11T00:00:00+00:00", "2024-10-13T00:00:00+00:00", "2024-10-18T00:00:00+00:00"],
    ),
    "each second day and a Monday: a field with a star does not restrict": (
        ["0 0 */2 * 1", "--from", "2024-09-01", "--count", "3"],
        ["2024-09-09T00:00:00+00:00", "2024-09-23T00:00:00+00:00", "2024-10-07T00:00:00+00:00"],
    ),
    "Sunday is 0": (["0 0 * * 0", "--from", "2024-09-02", "--count", "1"], ["2024-09-08T00:00:00+00:00"]),
    "Sunday is 7": (["0 0 * * 7", "--from", "2024-09-02", "--count", "1"], ["2024-09-08T00:00:00+00:00"]),
    "a midnight that there is not": (
        ["0 0 * * *", "--tz", CAIRO, "--from", "2024-04-25T12:00", "--count", "2"],
        ["2024-04-26T01:00:00+03:00", "2024-04-27T00:00:00+03:00"],
    ),
    "half an hour forward": (
        ["15 2 * * *", "--tz", LORD_HOWE, "--from", "2024-10-05T12:00", "--count", "2"],
        ["2024-10-06T02:30:00+11:00", "2024-10-07T02:15:00+11:00"],
    ),
    "half an hour back": (
        ["45 1 * * *", "--tz", LORD_HOWE, "--from", "2024-04-06T12:00", "--count", "2"],
        ["2024-04-07T01:45:00+11:00", "2024-04-08T01:45:00+10:30"],
    ),
    "a rate is counted from its anchor": (
        ["@every 1h30m", "--from", "2024-09-01T10:07:30", "--count", "2"],
        ["2024-09-01T11:37:30+00:00", "2024-09-01T13:07:30+00:00"],
    ),
    "a rate of a day": (
        ["@every 1d", "--tz", NEW_YORK, "--from", "2024-11-02T12:00", "--count", "2"],
        ["2024-11-03T11:00:00-05:00", "2024-11-04T11:00:00-05:00"],
    ),
    "a rate of a week": (
        ["@every 1w", "--from", "2024-09-01", "--count", "1"],
        ["2024-09-08T00:00:00+00:00"],
    ),
}


@pytest.mark.parametrize(("arguments", "slots"), CORNERS.values(), ids=CORNERS)
def test_the_corner_cases_come_out_as_cronie_has_them(
    ask: Ask, arguments: list[str], slots: list[str]
) -> None:
    """One ISO time with offset a line, in the zone of the expression."""
    assert ask(*arguments) == (0, slots, "")


WRONG: dict[str, tuple[list[str], str]] = {
    "a day that never comes": (["0 0 31 2 *"], "31"),
    "a step that never comes round": (["0 */90 * * * *"], "@every 90m"),
    "no expression": (["soon"], "'soon'"),
    "a word too many": (["0 3 * * *", "* *"], "see: poller next --help"),
    "nothing": ([], "Missing argument 'EXPR'"),
    "no zone": (["0 3 * * *", "--tz", "Berlin"], "is it Europe/Berlin?"),
    "no number": (["0 3 * * *", "--count", "0"], "--count"),
    "no time": (["0 3 * * *", "--from", "tomorrow"], "--from: 'tomorrow' is not a time"),
    "a time beyond the calendar": (["0 3 * * *", "--from", "9999-12-31T23:00-12:00"], "is not a time"),
    "a fixed delay": (["@after 5m"], "counts from the finish of each run"),
    "a duration that is none": (["@every soon"], "'soon' is not a duration"),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_meant_is_one_line_with_the_reason(ask: Ask, arguments: list[str], said: str) -> None:
    """And exit status 2."""
    status, lines, errors = ask(*arguments)
    assert (status, lines, len(errors.splitlines())) == (2, [], 1)
    assert said in errors


def test_the_zone_in_an_expression_goes_before_the_option(ask: Ask) -> None:
    """Also for a --from that has no offset."""
    line = "CRON_TZ=Asia/Shanghai 0 10 * * *"
    answer = ask(line, "--tz", NEW_YORK, "--from", "2024-09-01T09:00", "--count", "1")
    assert answer == (0, ["2024-09-01T10:00:00+08:00"], "")


def test_it_counts_five_from_now_unless_told_otherwise(ask: Ask) -> None:
    """In UTC."""
    status, lines, _ = ask("0 0 * * *")
    first, *_ = found = [datetime.fromisoformat(line) for line in lines]
    assert (status, len(found)) == (0, 5)
    assert 0 < (first - datetime.now(UTC)).total_seconds() <= 86400


def test_a_schedule_that_ends_is_told_as_far_as_it_goes(ask: Ask) -> None:
    """And one that is over with exit status 1."""
    asked = "@at 2030-01-01T03:00+01:00", "--tz", "Europe/Berlin"
    assert ask(*asked, "--from", "2029-01-01") == (0, ["2030-01-01T03:00:00+01:00"], "")
    status, lines, errors = ask(*asked, "--from", "2031-01-01")
    assert (status, lines) == (1, [])
    assert "has no slot after 2030-12-31T23:00:00+00:00" in errors
    status, lines, errors = ask("@every 36500d", "--from", "2000-01-01", "--count", "1000")
    assert (status, len(lines), errors) == (0, 80, ""), "the calendar ends with the year 9999"


def test_it_is_a_command_like_the_others(project: Project) -> None:
    """Options come from the environment and the settings file as well; no database is asked."""
    (project.folder / "poller.toml").write_text('tz = "Asia/Tokyo"\ncount = 1')
    project.url = "postgres://127.0.0.1:1/nowhere"
    ended: CompletedProcess[str] = project.run("next", "@daily", POLLER_FROM="2024-09-01T12:00")
    assert (ended.returncode, ended.stdout) == (0, "2024-09-02T00:00:00+09:00\n")
    assert "unknown time zone 'Mars'" in the_line(project.run("next", "@daily", "--tz", "Mars"))
