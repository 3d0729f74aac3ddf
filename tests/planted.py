"""What somebody who may create in a schema of the path can put there, to be found in the place of what Postgres has.

For each function, aggregate and operator whose name stands in poller's SQL, overloads are made of each signature that
Postgres has: with types in place of those that a value reaches by a cast which is made by itself, and with types for the
polymorphic ones. An exact match wins over any other, wherever it is found.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import psycopg

ROOT = Path(__file__).parents[1]
FILES = (*ROOT.glob("sql/**/*.sql"), *ROOT.glob("poller/**/*.py"))

# By which a value of a type stands in an argument of the first.
STANDS_FOR = {
    "text": ("character varying", "name", "character"),
    "bigint": ("integer", "smallint"),
    "integer": ("smallint",),
    "numeric": ("integer", "bigint"),
    "double precision": ("numeric", "integer", "bigint", "real"),
    "oid": ("bigint", "integer", "regclass", "regtype", "regproc"),
    "regclass": ("oid", "text"),
    "timestamp with time zone": ("date", "timestamp without time zone"),
    "timestamp without time zone": ("date",),
    "interval": ("text",),
}
ANY = (
    *(
        "text",
        "character varying",
        "name",
        "character",
        "integer",
        "bigint",
        "numeric",
        "double precision",
        "real",
    ),
    *("boolean", "uuid", "oid", "jsonb", "timestamp with time zone", "interval", "text[]", "mood", "shop"),
)
ARRAYS = (
    *(
        "text[]",
        "character varying[]",
        "name[]",
        "uuid[]",
        "integer[]",
        "bigint[]",
        "smallint[]",
        "boolean[]",
    ),
    *("double precision[]", "real[]", "timestamp with time zone[]", "interval[]", "oid[]", "mood[]"),
)
POLYMORPHIC = {
    **dict.fromkeys(('"any"', "anyelement", "anynonarray", "anycompatible", "anycompatiblenonarray"), ANY),
    **dict.fromkeys(("anyarray", "anycompatiblearray"), ARRAYS),
    "anyenum": ("mood",),
}
MOST = 400  # overloads of one signature
NAMED = [  # arguments by their names, which leave out what has a default
    *(
        ("make_interval", f"secs {kind}", "interval")
        for kind in ("double precision", "numeric", "integer", "bigint")
    ),
    *(("make_interval", f"secs {kind}", "interval") for kind in ("real", "smallint", "text")),
]


def plant(db: psycopg.Connection[Any], role: str) -> int:
    """Have a role plant all of it in `public`; return how much was planted.

    What is called writes its number into the sequence `public.called`, which no rollback undoes, and raises.
    """
    db.execute(
        "create sequence public.called minvalue 0 start 0; grant all on public.called to public;"
        "create table public.plant (id int primary key, what text); grant all on public.plant to public"
    )
    script = list(_statements(db))
    db.execute(f"set role {role}")
    db.execute("create temporary table script (id int, what text)")
    with db.cursor().copy("copy script from stdin") as copy:
        for number, (text, what) in enumerate(script, 1):
            copy.write_row(
                (number, text.replace("NUMBER", str(number)).replace("WHAT", what.replace("'", "")))
            )
    db.execute("""
        do $$ declare each record; begin
            for each in select * from script order by id loop
                begin
                    execute each.what;
                    insert into public.plant values (each.id, left(each.what, 200));
                exception when others then null;
                end;
            end loop;
        end $$""")
    db.execute("drop table script; reset role")
    row = db.execute("select count(*) from public.plant").fetchone()
    return 0 if row is None else int(row[0])


def called(db: psycopg.Connection[Any]) -> str | None:
    """Return what was called last of what is planted, if anything was."""
    row = db.execute(
        "select what from public.called left join public.plant on id = last_value where is_called"
    ).fetchone()
    return None if row is None else str(row[0])


def _statements(db: psycopg.Connection[Any]) -> Iterator[tuple[str, str]]:
    """Yield what plants something, and what that is."""
    names, operators = _in_use()
    body = (
        "language plpgsql volatile as $f$ begin perform pg_catalog.setval('public.called', NUMBER);"
        " raise exception 'planted: WHAT'; end $f$"
    )
    yield ("create domain public.text as pg_catalog.text", "domain")
    for kind in ("pg_class", "pg_proc", "pg_type", "pg_namespace", "pg_stat_activity", "pg_locks"):
        yield (f"create view public.{kind} as select pg_catalog.setval('public.called', NUMBER) as oid", kind)
    for name, arguments, result in NAMED:
        yield (f"create function public.{name}({arguments}) returns {result} {body}", f"{name}({arguments})")
    for name, kind, result, *types in _functions(db, names):
        for given, returned in _overloads(types, result):
            arguments = ", ".join(given)
            if kind == "a":
                step = f"create function public.step_NUMBER({', '.join((returned, *given))}) returns {returned} {body}"
                whole = (
                    f"create aggregate public.{name}({arguments}) (sfunc = step_NUMBER, stype = {returned})"
                )
                yield (f"{step}; {whole}", f"{name}({arguments})")
            else:
                yield (
                    f"create function public.{name}({arguments}) returns {returned} {body}",
                    f"{name}({arguments})",
                )
    for name, result, *types in _operators(db, operators):
        for given, returned in _overloads(types, result):
            sides = ("leftarg", "rightarg") if len(given) == 2 else ("rightarg",)
            arguments = ", ".join(f"{side} = {kind}" for side, kind in zip(sides, given, strict=True))
            step = f"create function public.step_NUMBER({', '.join(given)}) returns {returned} {body}"
            yield (
                f"{step}; create operator public.{name} (function = step_NUMBER, {arguments})",
                f"{name} of {arguments}",
            )


def _in_use() -> tuple[set[str], set[str]]:
    """Return the words before a parenthesis, and the signs, that stand in poller's SQL."""
    text = "\n".join(each.read_text(encoding="utf-8") for each in FILES)
    names = set(re.findall(r"\b([a-z_][a-z0-9_]*)\s*\(", text)) | {"like_escape", "extract"}
    signs = set(re.findall(r"[-+*/<>=~!@#%^&|?]+", text)) | {"~~", "!~~", "->>", "->", "<>", "="}
    return names, signs


def _functions(db: psycopg.Connection[Any], names: Iterable[str]) -> list[tuple[str, ...]]:
    question = (
        "select quote_ident(p.proname), p.prokind::text, format_type(p.prorettype, null),"
        " array(select format_type(t, null) from unnest(p.proargtypes) with ordinality as t (t, n) order by n)"
        " from pg_proc as p where p.pronamespace = 'pg_catalog'::regnamespace and p.proname = any(%s)"
        " and p.pronargs between 1 and 6"
    )
    return [(name, kind, result, *types) for name, kind, result, types in db.execute(question, [list(names)])]


def _operators(db: psycopg.Connection[Any], signs: Iterable[str]) -> list[tuple[str, ...]]:
    return [
        (name, result, *(each for each in sides if each is not None))
        for name, result, *sides in db.execute(
            "select o.oprname::text, format_type(o.oprresult, null),"
            " case when o.oprleft <> 0 then format_type(o.oprleft, null) end, format_type(o.oprright, null)"
            " from pg_operator as o where o.oprname = any(%s)"
            " and (o.oprleft in (0) or o.oprleft::regtype::text = any(%s)) and o.oprright::regtype::text = any(%s)",
            [
                list(signs),
                [*STANDS_FOR, *POLYMORPHIC, *ANY, *ARRAYS],
                [*STANDS_FOR, *POLYMORPHIC, *ANY, *ARRAYS],
            ],
        )
    ]


def _overloads(types: list[str], result: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the types of the arguments that would match exactly where these match by a cast, and that of the result."""
    choices = [
        (kind, *STANDS_FOR.get(kind, ())) if kind not in POLYMORPHIC else POLYMORPHIC[kind] for kind in types
    ]
    for given in itertools.islice(itertools.product(*choices), MOST):
        if given != tuple(types):
            yield given, _result_of(given, result)


def _result_of(given: tuple[str, ...], result: str) -> str:
    if result in ("anyarray", "anycompatiblearray"):
        return next((each for each in given if each.endswith("[]")), f"{given[0]}[]")
    if result in POLYMORPHIC:
        return given[-1].removesuffix("[]")
    return "text" if result in ("internal", "trigger", "record", "void") else result
