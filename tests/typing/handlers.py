"""Handlers keep the function's signature, and their options are known."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Any, assert_type

from sqlalchemy import Column, Integer, MetaData, Table, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tenacity import retry_if_exception_type, stop_after_attempt, wait_fixed

import poller
from poller import Context, Handler, HandlerOptions, History, Row, Transition, handler
from poller.model.handler import Registration
from poller.testing import context, row


class State(Enum):
    """Statuses."""

    PENDING = "pending"
    NORMAL = "normal"


class Base(DeclarativeBase):
    """Of the mapped classes."""


class Tenant(Base):
    """A mapped class."""

    __tablename__ = "tenant"
    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[State]
    kind: Mapped[str]


orders = Table("orders", MetaData(), Column("id", Integer, primary_key=True), Column("status", Text))


@handler("tenant", status="pending", to="normal")
def plain(tenant: Row) -> None:
    """Take a row."""


@handler("tenant", status=State.PENDING, to={State.NORMAL}, timeout=timedelta(minutes=1), history="failures")
def answers(tenant: Row, ctx: Context) -> Transition:
    """Take a row and a context."""
    return Transition("normal", key=ctx.key)


@handler(Tenant, status=State.PENDING, to=State.NORMAL, where=Tenant.kind == "a", order_by=Tenant.id.desc())
def mapped(tenant: Tenant) -> str:
    """Take an instance."""
    return tenant.kind


@handler(
    orders, status="pending", to=["normal", "failed"], column=orders.c.status, per_key=[orders.c.id, "status"]
)
async def awaited(order: Row) -> int:
    """Answer later."""
    return 1


@handler(
    "tenant",
    status="normal",
    to="done",
    attempts=3,
    wait=wait_fixed(1),
    retry=retry_if_exception_type(OSError),
)
@handler("tenant", status="pending", to="normal", stop=stop_after_attempt(3))
def twice(rows: list[Row]) -> dict[int, str]:
    """Be registered twice."""
    return {1: str(rows)}


assert_type(handler("tenant", status="pending", to="normal"), Registration)
assert_type(plain(row(id=1)), None)
assert_type(answers(row(id=1), context()), Transition)
assert_type(mapped(Tenant()), str)
assert_type(twice([row(id=1)]), dict[int, str])
bare: Handler = plain  # any handler
narrow: Handler[[Row], None] = plain
kept: History = bare.history


async def caller() -> None:
    """Await one."""
    assert_type(await awaited(row(id=1)), int)


def of_ours(**options: Any) -> HandlerOptions:
    """Know the options elsewhere."""
    return {"batch": 5, "history": "off"}


plain()  # type: ignore[call-arg]
plain("a row")  # type: ignore[arg-type]
answers(row(id=1))  # type: ignore[call-arg]
mapped(row(id=1))  # type: ignore[arg-type]
wrong: Handler[[int], None] = plain  # type: ignore[assignment]
handler("tenant", to="normal")  # type: ignore[call-arg]
handler("tenant", status="a", to="b", batches=5)  # type: ignore[call-arg]
handler("tenant", status="a", to="b", batch="5")  # type: ignore[arg-type]
handler("tenant", status="a", to="b", history="some")  # type: ignore[arg-type]
handler("tenant", status="a", to="b", alerts=poller.Alert("oncall", parked=2, oldest="15m", failing=0.2))
handler("tenant", status="a", to="b", alerts=["oncall", "billing"])
handler("tenant", status="a", to="b", alerts=5)  # type: ignore[arg-type]
handler("tenant", status="a", to="b", timeout=30)  # type: ignore[arg-type]
handler("tenant", status="a", to="b", trace=7)  # type: ignore[arg-type]
handler("tenant", status="a", to=1.5)  # type: ignore[arg-type]
not_ours: HandlerOptions = {"colour": "red"}  # type: ignore[typeddict-unknown-key]
poller.handel("tenant")  # type: ignore[attr-defined]
