"""Mapped classes of every type: an instance is what SQLAlchemy's own query would have loaded, and takes the way back."""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    composite,
    deferred,
    mapped_column,
    reconstructor,
    synonym,
)
from sqlalchemy.orm.exc import DetachedInstanceError

from poller import PollerError, Transition, handler
from poller.testing import Engine
from tests.engines import moves
from tests.times import one_in

if TYPE_CHECKING:
    from poller.testing import Done
    from tests.harness import Project

DAY = date(2024, 2, 29)
AT = datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)


class Colour(enum.Enum):
    """Stored by its name, or by its value."""

    red = "r"
    green = "g"


class Shouted(sa.TypeDecorator[str]):
    """A text that the database has in lower case."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: str | None, _: Any) -> str | None:
        return None if value is None else value.lower()

    def process_result_value(self, value: str | None, _: Any) -> str | None:
        return None if value is None else value.upper()


class Money(sa.TypeDecorator[Decimal]):
    """A decorated number, whose own type looks at what the driver has made."""

    impl = sa.Numeric
    cache_ok = True


by_value = sa.Enum(
    Colour, values_callable=lambda kind: [each.value for each in kind], native_enum=False, name="by_value"
)

# A column's type, and a value of it; also of another type in the database than the class says.
TYPES: dict[str, tuple[Any, Any]] = {
    "integer": (sa.Integer, 7),
    "small": (sa.SmallInteger, 7),
    "big": (sa.BigInteger, 2**60),
    "numeric": (sa.Numeric, Decimal("1.50")),
    "numeric_scaled": (sa.Numeric(12, 4), Decimal("1.5000")),
    "numeric_as_float": (sa.Numeric(asdecimal=False), 1.5),
    "a_float": (sa.Float, 1.5),
    "float_as_decimal": (sa.Float(asdecimal=True), Decimal("1.5000000000")),
    "double": (sa.Double, 1.5),
    "real": (sa.REAL, 1.5),
    "double_as_decimal": (sa.Double(asdecimal=True), Decimal("1.5000000000")),
    "money": (Money, Decimal("2.25")),
    "text": (sa.Text, "x"),
    "string": (sa.String(20), "y"),
    "unicode": (sa.Unicode, "ü"),
    "char": (sa.CHAR(3), "abc"),
    "shouted": (Shouted, "LOUD"),
    "boolean": (sa.Boolean, True),
    "a_date": (sa.Date, DAY),
    "a_time": (sa.Time, time(1, 2, 3, 456)),
    "naive": (sa.DateTime, AT.replace(tzinfo=None)),
    "aware": (sa.DateTime(timezone=True), AT),
    "interval": (sa.Interval, timedelta(days=3, seconds=5, microseconds=7)),
    "pg_interval": (pg.INTERVAL, timedelta(hours=36)),
    "binary": (sa.LargeBinary, b"\x00\xff"),
    "pickled": (sa.PickleType, {"a": (1, 2)}),
    "a_uuid": (sa.Uuid, uuid.UUID(int=5)),
    "uuid_as_text": (sa.Uuid(as_uuid=False), str(uuid.UUID(int=6))),
    "pg_uuid": (pg.UUID(as_uuid=True), uuid.UUID(int=7)),
    "json": (sa.JSON, {"a": [1, None, "x"]}),
    "json_null": (sa.JSON(none_as_null=True), None),
    "jsonb": (pg.JSONB, [1, {"b": 2.5}]),
    "mutable": (MutableDict.as_mutable(pg.JSONB), {"a": 1}),
    "enum": (sa.Enum(Colour), Colour.red),
    "enum_as_text": (sa.Enum(Colour, native_enum=False, name="plain"), Colour.green),
    "enum_by_value": (by_value, Colour.green),
    "enum_of_texts": (sa.Enum("on", "off", name="switch"), "on"),
    "integers": (sa.ARRAY(sa.Integer), [1, 2]),
    "numerics": (pg.ARRAY(sa.Numeric), [Decimal("1.5"), None]),
    "floats": (sa.ARRAY(sa.Float), [1.5, 2.5]),
    "nested": (sa.ARRAY(sa.Integer, dimensions=2), [[1, 2], [3, 4]]),
    "texts": (sa.ARRAY(sa.Text), ["a", "b,c"]),
    "uuids": (pg.ARRAY(sa.Uuid), [uuid.UUID(int=8)]),
    "enums": (pg.ARRAY(sa.Enum(Colour)), [Colour.red, Colour.green]),
    "inet": (pg.INET, "10.0.0.1"),
    "cidr": (pg.CIDR, "10.0.0.0/8"),
    "macaddr": (pg.MACADDR, "08:00:2b:01:02:03"),
    "int_range": (pg.INT4RANGE, pg.Range(1, 5)),
    "num_range": (pg.NUMRANGE, pg.Range(Decimal(1), None)),
    "time_range": (pg.TSTZRANGE, pg.Range(AT, AT + timedelta(1))),
    "empty_range": (pg.DATERANGE, pg.Range(empty=True)),
    "multirange": (pg.INT4MULTIRANGE, pg.MultiRange([pg.Range(1, 3), pg.Range(5, 7)])),
    "bits": (pg.BIT(3), "101"),
    "tsvector": (pg.TSVECTOR, "'fat' 'cat'"),
    "oid": (pg.OID, 42),
    "cash": (pg.MONEY, "$1.50"),
}


class Base(DeclarativeBase):
    """The user's."""


Everything: Any = type(
    "Everything",
    (Base,),
    {
        "__tablename__": "everything",
        "id": mapped_column(sa.Integer, primary_key=True),
        "status": mapped_column(sa.Text),
        **{name: mapped_column(kind, nullable=True) for name, (kind, _) in TYPES.items()},
    },
)


def engine_of(url: str) -> sa.Engine:
    """Return an engine as users make them."""
    return sa.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=sa.pool.NullPool
    )


@pytest.fixture
def everything(url: str) -> str:
    """A database with two rows: one with a value of every type, one of nulls."""
    engine = engine_of(url)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Everything(id=1, status="pending", **{name: value for name, (_, value) in TYPES.items()}))
        session.add(Everything(id=2, status="pending"))
        session.commit()
    return url


def values(instance: Any) -> dict[str, tuple[Any, Any]]:
    """Return the values of all attributes, each with its type: True is not 1."""
    return {name: (type(getattr(instance, name)), getattr(instance, name)) for name in TYPES}


def run(url: str, step: Any) -> list[Done]:
    """Run what is due."""
    with Engine(url, step, concurrency=1) as engine:
        done = engine.run_due()
    assert {each.became for each in done} == {"moved"}, done
    return done


@pytest.mark.parametrize("transactional", [False, True])
def test_an_instance_has_what_a_query_would_have_loaded(everything: str, *, transactional: bool) -> None:
    """For every type that SQLAlchemy has, nulls included."""
    seen: dict[int, Any] = {}
    run(
        everything,
        moves(Everything, lambda each: seen.update({each.id: values(each)}), transactional=transactional),
    )
    with Session(engine_of(everything)) as session:
        for key in (1, 2):
            assert seen[key] == values(session.get(Everything, key))


@pytest.mark.parametrize("name", one_in(4, TYPES))
def test_a_value_takes_the_way_back(everything: str, name: str) -> None:
    """`Transition` writes what `Session` would have written."""
    run(
        everything,
        moves(Everything, lambda _: Transition("normal", **{name: TYPES[name][1]}), where="id = 2"),
    )
    with Session(engine_of(everything)) as session:
        first, second = (values(session.get(Everything, key)) for key in (1, 2))
    assert second[name] == first[name]


# --- what the database has ------------------------------------------------------------------------------


class Loose(Base):
    """A class whose columns are of other types in the database than it says."""

    __tablename__ = "loose"

    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str]
    amount: Mapped[Decimal] = mapped_column(sa.Numeric)


@pytest.mark.parametrize("kind", ["int", "bigint", "real", "double precision", "price", "net_price"])
def test_a_number_is_read_whatever_type_the_column_is_of(
    db: psycopg.Connection[Any], url: str, kind: str
) -> None:
    """As the driver sees it: a domain is what it is made of."""
    db.execute("create domain price as numeric(10, 2); create domain net_price as price")
    db.execute(f"create table loose (id int primary key, status text, amount {kind})")  # type: ignore[call-overload]
    db.execute("insert into loose values (1, 'pending', 3)")
    seen: list[Any] = []
    run(url, moves(Loose, lambda each: seen.append(each.amount)))
    with Session(engine_of(url)) as session:
        assert [(type(each), each) for each in seen] == [(type(it := session.get(Loose, 1).amount), it)]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ("amount text", "Loose.amount is mapped as Numeric(), which cannot read the table's value"),
        ("price numeric", "Loose.amount is mapped to the column 'amount', which the table lacks"),
    ],
)
def test_g10_a_class_that_cannot_read_its_table_is_refused(
    db: psycopg.Connection[Any], url: str, columns: str, says: str
) -> None:
    """At the start, with the attribute; and so does `poller check` say."""
    db.execute(f"create table loose (id int primary key, status text, {columns})")  # type: ignore[call-overload]
    with pytest.raises(PollerError) as caught, Engine(url, moves(Loose)):
        pass
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_check_says_it_too(project: Project, db: psycopg.Connection[Any]) -> None:
    """And goes on with what else it finds."""
    db.execute("create table loose (id int primary key, status text, amount text)")
    project.handlers("""
        from tests.model.test_mapped_types import Loose

        @handler(Loose, status="pending", to="normal")
        def step(loose): ...
    """)
    found = project.run("check")
    assert found.returncode == 1
    assert "Loose.amount is mapped as Numeric()" in found.stdout


# --- what else a class may have -------------------------------------------------------------------------


@dataclass
class Point:
    """Two columns in one."""

    x: int
    y: int


class Wrapped(sa.types.UserDefinedType[str]):
    """A type that is read through a function of the database."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "text"

    def column_expression(self, column: Any) -> Any:
        return sa.func.upper(column)


class Rich(Base):
    """A class with all that is not a plain column."""

    __tablename__ = "rich"

    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column("status")
    first: Mapped[str]
    x: Mapped[int]
    y: Mapped[int]
    late: Mapped[str] = deferred(mapped_column(sa.Text))
    wrapped: Mapped[str | None] = mapped_column(Wrapped)
    data: Mapped[Any] = mapped_column(MutableDict.as_mutable(pg.JSONB))
    point: Mapped[Point] = composite("x", "y")
    alias: Mapped[str] = synonym("first")

    @hybrid_property
    def shout(self) -> str:
        return self.first.upper()

    @reconstructor
    def remember(self) -> None:
        self.cache: dict[str, Any] = {}


@pytest.fixture
def rich(url: str) -> str:
    """A database with one such row."""
    engine = engine_of(url)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "insert into rich (id, status, first, x, y, late, wrapped, data)"
            " values (1, 'pending', 'ann', 1, 2, 'later', 'w', '{\"a\": 1}')"
        )
    return url


def test_composites_hybrids_synonyms_and_reconstructors_work(rich: str) -> None:
    """As after a query; what is read through SQL is unloaded, like a deferred column."""

    def step(each: Rich) -> None:
        assert each.point == Point(1, 2)
        assert (each.alias, each.shout, each.cache, each.late) == ("ann", "ANN", {}, "later")
        with pytest.raises(DetachedInstanceError):
            _ = each.wrapped

    run(rich, moves(Rich, step, column="state"))


def test_in_a_transaction_changes_within_a_value_are_written(rich: str, db: psycopg.Connection[Any]) -> None:
    """A mutable value tells its instance; a column that is read through SQL loads."""

    def step(each: Rich) -> None:
        each.data["a"] = 2
        each.point = Point(3, 4)
        assert each.wrapped == "W"

    run(rich, moves(Rich, step, column="state", transactional=True))
    assert db.execute("select data, x, y from rich").fetchone() == ({"a": 2}, 3, 4)


class Animal(Base):
    """A class that shares its table with those below it."""

    __tablename__ = "animals"

    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str]
    kind: Mapped[str]
    name: Mapped[str]

    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012 - SQLAlchemy's way


class Dog(Animal):
    """Has a column of its own in the same table."""

    breed: Mapped[str | None] = mapped_column(sa.String)

    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012


class Puppy(Dog):
    """A dog, too."""

    __mapper_args__ = {"polymorphic_identity": "puppy"}  # noqa: RUF012


@pytest.fixture
def animals(url: str) -> str:
    """A database with an animal of each class."""
    engine = engine_of(url)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Animal(id=1, status="pending", name="a"))
        session.add(Dog(id=2, status="pending", name="d", breed="pug"))
        session.add(Puppy(id=3, status="pending", name="p"))
        session.commit()
    return url


@pytest.mark.parametrize(("entity", "classes"), [(Animal, [Animal, Dog, Puppy]), (Dog, [Dog, Puppy])])
def test_an_instance_is_of_its_own_class_and_others_are_left_alone(
    animals: str, entity: type[Animal], classes: list[type[Animal]]
) -> None:
    """Where classes share a table: a handler of one gets the rows of it, and of those below it."""
    seen: list[Any] = []

    def step(animal: Animal) -> None:
        seen.append(type(animal))
        if isinstance(animal, Dog):
            assert animal.breed == ("pug" if animal.id == 2 else None)

    run(animals, handler(entity, status="pending", to="normal", where=Animal.name != "z")(step))
    assert seen == classes


def test_a_row_of_an_unknown_class_has_failed_its_attempt(animals: str, db: psycopg.Connection[Any]) -> None:
    """It alone, with the reason."""
    db.execute("update animals set kind = 'cat' where id = 1")
    with Engine(animals, moves(Animal)) as engine:
        done = {each.key: each for each in engine.run_due()}
    assert [done[key].became for key in "123"] == ["retrying", "moved", "moved"]
    assert "kind is 'cat', which is not an identity of Animal" in str(done["1"].error)
