"""The statements of `sql/`, and what is composed into them: nothing changes its meaning on the way."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from poller.db.statements import array, statement, template, trusted

if TYPE_CHECKING:
    import psycopg

IN_ONE_DATABASE = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
MEANINGFUL = st.text("%s()d{},\"\\' N\nü")  # to Postgres, to psycopg or to str.format

STATEMENTS = {
    path.name.removesuffix(".sql"): path.read_text(encoding="utf-8")
    for path in sorted((Path(__file__).parents[2] / "sql").glob("*/*.sql"))
    if path.parent.name not in {"functions", "migrations"}
}


def unnested(db: psycopg.Connection[Any], kind: str, values: list[Any]) -> list[Any]:
    """Return the elements that Postgres reads in an array literal, in their order."""
    return [row[0] for row in db.execute(f"select unnest(%s::{kind}[])", [array(values)])]


# --- arrays -------------------------------------------------------------------------------------------


@IN_ONE_DATABASE
@given(st.lists(st.none() | TEXT | MEANINGFUL))
def test_any_texts_come_through_an_array(db: psycopg.Connection[Any], values: list[str | None]) -> None:
    """Whatever Postgres can store, nulls and empty texts and no text at all included."""
    assert unnested(db, "text", values) == values


NUMBERS = {
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "float8": st.floats(allow_nan=False),
    "boolean": st.booleans(),
    "uuid": st.uuids(),
}


@IN_ONE_DATABASE
@given(st.data())
@pytest.mark.parametrize("kind", NUMBERS)
def test_other_values_come_through_an_array(
    db: psycopg.Connection[Any], kind: str, data: st.DataObject
) -> None:
    """To the last bit, nulls included."""
    values = data.draw(st.lists(st.none() | NUMBERS[kind]))
    assert unnested(db, kind, values) == values


def test_an_array_is_made_of_anything_that_can_be_gone_through() -> None:
    """Keys of a dict, say, or what a generator yields: once, and in order."""
    assert array({"a": 1, "b": 2}) == array(letter for letter in "ab") == array(["a", "b"])


# --- composing ----------------------------------------------------------------------------------------


@IN_ONE_DATABASE
@given(MEANINGFUL.filter(bool).map(lambda text: text[:20]), TEXT | MEANINGFUL)
def test_names_and_literals_mean_themselves(db: psycopg.Connection[Any], name: str, value: str) -> None:
    """Percent signs, braces and quotes in them are neither parameters nor places nor the end of anything."""
    quoted = db.execute("select quote_literal(%s)", [value]).fetchone()
    question = statement(
        "accepts_status",
        column=sql.Identifier(name),
        value=sql.Literal(value),
        type=sql.SQL("text"),
        checks=sql.SQL("t.{} = {}").format(sql.Identifier(name), trusted(quoted[0] if quoted else "")),
    )
    assert db.execute(question, {}).fetchall() == [(True, True)]


@pytest.mark.parametrize("name", ["100%", "%s", "%(handler)s", "%%", "{table}", "{}"])
def test_names_with_a_schema_mean_themselves(db: psycopg.Connection[Any], name: str) -> None:
    """What is made of several names is one part of the statement."""
    parts = {
        "status": sql.Identifier(name),
        "table": sql.Identifier(name, name),
        "oldest": sql.SQL(""),
        "users": sql.SQL("true"),
    }
    db.execute(sql.SQL("create schema {}").format(sql.Identifier(name)))
    db.execute(
        sql.SQL("create table {table} as select 'x%' as {status}").format(
            table=parts["table"], status=parts["status"]
        )
    )
    assert db.execute(statement("status_counts", **parts), {}).fetchall() == [("x%", 1, [])]

    parts["table"] = sql.SQL(".").join([sql.Identifier(name), sql.Identifier(name)])
    assert db.execute(statement("status_counts", **parts), {}).fetchall() == [("x%", 1, [])]


# --- the files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_says_what_it_is_for_and_what_it_does_to_others(name: str) -> None:
    """Its purpose, the locks it takes in their order, what fences it, the index that it needs."""
    head = "\n".join(line for line in STATEMENTS[name].splitlines() if line.startswith("--"))
    assert STATEMENTS[name].startswith(head)
    said = re.findall(r"(?:^-- |  )(Purpose|Locks|Fence|Index)  +(\S)", head, re.MULTILINE)
    assert [word for word, _ in said] == ["Purpose", "Locks", "Fence", "Index"]


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_file_is_one_statement(name: str) -> None:
    """psycopg prepares one at a time; the head is not sent along."""
    body = template(name).as_string()
    assert body.strip()
    assert "--" not in body
    assert ";" not in body
