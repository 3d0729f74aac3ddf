"""Mapped classes: handlers get instances, and answer in the class's own names and types."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import (
    JSON,
    Enum,
    ForeignKey,
    Integer,
    NullPool,
    TypeDecorator,
    case,
    create_engine,
    exists,
    inspect,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.orm.exc import DetachedInstanceError

from poller import Context, Transition, handler, purge
from poller.errors import ConfigurationError
from poller.testing import Engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller import Handler
    from poller.testing import Done
    from tests.harness import Project


class Cents(TypeDecorator[Decimal]):
    """An amount, which the database has in cents."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, _: Any) -> int | None:
        return None if value is None else int(value * 100)

    def process_result_value(self, value: int | None, _: Any) -> Decimal | None:
        return None if value is None else Decimal(value) / 100


class Base(DeclarativeBase):
    """The user's."""


class Tenant(Base):
    """A tenant, whose columns are called otherwise in the database."""

    __tablename__ = "tenants"

    class Status(enum.Enum):
        """Stored by name, as SQLAlchemy does."""

        pending = "p"
        normal = "n"
        failed = "f"

    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[Status] = mapped_column("tenant_status", Enum(Status, native_enum=False))
    credit: Mapped[Decimal | None] = mapped_column("credit_cents", Cents)
    plan: Mapped[Any] = mapped_column(JSON, nullable=True)
    notes: Mapped[list[Note]] = relationship(back_populates="tenant")


class Note(Base):
    """Something about a tenant."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenants.id"))
    text: Mapped[str]
    tenant: Mapped[Tenant] = relationship(back_populates="notes")


class Special(Tenant):
    """A tenant whose row is in two tables."""

    __tablename__ = "special"
    id: Mapped[int] = mapped_column(ForeignKey("tenants.id"), primary_key=True)


PENDING, NORMAL = Tenant.Status.pending, Tenant.Status.normal


@pytest.fixture
def url(url: str) -> str:
    """A database with three tenants, and a note on each."""
    with psycopg.connect(url) as db:
        db.execute(
            "create table tenants (id int primary key, tenant_status text, credit_cents int, plan json)"
        )
        db.execute(
            "insert into tenants select i, 'pending', 150, '{\"a\": 1}' from generate_series(1, 3) as i"
        )
        db.execute("create table notes (id serial primary key, tenant_id int references tenants, text text)")
        db.execute("insert into notes (tenant_id, text) select i, 'old' from generate_series(1, 3) as i")
    return url


def made(function: Callable[..., Any], **options: Any) -> Handler:
    """Register a function for the pending tenants."""
    chosen = {"status": PENDING, "to": NORMAL, "column": "state", **options}
    return handler(Tenant, **chosen)(function)


def run(url: str, step: Handler) -> list[Done]:
    """Run what is due."""
    with Engine(url, step, concurrency=1) as engine:
        return engine.run_due()


def rows(db: psycopg.Connection[Any]) -> list[Any]:
    """Return the tenants as the database has them."""
    return db.execute("select tenant_status, credit_cents from tenants order by id").fetchall()


def test_a_handler_gets_instances(url: str, db: psycopg.Connection[Any]) -> None:
    """As a query would have loaded them: with their types, detached, and nothing changed."""
    seen: list[Tenant] = []
    run(url, made(seen.append))
    first = seen[0]
    assert isinstance(first, Tenant)
    assert (first.id, first.state, first.credit, first.plan) == (1, PENDING, Decimal("1.5"), {"a": 1})
    state: Any = inspect(first)
    assert state.detached
    assert not state.modified
    with pytest.raises(DetachedInstanceError):
        _ = first.notes
    assert [status for status, _ in rows(db)] == ["normal"] * 3


def test_it_answers_in_the_classs_own_names_and_types(url: str, db: psycopg.Connection[Any]) -> None:
    """Members of its enum, attributes, values that a type decorator knows; the database's text will do as well."""

    def step(tenant: Tenant) -> Any:
        match tenant.id:
            case 1:
                return NORMAL
            case 2:
                return Transition(Tenant.Status.failed, credit=Decimal("2.25"), plan=None)
        return "failed"

    run(url, made(step, to={NORMAL, Tenant.Status.failed}))
    assert rows(db) == [("normal", 150), ("failed", 225), ("failed", 150)]


def test_a_value_that_its_type_refuses_fails_the_attempt(url: str) -> None:
    """With the type's reason."""
    done = run(url, made(lambda _: Transition(NORMAL, credit="much"), attempts=1))
    assert {each.became for each in done} == {"parked"}
    assert "much" in str(done[0].error) or "int" in str(done[0].error)


def test_options_name_attributes(url: str, db: psycopg.Connection[Any]) -> None:
    """`during`, `on_failure`, `per_key`: by the class's names; SQL is the database's."""

    def step(tenant: Tenant) -> None:
        assert tenant.state is Tenant.Status.failed
        raise ValueError

    run(
        url,
        made(
            step,
            during=Tenant.Status.failed,
            on_failure="gone",
            per_key="credit",
            where="credit_cents > 100",
            attempts=1,
        ),
    )
    assert [status for status, _ in rows(db)] == ["gone"] * 3


@pytest.mark.parametrize("with_context", [True, False])
def test_in_a_transaction_they_are_in_its_session(
    url: str, db: psycopg.Connection[Any], *, with_context: bool
) -> None:
    """What is changed on them commits with the move; relations load."""

    def change(tenant: Tenant) -> None:
        assert not inspect(tenant).detached  # type: ignore[union-attr]
        tenant.credit = Decimal(7)
        tenant.notes[0].text = "read"
        tenant.notes.append(Note(text="new"))

    def with_it(tenant: Tenant, ctx: Context) -> None:
        assert tenant in ctx.session
        change(tenant)

    run(url, made(with_it if with_context else change, transactional=True))
    assert rows(db) == [("normal", 700)] * 3
    texts = db.execute("select text, count(*) from notes group by 1 order by 1").fetchall()
    assert texts == [("new", 3), ("read", 3)]


def test_in_a_transaction_what_a_failed_handler_has_changed_is_undone(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Of that one only."""

    def step(tenant: Tenant) -> None:
        tenant.credit = Decimal(7)
        if tenant.id == 2:
            raise ValueError

    run(url, made(step, transactional=True))
    assert rows(db) == [("normal", 700), ("pending", 150), ("normal", 700)]


def test_in_a_transaction_the_status_is_returned_and_not_set(url: str, db: psycopg.Connection[Any]) -> None:
    """It would be taken for somebody else's edit."""

    def step(tenant: Tenant) -> None:
        tenant.state = NORMAL

    done = run(url, made(step, transactional=True, attempts=1))
    assert {each.became for each in done} == {"parked"}
    assert "the handler set Tenant.state; return the status instead" in str(done[0].error)
    assert rows(db) == [("pending", 150)] * 3


def test_a_batch_is_of_instances(url: str, db: psycopg.Connection[Any]) -> None:
    """In a transaction all of them are in its session; a dict answers by their keys."""
    everything = {1: NORMAL, 2: Tenant.Status.failed, 3: NORMAL}

    def step(tenants: list[Tenant], ctx: Context) -> dict[int, Any]:
        for tenant in tenants:
            assert tenant in ctx.session
            tenant.credit = Decimal(tenant.id)
        return everything

    run(url, made(lambda _: {2: ValueError()}, batch=10, attempts=1, on_failure="gone"))
    assert [status for status, _ in rows(db)] == ["normal", "gone", "normal"]
    db.execute("update tenants set tenant_status = 'pending'")
    run(url, made(step, to=set(everything.values()), batch=10, transactional=True))
    assert rows(db) == [("normal", 100), ("failed", 200), ("normal", 300)]


def test_ctx_settle_takes_the_classs_names_and_types(url: str, db: psycopg.Connection[Any]) -> None:
    """As an answer does."""

    def step(_: Tenant, ctx: Context) -> None:
        with psycopg.connect(url) as connection:
            ctx.settle(connection, NORMAL, credit=Decimal(3))

    done = run(url, made(step))
    assert {(each.became, each.to) for each in done} == {("moved", "normal")}
    assert rows(db) == [("normal", 300)] * 3


# --- changes that nothing would write -------------------------------------------------------------------


def sets_credit(tenant: Tenant) -> None:
    tenant.credit = Decimal(7)


async def sets_credit_later(tenant: Tenant) -> None:
    tenant.credit = Decimal(7)


def sets_status(tenant: Tenant) -> None:
    tenant.state = NORMAL


@pytest.mark.parametrize(
    ("step", "options", "name"),
    [
        (sets_credit, {}, "credit"),
        (sets_status, {}, "state"),
        (sets_credit_later, {}, "credit"),
        (sets_credit, {"executor": "process"}, "credit"),
    ],
)
def test_a_change_of_an_instance_that_nothing_would_write_is_a_failed_attempt(
    url: str, db: psycopg.Connection[Any], step: Callable[..., Any], options: dict[str, Any], name: str
) -> None:
    """It says which, and what to do: on a thread, in a coroutine and in another process."""
    done = run(url, made(step, attempts=1, **options))
    assert {each.became for each in done} == {"parked"}
    assert f"has set {name!r} of an instance that is in no session" in str(done[0].error)
    assert f"return Transition(…, {name}=…), or make it transactional=True" in str(done[0].error)
    assert rows(db) == [("pending", 150)] * 3


def sets_the_second(tenants: list[Tenant]) -> None:
    for tenant in tenants:
        if tenant.id == 2:
            tenant.credit = Decimal(7)


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_a_change_in_a_batch_costs_its_own_row(url: str, db: psycopg.Connection[Any], executor: str) -> None:
    """The others have moved, as if it were an exception in the answer."""
    run(url, made(sets_the_second, batch=10, attempts=1, executor=executor))
    assert [status for status, _ in rows(db)] == ["normal", "pending", "normal"]


def answers_with_it(tenant: Tenant) -> Transition:
    tenant.credit = Decimal(7)
    return Transition(NORMAL, credit=tenant.credit)


def answers_with_all(tenants: list[Tenant]) -> list[Transition]:
    return [answers_with_it(tenant) for tenant in tenants]


@pytest.mark.parametrize(
    ("step", "options"),
    [
        (answers_with_it, {}),
        (answers_with_it, {"executor": "process"}),
        (answers_with_all, {"batch": 10}),
        (answers_with_all, {"batch": 10, "executor": "process"}),
    ],
)
def test_a_change_that_is_answered_too_is_not_lost(
    url: str, db: psycopg.Connection[Any], step: Callable[..., Any], options: dict[str, Any]
) -> None:
    """Nor is one that a session of the handler's own has written."""
    run(url, made(step, **options))
    assert rows(db) == [("normal", 700)] * 3


def test_a_change_that_the_handlers_own_session_has_written_is_not_lost(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Nothing of it is left that could be."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)

    def step(tenant: Tenant, ctx: Context) -> None:
        with Session(engine) as session:
            session.add(tenant)
            tenant.credit = Decimal(7)
            if tenant.id == 1:
                session.flush()
                ctx.settle(session, NORMAL)
            session.commit()

    run(url, made(step))
    assert rows(db) == [("normal", 700)] * 3


# --- expressions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ({"where": Tenant.id > 1}, [2, 3]),
        ({"where": Tenant.credit == Decimal("1.5")}, [1, 2, 3]),
        ({"where": exists().where(Note.tenant_id == Tenant.id, Note.text == "ol%d")}, []),
        ({"where": exists().where(Note.tenant_id == Tenant.id, Note.text.like("ol%"))}, [1, 2, 3]),
        ({"where": text("tenant_status like 'p%'")}, [1, 2, 3]),
        ({"where": Tenant.state.in_([PENDING]), "order_by": Tenant.id.desc()}, [3, 2, 1]),
        ({"order_by": (Tenant.credit.asc().nulls_first(), "id desc")}, [3, 2, 1]),
        ({"order_by": [case((Tenant.id == 2, 0), else_=1), Tenant.id]}, [2, 1, 3]),
        ({"per_key": Tenant.credit, "column": Tenant.state}, [1, 2, 3]),
        ({"per_key": (Tenant.credit, Tenant.state)}, [1, 2, 3]),
    ],
)
def test_options_take_the_classs_own_expressions(url: str, options: dict[str, Any], order: list[int]) -> None:
    """In the place of SQL and of names; values go through their types."""
    seen: list[int] = []
    run(url, made(lambda tenant: seen.append(tenant.id), **options))
    assert seen == order


def test_options_take_a_tables_own_expressions(url: str) -> None:
    """Of a `Table`, without a class."""
    table: Any = Tenant.__table__
    seen: list[int] = []
    step = handler(
        table,
        status="pending",
        to="normal",
        column=table.c.tenant_status,
        where=table.c.id < 3,
        order_by=table.c.id.desc(),
    )(lambda row: seen.append(row.id))
    run(url, step)
    assert seen == [2, 1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"where": Note.id == 1}, "where must use columns of tenants only, got notes.id = :id_1"),
        ({"where": True}, "where must be SQL, or an expression of SQLAlchemy's, got True"),
        ({"where": Tenant.plan == object()}, "where cannot be written as SQL"),
        ({"order_by": Note.id}, "order_by must use columns of tenants only"),
        ({"order_by": 3}, "order_by must be SQL"),
        ({"order_by": ()}, "order_by is empty"),
        ({"per_key": Note.id}, "per_key must name a column of tenants"),
        ({"per_key": Tenant.id + 1}, "per_key must name a column of tenants"),
        ({"due": 5}, "due must be the name of a column"),
        ({"table": "tenants", "where": Tenant.id == 1}, "the table must be given as a SQLAlchemy Table"),
    ],
)
def test_g10_an_expression_that_cannot_work_is_refused(options: dict[str, Any], says: str) -> None:
    """In one line with the place, at the decoration."""
    table = options.pop("table", Tenant)
    with pytest.raises(ConfigurationError) as caught:
        handler(table, **{"status": "pending", "to": "normal", "column": "state", **options})(tell_credit)
    assert says in str(caught.value)
    assert "test_mapped.py" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_check_advises_an_index_of_an_expressions_order(project: Project, url: str) -> None:
    """Its text serves both the claim and the index."""
    project.handlers("""
        from tests.model.test_mapped import Tenant

        @handler(Tenant, status="pending", to="normal", column="state", order_by=Tenant.credit.desc())
        def step(tenant): ...
    """)
    assert "ON public.tenants (credit_cents DESC)" in project.run("check").stdout.replace('"', "")


def tell_credit(tenant: Tenant) -> Transition:
    return Transition(NORMAL, credit=(tenant.credit or 0) + 1)


def test_in_another_process_they_are_the_same(url: str, db: psycopg.Connection[Any]) -> None:
    """An instance can be sent, and the answer translated here."""
    run(url, made(tell_credit, executor="process"))
    assert rows(db) == [("normal", 250)] * 3


def test_what_is_mapped_to_two_tables_is_refused() -> None:
    """With what to do."""
    with pytest.raises(
        ConfigurationError,
        match="Special is mapped to more than one table; give the table that has the status",
    ):
        handler(Special, status=PENDING, to=NORMAL, column="state")(print)


def test_a_purge_takes_a_mapped_class_too() -> None:
    """For its table."""
    assert str(purge(Tenant, column="created_at", older_than="1d").function.rule.table) == "tenants"


def test_a_status_column_that_is_none_is_refused(url: str, db: psycopg.Connection[Any]) -> None:
    """As for any table."""
    with (
        pytest.raises(ConfigurationError, match=r"no column 'status' .*it has id, tenant_status"),
        Engine(url, handler(Tenant, status="pending", to="normal")(tell_credit)),
    ):
        pass


def test_a_purge_takes_the_classs_own_expressions() -> None:
    """For its column and its further condition, as a handler does."""
    made = purge(Tenant, column=Tenant.credit, older_than="1d", where=Tenant.id > 3)
    assert (made.function.rule.column, made.function.rule.where) == ("credit_cents", "t.id > 3")
    with pytest.raises(ConfigurationError, match="where must use columns of tenants only"):
        purge(Tenant, column="created_at", older_than="1d", where=Note.id > 3)
