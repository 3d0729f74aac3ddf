from __future__ import annotations
import pytest, psycopg
from typing import Any
from poller import Client
from poller.testing import Engine
from tests.engines import moves, run, run_to_the_end, column, WAYS, settling, do_nothing

TYPES = {
    "int_array": ("int[]", ["'{1,2}'", "'{}'", "'{NULL,3}'"]),
    "text_array": ("text[]", ["'{a,\"b c\",NULL}'", "'{}'", "'{\"\"}'"]),
    "jsonb": ("jsonb", ["'{\"a\": 1}'", "'[1, 2]'", "'1'", "'null'"]),
    "composite": ("pair", ["row(1,'a')::pair", "row(2,null)::pair", "row(null,null)::pair"]),
    "numrange": ("numrange", ["'[1,2)'", "'empty'", "'(,)'"]),
    "multirange": ("int4multirange", ["'{[1,2),[5,7)}'", "'{}'"]),
    "bytea": ("bytea", ["'\\x00ff'", "''"]),
    "float8": ("float8", ["'NaN'", "'-0'", "'Infinity'", "1e300", "0.1"]),
    "float4": ("float4", ["'NaN'", "0.1", "16777217", "3.4e38"]),
    "numeric": ("numeric", ["'NaN'", "1.00", "'Infinity'", "1e-20"]),
    "char5": ("char(5)", ["'a'", "'ab   '", "''"]),
    "interval": ("interval", ["'1 mon'", "'1 year 2 days'", "'-1 day 3:00'"]),
    "inet": ("inet", ["'10.0.0.1/8'", "'::1'"]),
    "cidr": ("cidr", ["'10.0.0.0/8'"]),
    "macaddr": ("macaddr", ["'08:00:2b:01:02:03'"]),
    "date": ("date", ["'infinity'", "'0044-03-15 BC'", "'9999-12-31'", "'20000-01-01'"]),
    "ts": (
        "timestamptz",
        ["'infinity'", "'-infinity'", "'0001-01-01 BC'", "'2024-10-27 01:30+00'", "'30000-01-01'"],
    ),
    "time": ("time", ["'24:00'", "'00:00:00.000001'"]),
    "timetz": ("timetz", ["'24:00+01'", "'00:00:00.000001-15:59'"]),
    "bit3": ("bit(3)", ["B'101'"]),
    "varbit": ("varbit", ["B''", "B'1'"]),
    "money": ("money", ["1.5", "-2"]),
    "bool": ("boolean", ["true", "false"]),
    "enum": ("mood", ["'sad'", "'it''s'"]),
    "domain": ("posint", ["1", "2"]),
    "oid": ("oid", ["4294967295", "0"]),
    "name": ("name", ["'x y'"]),
    "qchar": ('"char"', ["'a'", "''", "'\\377'"]),
    "tsvector": ("tsvector", ["'a:1 b:2'"]),
    "lsn": ("pg_lsn", ["'16/B374D848'"]),
    "uuid": ("uuid", ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    "int_int": ("int, k2 text, k3 int[]", ["1, 'a\"b', '{1}'", "1, '', '{}'"]),
}


def seen_batch(rows: Any, ctx: Any) -> Any:
    return {row.key: "normal" for row in rows}


def boom(row: Any) -> None:
    raise ValueError("no")


def boomb(rows: Any) -> None:
    raise ValueError("no")


@pytest.mark.parametrize("kind", TYPES)
def test_keys(url: str, db: psycopg.Connection[Any], kind: str) -> None:
    db.execute(
        "create type pair as (a int, b text); create type mood as enum ('sad', 'it''s'); create domain posint as int check (value > 0)"
    )
    typ, values = TYPES[kind]
    extra = kind == "int_int"
    pk = "k, k2, k3" if extra else "k"
    bad = []
    for way in (
        "thread",
        "batch",
        "coroutine",
        "process",
        "transactional",
        "dict",
        "settle",
        "fail",
        "failb",
        "txbatch",
    ):
        db.execute("drop table if exists task")
        db.execute(f"create table task (k {typ}, status text not null default 'pending', primary key ({pk}))")
        for v in values:
            db.execute(f"insert into task values ({v})")
        if way == "dict":
            h = moves("task", seen_batch, batch=5)
        elif way == "settle":
            h = moves("task", settling(url, "normal"))
        elif way == "fail":
            h = moves("task", boom, attempts=2)
        elif way == "failb":
            h = moves("task", boomb, attempts=2, batch=5)
        elif way == "txbatch":
            h = moves("task", lambda rows, ctx: None, batch=5, transactional=True)
        else:
            f, o = WAYS[way]
            h = moves("task", f, **o)
        try:
            done = run_to_the_end(url, h)
        except BaseException as e:
            bad.append((way, type(e).__name__, str(e)[:300]))
            continue
        st = column(db, "select status from task")
        want = "pending" if "fail" in way else "normal"
        if set(st) != {want}:
            bad.append((way, st, [str(d)[:300] for d in done][:2]))
        if "fail" in way:
            n = db.execute("select count(*) from poller.attempt where state='parked'").fetchone()[0]
            if n != len(values):
                bad.append((way, "parked", n, [str(d)[:200] for d in done][:2]))
            c = Client(url)
            keys = column(db, "select key from poller.attempt")
            for k in keys:
                try:
                    c.row("task", k)
                    c.history("task", k)
                    c.retry(f"task:pending:{k}") if ":" not in k else None
                except BaseException as e:
                    bad.append((way, "client", k, type(e).__name__, str(e)[:200]))
            db.execute("delete from poller.attempt")
        else:
            c = Client(url)
            p = c.rows("task", "normal")
            if len(p.items) != len(values):
                bad.append((way, "rows", len(p.items)))
            for i in p.items:
                try:
                    c.row("task", i.key)
                except BaseException as e:
                    bad.append((way, "row", i.key, str(e)[:200]))
    for b in bad:
        print(b)
    assert not bad
