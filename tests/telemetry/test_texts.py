"""Texts that Postgres cannot store are escaped: in errors, in what runs print, and in poller's own (guarantee 11)."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from poller import Fail, Retry, Row, Run, Snooze, fixed_rate, shell
from poller.db import migration
from poller.errors_in_words import ERROR_CHARACTERS, storable
from poller.jobs import output
from poller.jobs.output import Sink
from poller.model.answers import describe
from poller.testing import Engine
from tests.engines import column, moves
from tests.servers import _of_database, create_encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOT_UTF8 = os.fsdecode(b"caf\xe9")
BEYOND_LATIN1 = "\u2713 \u2026 \u65e5\u672c"
TEXTS = [NOT_UTF8, BEYOND_LATIN1, "a\0b", "x" * 1_000_000, "\udcff\ud800", ""]


@pytest.fixture(params=["UTF8", "LATIN1", "SQL_ASCII", "EUC_JP"])
def encoded(request: pytest.FixtureRequest, server: str) -> Iterator[str]:
    """A database of an encoding, with poller's schema and twelve tasks."""
    name = f"poller_test_{request.param.lower()}_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as db:
        create_encoded(db, name, request.param)
        url = _of_database(server, name)
        try:
            migration.migrate(url)
            with psycopg.connect(url) as own:
                own.execute("create table task (id int primary key, status text not null)")
                own.execute("insert into task select i, 'pending' from generate_series(1, 12) as i")
            yield url
        finally:
            db.execute(f"drop database {name} with (force)")


def step(row: Row) -> None:
    """Raise each text in turn, and let every second row move."""
    place, is_good = divmod(row.id - 1, 2)
    if not is_good:
        kind: type[Exception] = (ValueError, Fail)[place % 2]
        raise kind("bad name " + TEXTS[place])


async def coroutine_step(row: Row) -> None:
    step(row)


def batch_step(rows: list[Row]) -> list[Any]:
    answers: list[Any] = []
    for row in rows:
        try:
            answers.append(step(row))  # type: ignore[func-returns-value]
        except Exception as error:  # noqa: BLE001 - it is answered
            answers.append(error)
    return answers


@pytest.mark.fault("F50")
@pytest.mark.parametrize(
    ("function", "options"),
    [
        (step, {}),
        (coroutine_step, {}),
        (batch_step, {"batch": 12}),
        (step, {"transactional": True}),
        (step, {"executor": "process"}),
    ],
    ids=["thread", "coroutine", "batch", "transactional", "process"],
)
def test_g11_an_error_that_cannot_be_stored_is_escaped(
    encoded: str, function: Any, options: dict[str, Any]
) -> None:
    """Its attempt has failed, once; those behind it move."""
    with Engine(encoded, moves("task", function, attempts=1, limit=1, **options)) as engine:
        done = engine.run_due()
    assert sorted(int(each.key) for each in done) == list(range(1, 13))
    assert {each.became for each in done if int(each.key) % 2} == {"parked"}
    assert {each.became for each in done if not int(each.key) % 2} == {"moved"}
    with psycopg.connect(encoded, client_encoding="utf8") as db:
        errors = column(db, "select error from poller.attempt order by key::int")
        assert errors[0].startswith("ValueError: bad name caf\\udce9")
        assert "a\\0b" in errors[2]
        assert len(errors[3]) <= ERROR_CHARACTERS
        assert ("\u2713" in errors[1]) == (db.info.parameter_status("server_encoding") == "UTF8")


@pytest.mark.fault("F50")
def test_g11_what_a_run_prints_is_escaped(encoded: str) -> None:
    """While it runs, and at its end; a shell's output, too."""

    @fixed_rate("1h")
    def printing(run: Run) -> None:
        for text in TEXTS:
            sys.stdout.write(f"{text}\n")
        run.logger.warning(BEYOND_LATIN1)  # the others would break the reports of tests that run side by side

    report = shell("report", r"printf 'done \342\234\223 \351\n'", schedule=fixed_rate("1h"))
    with Engine(encoded, printing, report) as engine:
        assert {each.to for each in engine.run_due()} == {"succeeded"}
    with psycopg.connect(encoded, client_encoding="utf8") as db:
        [said] = column(db, "select output from poller.run where job = 'printing'")
        assert "caf\\udce9\n" in said
        assert "a\\0b\n" in said
        [said] = column(db, "select output from poller.run where job = 'report'")
        assert said.startswith("done ")


@pytest.mark.fault("F50")
def test_g11_an_error_of_a_run_is_escaped(encoded: str) -> None:
    """It has failed, and its slot is over: the next one is not skipped for it."""

    @fixed_rate("1h", overlap="skip")
    def failing() -> None:
        raise ValueError(BEYOND_LATIN1 + NOT_UTF8)

    with Engine(encoded, failing) as engine:
        engine.run_due()
        engine.advance("1h")
        engine.run_due()
    with psycopg.connect(encoded, client_encoding="utf8") as db:
        assert column(db, "select status from poller.run") == ["failed", "failed"]


def test_a_line_that_cannot_be_formatted_fails_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    """As everywhere in `logging`: what goes wrong there is said on standard error."""
    token = output.current.set(Sink())
    output._Listener().emit(logging.makeLogRecord({"msg": "%d rows", "args": ("many",)}))
    output.current.reset(token)
    assert "Logging error" in capsys.readouterr().err


@pytest.mark.parametrize("quotes", ['""', "«»", "»«", "„“", "“”", "「」"])
def test_a_value_that_the_server_quotes_in_its_language_is_left_out(
    db: psycopg.Connection[Any], quotes: str
) -> None:
    """An error about data has the value in it; with `lc_messages` it is quoted as people do there."""
    said = f"valeur invalide : {quotes[0]} SECRET {quotes[0]} SECRET {quotes[1]}"
    raises = sql.SQL("do $$ begin raise exception using errcode = '22P02', message = {}; end $$")
    with pytest.raises(psycopg.DataError) as raised:
        db.execute(raises.format(said))
    told = describe(raised.value)
    assert told.startswith('InvalidTextRepresentation: valeur invalide : "…"')
    assert "SECRET" not in told


texts = st.text(st.characters(codec=None), max_size=300)


@given(texts, st.sampled_from(["UTF8", "LATIN1", "SQL_ASCII"]))
def test_any_text_becomes_storable(text: str, encoding: str) -> None:
    """It can be encoded, and is what it was where that could be."""
    stored = storable(text, encoding)
    stored.encode("utf-8" if encoding == "UTF8" else "ascii")
    assert "\0" not in stored
    assert storable(stored, encoding) == stored
    if text.isascii() and "\0" not in text:
        assert stored == text


@given(texts, st.sampled_from([ValueError, Fail, KeyError, OSError]))
def test_any_error_becomes_one_storable_line(text: str, kind: Callable[[str], BaseException]) -> None:
    """Of bounded length."""
    said = describe(kind(text))
    assert said == storable(said)
    assert len(said.splitlines()) <= 1
    assert len(said) <= ERROR_CHARACTERS + 100


@given(st.lists(texts))
def test_any_output_can_be_stored(written: list[str]) -> None:
    """Whatever is cut out of its middle."""
    sink = Sink()
    for each in written:
        sink.write(each)
    assert storable(sink.text()) == sink.text()


@given(st.floats(), st.sampled_from([Snooze, Retry]))
def test_any_delay_is_one_that_the_calendar_has(delay: float, kind: Any) -> None:
    """Or the answer has failed like any other error."""
    from poller.store.outcomes import LONGEST_DELAY_SECONDS, of_error  # noqa: PLC0415 - the one test that needs it

    answer = kind("1s")
    answer.delay = delay
    outcome = of_error(moves("task"), answer, 1)
    assert outcome.delay is not None
    assert 0 <= outcome.delay <= LONGEST_DELAY_SECONDS
