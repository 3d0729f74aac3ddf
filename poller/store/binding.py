"""A handler bound to its real table: every statement that the engine runs for it, composed once.

The status stands in the claim as a literal, not as a parameter: only then can the planner prove that
a partial index `… where status = 'pending'` serves it (Postgres docs, 11.8).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from poller.db import tables, users_sql
from poller.db.search_path import AS_USERS
from poller.db.statements import statement, trusted
from poller.db.users_sql import Texts
from poller.errors import ConfigurationError
from poller.errors_in_words import encoding_of
from poller.model.context import RowShape
from poller.model.handler import refuse_collisions
from poller.store.row_size import row_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from poller.db.tables import Column, Table
    from poller.model.handler import Handler
    from poller.model.mapped import Reader
    from poller.model.table_name import TableName

LOOK_ROWS = 2000  # rows to search for those whose turn it is
CLAIM_BYTES = 32 * 2**20  # the most that the rows of a claim may have, unless one row alone is larger

_TRUE = sql.SQL("true")
_NOW = sql.SQL("poller.now()")
_NULL = sql.SQL("null")
_OF_HANDLER = sql.SQL("h.status")

# How a settle treats the locks of other transactions: it waits for them.
_WAITING = {
    "skip_locked": sql.SQL(""),
    "free": sql.SQL("select"),
    "is_free": _TRUE,
    "is_busy": sql.SQL("false"),
}


@dataclass(eq=False)
class Binding:
    """A handler, its table, and the number under which poller's own tables know the two."""

    handler: Handler
    table: Table
    id: int = 0
    database: str = ""  # the name that handlers know
    encoding: str = "UTF8"  # of the database, as Postgres names it
    texts: Texts | None = None  # the handler's, as they stand in statements
    hashed: frozenset[str] = frozenset()  # the columns of `per_key` whose types have a hash
    shown: tuple[str, ...] = ()  # what rows show that are leased, where it is not the handler's `held`
    _settle: dict[tuple[tuple[str, ...], bool, bool], sql.Composed] = field(default_factory=dict, repr=False)
    _claims: dict[tuple[str, bool], sql.Composed] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"{self.table}:{self.handler.label}"

    @property
    def is_bound(self) -> bool:
        """Whether its table is known; else no statement can be composed before `rebind` (`binding_again`)."""
        return bool(self.table.columns)

    @cached_property
    def named(self) -> dict[str, str]:
        """The fields of events about the handler (`telemetry.events.HandlerEvent`); needs the database's name."""
        handler = self.handler
        return {
            "handler": str(self),
            "table": str(self.table),
            "status": handler.status,
            "database": self.database,
        }

    def rebind(self, connection: psycopg.Connection[Any]) -> None:
        """Bind to the table as it is now, and compose every statement again.

        Raises:
            ConfigurationError: the table is unfit for the handler.
        """
        table = tables.describe(connection, self.handler.table)
        tables.check(connection, self.handler, table)
        texts, hashed = _texts(connection, self.handler, table), _hashed(connection, self.handler, table)
        made = replace(self, table=table, texts=texts, hashed=hashed, _settle={}, _claims={})
        self.__dict__ = made.__dict__  # at one go: other threads compose statements meanwhile

    def as_now(self) -> Binding:
        """Return the binding as it is now: the statements of one claim, and what reads their rows, are of one table.

        It costs nothing: what is composed by either is there for both, until this one is bound anew.
        """
        now = object.__new__(Binding)
        now.__dict__ = self.__dict__
        return now

    @cached_property
    def shape(self) -> RowShape:
        """The positions of the columns in a fetched tuple; its first element is the key as text."""
        names = list(self.table.columns)
        return RowShape(
            {name: at for at, name in enumerate(names, start=1)},
            tuple(names.index(name) + 1 for name in self.table.key),
        )

    @cached_property
    def reader(self) -> Reader | None:
        """The reader that makes instances of the rows, if the handler gets instances.

        Raises:
            ConfigurationError: the class does not fit the table.
        """
        entity = self.handler.entity
        codes = {name: each.code for name, each in self.table.columns.items()}
        return None if entity is None else entity.reader(codes)

    @cached_property
    def group(self) -> sql.Composed:
        """What rows `t` with equal `per_key` values have in common; null if one of the columns is null.

        It is their hash, since equal values may be written differently: `1.0` and `1.00`, `A` and `a` of a citext. A
        type that has no hash is compared as text.
        """
        parts = sql.SQL(", ").join(
            sql.SQL("{}" if name in self.hashed else "{}::text").format(sql.Identifier("t", name))
            for name in self.handler.per_key
        )
        form = "case when num_nulls({}) = 0 then hash_record_extended(row({}), 0) end"
        return sql.SQL(form).format(sql.SQL(", ").join(self._per_key), parts)

    @cached_property
    def group_text(self) -> sql.Composed:
        """The `per_key` values of a row `t` as text, for people; null if one of the columns is null."""
        texts = [sql.SQL("{}::text").format(each) for each in self._per_key]
        if len(texts) == 1:
            return texts[0]
        form = "case when num_nulls({}) = 0 then array[{}]::text end"
        return sql.SQL(form).format(sql.SQL(", ").join(self._per_key), sql.SQL(", ").join(texts))

    @property
    def _per_key(self) -> list[sql.Identifier]:
        return [sql.Identifier("t", name) for name in self.handler.per_key]

    def asked(
        self, limit: int, *, after: str | None = None, worker: int = 0, seen: str = "{}"
    ) -> dict[str, Any]:
        """Return the parameters of the claims; a claim may use only some of them."""
        return {
            "handler": self.id,
            "limit": limit,
            "after": after,
            "worker": worker,
            "seen": seen,
            "bytes": CLAIM_BYTES,
            "look": LOOK_ROWS,
            "per_key_limit": self.handler.per_key_limit,
            "waiting_hold": self.handler.in_order,
            "sorted": self.goes_on,
        }

    @property
    def goes_on(self) -> bool:
        """Whether a claim may continue where the last one ended, in the key's order, instead of at the first row."""
        return self.handler.order_by is None and not self.handler.per_key

    @property
    def claim_first(self) -> sql.Composed:
        """The claim from the beginning of the order; with `per_key`, only of rows whose turn it is."""
        return self.claim("first")

    @property
    def claim_next(self) -> sql.Composed:
        """The claim of rows after the key `%(after)s`."""
        return self.claim("next")

    def claim(self, which: str, *, keys_only: bool = False) -> sql.Composed:
        """Return a claim.

        Args:
            which: "first", "next", or "retries": rows whose next attempt is due (with `per_key`, if it is their
                turn).
            keys_only: read only the keys of the rows.
        """
        if (which, keys_only) not in self._claims:
            looks = {"first": self._look_first, "next": self._look_next, "retries": self._look_retries}
            name = "claim_retries" if which == "retries" else "claim"
            look = looks[which](self._sized() if keys_only else self._columns())
            self._claims[which, keys_only] = self._claim(name, look, keys_only=keys_only)
        return self._claims[which, keys_only]

    def _look_first(self, columns: sql.Composed) -> sql.Composed:
        return self._keyed("look_fresh", columns) if self.handler.per_key else self._look(columns)

    def _look_next(self, columns: sql.Composed) -> sql.Composed:
        keys = (None, "c.keys[cardinality(c.keys)]", "k.key")
        return self._look(columns, *(self.table.is_after("%(after)s", of=each) for each in keys))

    def _look_retries(self, columns: sql.Composed) -> sql.Composed:
        if self.handler.per_key:
            return self._keyed("look_retries", columns)
        return self._looked_for(
            "look_due_retries", columns=columns, due_retries=_due_retries("others"), is_retry=self._retry()
        )

    @cached_property
    def count_due(self) -> sql.Composed:
        """The count of rows that are due and not parked."""
        return statement(
            "count_due",
            **self._names(),
            handler=sql.Literal(self.id),
            due=self.due,
            key=self.table.key_text(),
        )

    @cached_property
    def waits_for_attempt(self) -> sql.Composed:
        """The query whether any row waits for another attempt that it will get: from `during` it is taken back."""
        return self._of_waiting("waits_for_attempt")

    @cached_property
    def count_on_hold(self) -> sql.Composed:
        """The count of rows that have failed and are not due for now."""
        return self._of_waiting("count_on_hold")

    def _of_waiting(self, name: str) -> sql.Composed:
        is_known, due = self.table.is_key("a.key"), self.due
        if self.handler.during is not None:
            due = sql.SQL("({} or {})").format(due, self.shows_during)
        return statement(name, **self._names(), handler=sql.Literal(self.id), due=due, is_known=is_known)

    @cached_property
    def trigger(self) -> sql.Composed:
        """The DDL of the trigger that wakes the workers."""
        return statement("trigger", **self._names())

    @cached_property
    def last_key(self) -> sql.Composed:
        """The query for the last row that has the status."""
        backwards = [sql.SQL("{} desc").format(sql.Identifier("t", name)) for name in self.table.key]
        return statement(
            "last_key",
            **self._names(),
            shows_status=self._shows(self.handler.status),
            key=self.table.key_text(),
            order=sql.SQL(", ").join(backwards),
        )

    @cached_property
    def tidy_retries(self) -> sql.Composed:
        """The query for due retries that cannot be taken."""
        is_listed = self.table.is_key('d."~key"')
        return statement("tidy_retries", **self._names(), due=self.due, is_listed=is_listed)

    @cached_property
    def put_off_retries(self) -> sql.Composed:
        """The statement that postpones those retries that still cannot be taken."""
        is_known = self.table.is_key("a.key")
        return statement("put_off_retries", **self._names(), due=self.due, is_known=is_known)

    @cached_property
    def lock_shown(self) -> sql.Composed:
        """The statement that locks rows which show the handler's `during`."""
        return statement("lock_shown", **self._in_work())

    def _in_work(self) -> dict[str, sql.Composable]:
        is_own = self.table.is_key("o.poller_key")
        return {**self._settled(), "shows_during": self.shows_during, "is_own": is_own}

    @cached_property
    def stray_attempts(self) -> sql.Composed:
        """The query that locks and lists remembered rows that are gone or show another status."""
        return statement("stray_attempts", **self._known('k."~key"'))

    @cached_property
    def forget(self) -> sql.Composed:
        """The statement that forgets those strays that are still gone or show another status."""
        return statement("forget", **self._known("a.key"))

    def _known(self, key: str) -> dict[str, sql.Composable]:
        statuses = dict.fromkeys([self.handler.status, self.handler.held])
        return {
            **self._names(),
            "is_known": self.table.is_key(key),
            "shows_own": sql.SQL(" or ").join(map(self._shows, statuses)),
            "table_oid": sql.Literal(self.table.oid),
        }

    @cached_property
    def show_during(self) -> sql.Composed | None:
        """The UPDATE to the handler's `during`, or None if it has none."""
        if self.handler.during is None:
            return None
        return statement(
            "show_during",
            **self._names(),
            during=sql.Literal(self.handler.during),
            is_own=self.table.is_key("o.poller_key"),
            key=self.table.key_text(),
            columns=self._columns(),
        )

    @cached_property
    def stuck_rows(self) -> sql.Composed:
        """The query for rows that show `during` though no worker holds them."""
        return statement("stuck_rows", **self._in_work())

    @cached_property
    def restore_retried(self) -> sql.Composed:
        """The statement that gives rows which nobody holds the status back that `during` had replaced."""
        return statement(
            "restore_retried",
            **self._in_work(),
            strays=self._column.differs(self._status(), sql.Literal(self.handler.status)),
        )

    @cached_property
    def read_rows(self) -> sql.Composed:
        """The statement that fetches rows by their keys."""
        return statement(
            "read_rows",
            **self._names(),
            key=self.table.key_text(),
            columns=self._columns(),
            is_own=self.table.is_key("o.poller_key"),
        )

    @cached_property
    def read_keys(self) -> sql.Composed:
        """The statement that fails for keys which the table's key cannot be."""
        casts = sql.SQL(", ").join(self.table.key_casts("k.key"))
        return statement("read_keys", users=self.users, casts=casts)

    @cached_property
    def lock_rows(self) -> sql.Composed:
        """The statement that locks leased rows for the transaction of their handlers."""
        return statement(
            "lock_rows",
            **self._names(),
            shows_held=self._shows(self.handler.held),
            key=self.table.key_text(),
            columns=self._columns(),
            is_own=self.table.is_key("o.poller_key"),
        )

    @cached_property
    def due(self) -> sql.Composed:
        """The condition on a row `t` that makes it due."""
        return self._due(_NOW)

    @cached_property
    def due_at_once(self) -> sql.Composed:
        """The same, but the clock is read once, and not for each row; no plan can estimate by it."""
        return self._due(sql.SQL("(select poller.now())"))

    def _due(self, now: sql.SQL) -> sql.Composed:
        further = (self._meets_where, self._is_time(now))
        conditions = [self.users, self._shows(self.handler.status), *(each for each in further if each)]
        return sql.SQL(" and ").join(conditions)

    @property
    def _meets_where(self) -> sql.Composed | None:
        where = self._texts.where
        return (
            None if where is None else sql.SQL("({}\n)").format(trusted(where))
        )  # it may end with a comment

    def _is_time(self, now: sql.SQL = _NOW) -> sql.Composed | None:
        """The condition on a row `t` that its time has come, if the handler has a `due`."""
        if self.handler.due is None:
            return None
        has_zone = self._has_zone(self.handler.due)
        local = sql.SQL("({} at time zone {})").format(now, sql.Literal(self.table.zone))
        return sql.SQL("{} <= {}").format(sql.Identifier("t", self.handler.due), now if has_zone else local)

    def _has_zone(self, column: str) -> bool:
        return self.table.columns[column].time == "timestamp with time zone"

    def _instant(self, column: str) -> sql.Composable:
        """Return a time of a row `t` as an instant: one without a zone is read in the database's."""
        name = sql.Identifier("t", column)
        if self._has_zone(column):
            return name
        zone = sql.Literal(self.table.zone)
        return sql.SQL("(({}::timestamp) at time zone {})").format(name, zone)

    @cached_property
    def explain_row(self) -> sql.Composed:
        """The query that tests each condition of a claim on the row with the key `%(key)s` separately."""
        due = self.handler.due
        return self._explain_row(
            where=self._meets_where or _TRUE,
            is_time=self._is_time() or _TRUE,
            due_at=_NULL if due is None else self._instant(due),
            group=self.group if self.handler.per_key else _NULL,
            group_text=self.group_text if self.handler.per_key else _NULL,
        )

    @cached_property
    def explain_row_bare(self) -> sql.Composed:
        """The same without the handler's own conditions, for a row at which one of them fails."""
        return self._explain_row(where=_TRUE, is_time=_TRUE, due_at=_NULL, group=_NULL, group_text=_NULL)

    def _explain_row(self, **conditions: sql.Composable) -> sql.Composed:
        return statement(
            "explain_row",
            **self._names(),
            key=self.table.key_text(),
            shows_status=self._shows(self.handler.status),
            is_own=self.table.is_key("%(key)s"),
            **conditions,
        )

    @cached_property
    def explain_turn(self) -> sql.Composed:
        """The query for rows with the same `per_key` that go before the row with the key `%(key)s`."""
        return self._looked_for("explain_turn", group=self.group, is_busy=self.table.is_key('b."~key"'))

    def full_keys(self, *, with_value: bool) -> sql.Composed:
        """Return the query for the values of `per_key` that are full, with the values themselves or without."""
        return statement(
            "full_keys",
            **self._names(),
            group=self.group,
            value=self.group_text if with_value else _NULL,
            is_busy=self.table.is_key('b."~key"'),
        )

    @cached_property
    def explain_lock(self) -> sql.Composed:
        """The query that locks the row with the key `%(key)s`, if no other transaction has locked it."""
        return statement("explain_lock", **self._names(), is_own=self.table.is_key("%(key)s"))

    @property
    def order(self) -> sql.Composable:
        """The order of rows: the handler's own, else the primary key's."""
        if self._texts.order_by is not None:
            return trusted(self._texts.order_by)
        return self._key_order()

    @property
    def _texts(self) -> Texts:
        return self.texts or Texts(self.handler.where, self.handler.order_by)

    def _key_order(self) -> sql.Composed:
        return sql.SQL(", ").join(sql.Identifier("t", name) for name in self.table.key)

    def settle(
        self, columns: tuple[str, ...] = (), *, shown: bool = True, only_free: bool = False
    ) -> sql.Composed:
        """Return the statement that settles outcomes which set these further columns.

        Args:
            columns: their names.
            shown: whether the rows show the handler's `during`, if it has one.
            only_free: leave out rows that another transaction has locked, instead of waiting.

        Raises:
            ConfigurationError: one of the columns cannot be set.
        """
        form = (columns, shown, only_free)
        if form not in self._settle:
            self._settle[form] = self._compose_settle(columns, shown=shown, only_free=only_free)
        return self._settle[form]

    @cached_property
    def settle_moved(self) -> sql.Composed:
        """The statement that settles outcomes which have moved their rows to one status, and nothing else."""
        worth = trusted("true" if self.handler.history == "all" else "false")
        return statement(
            "settle_moved",
            **self._settled(),
            is_next=self._column.same_status(_OF_HANDLER, sql.Placeholder("to_status")),
            strays=self._strays("%(to_status)s"),
            worth_recording=worth,
        )

    @cached_property
    def statuses(self) -> sql.Composed:
        """The query that tests whether the column accepts the statuses that rows may move to."""
        return statement("statuses", status_type=trusted(self.table.columns[self.handler.column].full_type))

    @cached_property
    def touch(self) -> sql.Composed:
        """The UPDATE that sets the status to itself; it is planned, never executed."""
        return statement("plan_status_write", **self._names())

    @cached_property
    def who_locks(self) -> sql.Composed:
        """The query for the session that holds the lock of a row, or of the whole table."""
        return statement(
            "who_locks",
            **self._names(),
            is_own=self.table.is_key("%(key)s"),
            table_oid=sql.Literal(self.table.oid),
        )

    @property
    def kept_back(self) -> sql.Composed:
        """The query whether a due row may be changed."""
        return statement(
            "kept_back",
            **self._names(),
            handler=sql.Literal(self.id),
            due=self.due,
            key=self.table.key_text(),
            claimed_columns=self._claimed(),
            key_order=self._key_order(),
        )

    def peek(self, *, after: bool) -> sql.Composed:
        """Return the query whether a row is due; with `after`, past the key `%(after_<id>)s`."""
        return statement(
            "peek",
            **self._names(),
            handler=sql.Literal(self.id),
            due=self.due,
            key=self.table.key_text(),
            claimed_columns=self._claimed(),
            after=self.table.is_after(f"%(after_{self.id})s") if after else _TRUE,
            key_order=self._key_order(),
        )

    def _claim(self, name: str, look: sql.Composed, *, keys_only: bool) -> sql.Composed:
        names = [sql.Identifier(f"column_{place}") for place in self.shape.index.values()]
        return statement(
            name,
            look=look,
            names=sql.SQL(", ").join(names),
            fitting=statement("fitting", size=row_bytes(self.table, self.shape.index)),
            shown=trusted("looked.key" if keys_only else "looked.*"),
        )

    def _looked_for(self, name: str, **parts: sql.Composable) -> sql.Composed:
        return statement(
            name,
            **self._names(),
            **parts,
            key=self.table.key_text(),
            due=self.due,
            claimed_columns=self._claimed(),
            order=self.order,
        )

    def _look(
        self,
        columns: sql.Composed,
        after: sql.Composable = _TRUE,
        lease_after: sql.Composable = _TRUE,
        claimed_after: sql.Composable = _TRUE,
    ) -> sql.Composed:
        places = {"after": after, "lease_after": lease_after, "claimed_after": claimed_after}
        return self._looked_for("look", columns=columns, **places)

    def _keyed(self, look: str, columns: sql.Composed) -> sql.Composed:
        retries = {"due_retries": _due_retries("look"), "is_retry": self._retry()}
        return self._looked_for(
            "look_keyed",
            columns=columns,
            look=self._looked_for(look, group=self.group, **retries),
            group=self.group,
            is_busy=self.table.is_key('b."~key"'),
            is_chosen=self.table.is_key('"~chosen"."~key"'),
        )

    def _retry(self) -> sql.Composable:
        return self.table.is_key('"~retry"."~key"')

    def _columns(self) -> sql.Composed:
        return sql.SQL(", ").join(sql.Identifier("t", each) for each in self.table.columns)

    def _sized(self) -> sql.Composed:
        """Return the columns whose stored sizes tell how large a row is; a virtual one is not computed for that.

        It may raise, and a claim by keys is made to find the row at which it does.
        """
        columns = self.table.columns.items()
        parts = [_NULL if each.virtual else sql.Identifier("t", name) for name, each in columns]
        return sql.SQL(", ").join(parts)

    def _claimed(self) -> sql.Composed:
        return self.table.key_claimed("k.key")

    def _compose_settle(self, names: tuple[str, ...], *, shown: bool, only_free: bool) -> sql.Composed:
        for name in names:
            self._check_settable(name)
        # Without their lengths: a cast to varchar(3) cuts silently, an assignment refuses.
        types = [trusted(self.table.columns[name].type) for name in names]
        values = [sql.Identifier(f"value_{at}") for at in range(len(names))]
        worth = {"all": "true", "failures": "s.result not in ('moved', 'snoozed')", "off": "false"}
        settled = self._settled(shown=shown)
        return statement(
            "settle",
            **settled,
            is_next=self._is_next,
            is_to=self._column.same_status(sql.SQL("n.status"), sql.SQL("s.to_status")),
            strays=self._strays("o.to_status"),
            **(_not_waiting(settled) if only_free else _WAITING),
            worth_recording=trusted(worth[self.handler.history]),
            value_names=_each(", {}", values),
            value_parameters=_each(
                ", {}::text[]", [sql.Placeholder(f"value_{at}") for at in range(len(names))]
            ),
            assignments=sql.Composed(
                [
                    sql.SQL(", {} = o.{}::{}").format(sql.Identifier(name), value, kind)
                    for name, value, kind in zip(names, values, types, strict=True)
                ]
            ),
        )

    @property
    def _is_next(self) -> sql.Composable:
        """The condition on a handler `h` to have a status that one of the rows moves to."""
        if self._column.words is None:
            return sql.SQL("h.status = any (array(select kind.to_status from kind))")
        same = self._column.same_status(_OF_HANDLER, sql.SQL("kind.to_status"))
        return sql.SQL("exists (select from kind where {})").format(same)

    def _settled(self, *, shown: bool = True) -> dict[str, sql.Composable]:
        return {
            **self._names(),
            "has_its_rows": self.table.has_its_rows(),
            "status_column": sql.Literal(self.handler.column),
            "status_type": trusted(self.table.columns[self.handler.column].full_type),
            "shows_held": self._shows_held if shown else self._shows(self.handler.status),
            "from_status": sql.Literal(self.handler.status),
            "is_outcome": self.table.is_key("o.poller_key"),
        }

    def _check_settable(self, name: str) -> None:
        column = self.table.columns.get(name)
        reason = (
            "has no such column"
            if column is None
            else "generates it"
            if column.generated
            else "has it as its status"
            if name == self.handler.column
            else "is keyed by it"
            if name in self.table.key
            else None
        )
        if reason is not None:
            msg = f"Transition cannot set {name!r}: table {self.table} {reason}"
            raise ConfigurationError(msg)

    def _names(self) -> dict[str, sql.Composable]:
        return {
            "table": self.table.identifier,
            "status": sql.Identifier(self.handler.column),
            "key_columns": self.table.key_columns(),
            "users": self.users,
            "is_keyed": _TRUE if self.handler.is_job else self.table.is_keyed,
        }

    @property
    def users(self) -> sql.SQL:
        """The beginning of a query that may run users' functions: it sets the users' search path."""
        is_users = not self.handler.is_job and (self.handler.where or self.handler.order_by)
        return AS_USERS if is_users else self.table.users

    @property
    def shows_during(self) -> sql.Composed:
        """The condition on a row `t` to show the handler's `during`."""
        assert self.handler.during is not None  # noqa: S101 - the caller has checked
        shown = [each for each in self.shown or (self.handler.during,) if each != self.handler.status]
        return sql.SQL("({})").format(sql.SQL(" or ").join(map(self._shows, shown)))

    @property
    def shows_status(self) -> sql.Composed:
        """The condition on a row `t` to show the handler's status."""
        return self._shows(self.handler.status)

    @property
    def _shows_held(self) -> sql.Composed:
        """The condition on a row `t` to show what it did when it was leased."""
        either = sql.SQL(" or ").join(map(self._shows, self.shown or (self.handler.held,)))
        return sql.SQL("({})").format(either)

    def leased_as(self, during: str | None) -> Binding:
        """Return the handler as it was when it leased rows: it may have had another `during`, or none.

        A deploy that renames a `during` may rename it in the rows, too, or as a label of their type: then they show the
        handler's own by now.

        Args:
            during: what the lease has noted; None if rows showed the status, or an older version leased them.
        """
        handler = self.handler
        if handler.is_job or during == handler.during:
            return self
        labels = self.table.columns[handler.column].labels
        if during is None or (labels is not None and during not in labels):
            return replace(self, shown=(handler.status, handler.held), _settle={}, _claims={})
        shown = (during,) if handler.during is None else (during, handler.during)
        return replace(self, handler=replace(handler, during=during), shown=shown, _settle={}, _claims={})

    def _shows(self, status: str) -> sql.Composed:
        """Return the condition on a row `t` to show a status."""
        return self._column.equal(self._status(), sql.Literal(status))

    def _strays(self, to: str) -> sql.Composed:
        """Return the condition on a row `t` to show another status than that of the SQL expression `to`."""
        return self._column.differs(self._status(), tables.trusted_cast(to, self._column.full_type))

    @property
    def _column(self) -> Column:
        return self.table.columns[self.handler.column]

    def _status(self) -> sql.Identifier:
        return sql.Identifier("t", self.handler.column)


def _not_waiting(settled: Mapping[str, sql.Composable]) -> dict[str, sql.Composable]:
    """Return the parts of a settle that skips rows which other transactions have locked."""
    return {
        "skip_locked": sql.SQL("skip locked"),
        "free": statement("free_rows", **settled),
        "is_free": sql.SQL("o.poller_key in (select f.poller_key from free as f)"),
        "is_busy": sql.SQL(
            "o.lease not in (select h.lease from held as h)"
            " and o.lease in (select c.lease from poller.claim as c where c.lease = any(%(leases)s::uuid[]))"
        ),
    }


def _due_retries(most: str) -> sql.Composed:
    return statement("due_retries", most=sql.Placeholder(most))


def _each(form: str, parts: list[Any]) -> sql.Composed:
    return sql.Composed([trusted(form).format(part) for part in parts])


def bind(
    connection: psycopg.Connection[Any],
    handler: Handler,
    *,
    look: bool = False,
    known: dict[TableName, Table] | None = None,
) -> Binding:
    """Bind a handler to its table; nothing of poller's own schema is needed yet.

    Args:
        connection: where the table is.
        handler: which.
        look: its rows will only be read, as questions do; the right to update them is not asked for.
        known: tables that were described a moment ago for handlers before; this one is added.

    Raises:
        ConfigurationError: the table is unfit for the handler; the text begins with the handler's place.
    """
    try:
        table = known.get(handler.table) if known else None
        table = table or tables.describe(connection, handler.table, look=look)
        tables.check(connection, handler, table)
        texts = _texts(connection, handler, table)
    except ConfigurationError as error:
        msg = f"{handler.place}: {error}"
        raise ConfigurationError(msg) from None
    if known is not None:
        known[handler.table] = table
    return Binding(
        handler,
        table,
        database=connection.info.dbname,
        encoding=encoding_of(connection),
        texts=texts,
        hashed=_hashed(connection, handler, table),
    )


def _texts(connection: psycopg.Connection[Any], handler: Handler, table: Table) -> Texts:
    texts = Texts(handler.where, handler.order_by)
    if handler.is_job:
        return texts
    if texts.where is not None:
        users_sql.refuse_system_columns(connection, table, texts.where)
    return users_sql.resolved(connection, table, texts)


def _hashed(connection: psycopg.Connection[Any], handler: Handler, table: Table) -> frozenset[str]:
    """Return those columns of a handler's `per_key` whose types Postgres has a hash for: not json or point, say."""
    return frozenset(name for name in handler.per_key if _has_hash(connection, table.columns[name]))


def _has_hash(connection: psycopg.Connection[Any], column: Column) -> bool:
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement("has_hash", type=trusted(column.type)), {})
    except (psycopg.errors.UndefinedFunction, psycopg.errors.InsufficientPrivilege):
        return False
    return True


def bind_all(
    connection: psycopg.Connection[Any], handlers: Iterable[Handler], *, look: bool = False
) -> list[Binding]:
    """Bind handlers to their tables; `look` as for `bind`.

    Raises:
        ConfigurationError: a table is unfit for its handler, or two handlers that name a table differently
            mean the same one.
    """
    bindings = [bind(connection, handler, look=look) for handler in handlers]
    refuse_equal(connection, bindings)
    return bindings


def refuse_equal(connection: psycopg.Connection[Any], bindings: Sequence[Binding]) -> None:
    """Refuse two handlers that would take the same rows, however they write the status, and name the table.

    Raises:
        ConfigurationError: naming both places.
    """
    refuse_collisions((str(binding.table), binding.handler) for binding in bindings)
    for group in _of_columns(bindings):
        _refuse_kin(group)
        _refuse_written_alike(connection, group)


def _of_columns(bindings: Sequence[Binding]) -> Iterator[list[Binding]]:
    """Yield the handlers of each table's status column, with those of each table that it has rows in common with."""
    groups: dict[tuple[str, str], list[Binding]] = {}
    for each in bindings:
        groups.setdefault((str(each.table), each.handler.column), []).append(each)
    for (_, column), group in groups.items():
        kin = [groups[name, column] for name in group[0].table.kin if (name, column) in groups]
        yield from ([*group, *others] for others in kin or [[]])


def _refuse_kin(group: Sequence[Binding]) -> None:
    """Refuse a handler of a table and one of its partitions for one status: each row would run in both at once."""
    try:
        refuse_collisions((str(group[0].table), each.handler) for each in group)
    except ConfigurationError as error:
        msg = f"{error} ({group[0].table} and {group[-1].table} have rows in common, by partition)"
        raise ConfigurationError(msg) from None


def _refuse_written_alike(connection: psycopg.Connection[Any], group: Sequence[Binding]) -> None:
    table, column = group[0].table, group[0].table.columns[group[0].handler.column]
    shown = {
        status: each.handler
        for each in group
        for status in (each.handler.status, each.handler.during)
        if status is not None
    }
    for one, other in tables.equal_statuses(connection, column, list(shown)):
        first, second = shown[one], shown[other]
        if first is not second:
            msg = (
                f"two handlers for {table}:{one}: {first.place} and {second.place}; "
                f"its column {column.name} takes {other!r} for the same status; keep one"
            )
            raise ConfigurationError(msg)
