"""A class that SQLAlchemy maps: the handler gets instances, and an enum's members are statuses."""

import enum

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from poller import Context, handler

TABLES = """
create type state as enum ('pending', 'normal');
create table tenant (id int primary key, slug text not null, bucket text, status state not null);
insert into tenant values (1, 'ada', null, 'pending'), (2, 'test', null, 'pending');
"""


class State(enum.Enum):
    """As the type in the database has them."""

    pending = 1
    normal = 2


class Base(DeclarativeBase):
    """Of the application's classes."""


class Tenant(Base):
    """As the application has it."""

    __tablename__ = "tenant"
    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str]
    bucket: Mapped[str | None]
    status: Mapped[State]


@handler(Tenant, status=State.pending, to=State.normal, where=Tenant.slug != "test", transactional=True)
def initialise(tenant: Tenant, ctx: Context) -> None:
    """Change the instance, which is in `ctx.session`: it is flushed with the move."""
    tenant.bucket = f"bucket-{tenant.slug}"
