"""Others' text forges no line of a log, and moves no terminal's cursor: keys, errors, names, what a job prints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from poller.telemetry import printable
from tests.harness import Project, wait_until

if TYPE_CHECKING:
    import psycopg

EVIL = "k\n21:00:00 warning: forged\x1b[2J\u202e\x9b31m\r\x7f"
CODE = f"""
from poller import cron
from poller.jobs.job import job

EVIL = {EVIL!r}

@handler("thing", status="pending", to="normal", attempts=1)
def work(row): raise ValueError(EVIL)

@handler("thing", status="wrong", to="normal", attempts=1)
def wrong(row): return EVIL

@cron("* * * * * *")
def printing(run):
    print("line one\\n\\tline two " + EVIL)
    run.logger.warning(EVIL)
    raise RuntimeError(EVIL)
"""
COMMANDS = (
    ("check",),
    ("status",),
    ("failures",),
    ("runs",),
    ("jobs",),
    ("history", "thing", EVIL),
    ("retry", "thing:pending", EVIL + "x"),
    ("trigger", EVIL),
    ("pause", EVIL),
    ("status", "--handlers", EVIL),
    ("retry", f"{EVIL}:pending"),
)


def strange(text: str) -> set[str]:
    """Return the characters in a text that are not for a terminal."""
    return {each for each in text if not each.isprintable() and each not in "\n\t"}


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_output_has_control_characters_or_forged_lines(
    project: Project, db: psycopg.Connection[Any], log_format: str
) -> None:
    """The log, every listing and every error; JSON holds the characters as JSON has them."""
    db.execute("create table thing (id text primary key, status text)")
    db.execute("insert into thing values (%s, 'pending'), (%s, 'wrong')", (EVIL, EVIL + "2"))
    project.handlers(CODE)
    fleet = project.start("run", "--workers", "1", "--log-format", log_format, "--log-level", "debug")
    parked = (
        "select count(*) from poller.attempt where state = 'parked' and handler_id in"
        " (select id from poller.handler where table_name = 'public.thing')"
    )
    wait_until("they are parked", lambda: db.execute(parked).fetchone() == (2,))
    wait_until(
        "a run has failed", lambda: db.execute("select from poller.run where status = 'failed'").rowcount
    )
    said = [fleet.log]
    for command in COMMANDS if log_format == "text" else ():
        ended = project.run(*command)
        said += [ended.stdout, ended.stderr]
    printed, traced = (project.run(*each) for each in (("logs", "printing"), ("--debug", "trigger", EVIL)))
    for text in said:
        assert "\n21:00:00 warning: forged" not in text
    for text in (*said, printed.stdout, traced.stderr):
        assert strange(text) == set()
    assert printed.stdout.startswith("line one\n\tline two k\n")  # its own lines are its own
    if log_format == "json":
        values = [each for line in fleet.log.splitlines() for each in json.loads(line).values()]
        assert any(EVIL in each for each in values if isinstance(each, str))
        found = json.loads(project.run("failures", "--json").stdout)
        assert {EVIL, EVIL + "2"} <= {each["key"] for each in found}


@pytest.mark.parametrize("text", [EVIL, "caf\udce9", "\U000e0001 tag", "plain ✓", "\u2028\u200b"])
def test_json_stays_json(text: str) -> None:
    """What comes back is what went in, though none of it was printed as it is."""
    said = printable.as_json({"text": text}, indent=2)
    assert json.loads(said) == {"text": text}
    assert strange(said) == set()
    said.encode()
