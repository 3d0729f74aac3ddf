"""What people do to the tables and the server while a fleet works on them, and how it is undone.

A deed is two lists of statements and the seconds between them. What undoes it is tried on new connections until it
has worked, since the server may be restarted meanwhile. A deed that holds locks is undone by the end of its session.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from tests.chaos.load import ROLE, TABLES

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

UNDONE_WITHIN = 30.0  # seconds, restarts included
EDITABLE = [name for name, table in TABLES.items() if not table.ordered]
# What stands still for a while once its table has been put aside (`claim_looks.OUT_OF_ORDER_SECONDS`).
PUTS_ASIDE = ("rename a column", "rename a table", "revoke a right to a table")


@dataclass(frozen=True)
class Deed:
    """One thing that people do.

    Attributes:
        do: statements that are executed in this order.
        undo: those that make it undone.
        seconds: that lie between.
        holds: all of `do` is one transaction, which stays open for so long and is rolled back.
        table: whose rows must move on once it is undone; any if empty, or if some of them never will.
    """

    do: tuple[sql.Composable, ...]
    undo: tuple[sql.Composable, ...] = ()
    seconds: float = 0.0
    holds: bool = False
    table: str = ""


def deed(kind: str, draw: random.Random) -> Deed:
    """Return a deed of some kind, with its table, rows and seconds drawn at random."""
    one = KINDS[kind](draw)
    return replace(one, table="") if one.table == "troubled" else one


def carry_out(one: Deed, connect: Callable[[], psycopg.Connection[Any]]) -> bool:
    """Do it, wait, and undo it; tell whether it could be done at all.

    Raises:
        TimeoutError: it could not be undone.
    """
    done = False
    with contextlib.suppress(psycopg.Error), connect() as db:
        db.execute("set lock_timeout = '1s'")
        with db.transaction(force_rollback=True) if one.holds else contextlib.nullcontext():
            for statement in one.do:
                db.execute(statement)
            done = True
            threading.Event().wait(one.seconds)
    _undo(one, connect)
    return done


def _undo(one: Deed, connect: Callable[[], psycopg.Connection[Any]]) -> None:
    left = list(one.undo)
    until = time.monotonic() + UNDONE_WITHIN
    while left:
        try:
            with connect() as db:
                db.execute("set lock_timeout = '2s'")
                while left:
                    _execute(db, left[0])
                    del left[0]
        except psycopg.Error as error:
            if time.monotonic() > until:
                msg = f"{left[0].as_string()} still fails: {error}"
                raise TimeoutError(msg) from error
            threading.Event().wait(0.05)


def _execute(db: psycopg.Connection[Any], statement: sql.Composable) -> None:
    """Execute what undoes a deed; that it is undone already is as good."""
    undone = (psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedTable)
    with contextlib.suppress(*undone):
        db.execute(statement)


# --- one by one --------------------------------------------------------------------------------------


def _sql(text: str, table: str = "", **values: object) -> sql.Composed:
    names: dict[str, sql.Composable] = {name: sql.Literal(value) for name, value in values.items()}
    names["role"] = sql.Identifier(ROLE)
    if table:
        names |= {"table": sql.Identifier(table), "away": sql.Identifier(f"{table}_away")}
        names["name"] = sql.Literal(f"%{table}")
    return sql.SQL(text).format(**names)


def _rename_a_column(draw: random.Random) -> Deed:
    table = draw.choice(list(TABLES))
    away = _sql("alter table {table} rename column status to sttus", table)
    back = _sql("alter table {table} rename column sttus to status", table)
    return Deed((away,), (back,), draw.uniform(0.5, 1.5), table=table)


def _rename_a_table(draw: random.Random) -> Deed:
    table = draw.choice(list(TABLES))
    away = _sql("alter table {table} rename to {away}", table)
    back = _sql("alter table {away} rename to {table}", table)
    return Deed((away,), (back,), draw.uniform(0.5, 1.5), table=table)


def _revoke_a_right_to_a_table(draw: random.Random) -> Deed:
    table = draw.choice(list(TABLES))
    return Deed(
        (_sql("revoke update on {table} from {role}", table),),
        (_sql("grant update on {table} to {role}", table),),
        draw.uniform(1.0, 3.0),
        table=table,
    )


def _pause_a_handler(draw: random.Random) -> Deed:
    table = draw.choice(list(TABLES))
    paused = "update poller.handler set paused_at = {at} where table_name like {name}"
    return Deed(
        (_sql(paused.replace("{at}", "poller.now()"), table), _sql("notify poller")),
        (_sql(paused.replace("{at}", "null"), table), _sql("notify poller")),
        draw.uniform(0.5, 2.0),
        table=table,
    )


def _revoke_the_history(draw: random.Random) -> Deed:
    return Deed(
        (_sql("revoke insert on poller.event, poller.move from {role}"),),
        (_sql("grant insert on poller.event, poller.move to {role}"),),
        draw.uniform(1.0, 3.0),
    )


# Keys in flight, most often; else those that are next.
_IN_FLIGHT = """
    select k::bigint from poller.claim as c, unnest(c.keys) as k, poller.handler as h
     where h.id = c.handler_id and h.table_name like {name} and h.status = 'pending' limit {rows}
"""
_SOME = """(array(%s) || array(select id from {table} where status = 'pending' order by id desc limit 2))"""


def _lock_rows(draw: random.Random) -> Deed:
    table = draw.choice(list(TABLES))
    how = draw.choice(["for update", "for no key update", "for share"])
    locked = _sql(
        "select id from {table} where id = any(" + _SOME % _IN_FLIGHT + ") " + how,
        table,
        rows=draw.randint(1, 5),
    )
    return Deed((locked,), seconds=draw.uniform(1.0, 4.0), holds=True, table=table)


def _lock_a_table(draw: random.Random) -> Deed:
    table = draw.choice(list(TABLES))
    mode = draw.choice(["access exclusive", "exclusive", "share row exclusive"])
    return Deed(
        (_sql("lock table {table} in " + mode + " mode", table),),
        seconds=draw.uniform(0.5, 2.0),
        holds=True,
        table=table,
    )


def _edit_rows(draw: random.Random) -> Deed:
    table = draw.choice(EDITABLE)
    edited = _sql(
        "update {table} set status = 'edited' where status = 'pending' and id = any("
        + _SOME % _IN_FLIGHT
        + ")",
        table,
        rows=draw.randint(1, 10),
    )
    back = _sql("update {table} set status = 'pending' where status = 'edited'", table)
    return Deed((edited,), (back,) if draw.random() < 0.7 else (), draw.uniform(0.5, 3.0), table=table)


def _delete_rows(draw: random.Random) -> Deed:
    table = draw.choice(EDITABLE)
    deleted = _sql(
        "delete from {table} where id = any(" + _SOME % _IN_FLIGHT + ")", table, rows=draw.randint(1, 10)
    )
    return Deed((deleted,), table=table)


def _send_rows_again(draw: random.Random) -> Deed:
    table = draw.choice(EDITABLE)
    again = _sql(
        "update {table} set status = 'pending' where status = 'normal' and id % 997 = {which}"
        " and id > (select max(id) - 3000 from {table})",
        table,
        which=draw.randrange(997),
    )
    return Deed((again,), table=table)


def _add_a_column(draw: random.Random) -> Deed:
    table = draw.choice(list(TABLES))
    return Deed(
        (_sql("alter table {table} add column more int default 7", table),),
        (_sql("alter table {table} drop column more", table),),
        draw.uniform(0.5, 2.0),
        table=table,
    )


def _change_a_type(draw: random.Random) -> Deed:
    table = draw.choice(list(TABLES))
    return Deed(
        (_sql("alter table {table} alter column amount type bigint", table),),
        (_sql("alter table {table} alter column amount type int", table),),
        draw.uniform(0.2, 1.0),
        table=table,
    )


def _stall_commits(draw: random.Random) -> Deed:
    reload = _sql("select pg_reload_conf()")
    return Deed(
        (_sql("alter system set synchronous_standby_names = 'nobody'"), reload),
        (_sql("alter system reset synchronous_standby_names"), reload),
        draw.uniform(0.5, 2.0),
    )


def _cancel_statements(_: random.Random) -> Deed:
    cancelled = _sql(
        "select pg_cancel_backend(pid) from pg_stat_activity where usename = 'fleet' and state <> 'idle'"
    )
    return Deed((cancelled,))


KINDS = {
    "rename a column": _rename_a_column,
    "rename a table": _rename_a_table,
    "revoke a right to a table": _revoke_a_right_to_a_table,
    "pause a handler": _pause_a_handler,
    "revoke the history": _revoke_the_history,
    "lock rows": _lock_rows,
    "lock a table": _lock_a_table,
    "edit rows": _edit_rows,
    "delete rows": _delete_rows,
    "send rows again": _send_rows_again,
    "add a column": _add_a_column,
    "change a type": _change_a_type,
    "stall commits": _stall_commits,
    "cancel statements": _cancel_statements,
}
