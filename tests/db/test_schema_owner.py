"""poller's own schema is ours, or nothing in it is read or called: what is in it runs with the rights of who asks."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller.db import migration, schema
from poller.errors import DatabaseError
from tests.command_line import the_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.harness import Project

Connection = psycopg.Connection[Any]
CODE = """
@handler("tenants", status="pending", to="normal", due="at")
def initialise(tenant): pass
"""
THEIRS = """
create function poller.now() returns timestamptz language plpgsql as $$
begin
    insert into public.called values (current_user);
    return clock_timestamp();
end $$
"""


@pytest.fixture
def ordinary(empty_url: str) -> Iterator[Callable[[str], Connection]]:
    """Makes roles that are no superusers and may create schemas, and gives a session of each."""
    names: list[str] = []
    with psycopg.connect(empty_url, autocommit=True) as db:
        db.execute("create table called (role text); grant insert on called to public")
        db.execute("create table tenants (id int primary key, status text, at timestamptz default now())")

        def make(kind: str) -> Connection:
            name = f"poller_{kind}_{uuid.uuid4().hex[:8]}"
            db.execute(f"create role {name}; grant create on database {db.info.dbname} to {name}")
            names.append(name)
            return psycopg.connect(as_role(empty_url, name), autocommit=True)

        yield make
        for name in names:
            db.execute(f"drop owned by {name} cascade; drop role {name}")


def as_role(url: str, role: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}options=-c%20role%3D{role}"


def role_of(connection: Connection) -> str:
    row = connection.execute("select current_user").fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize(
    "command", ["migrate", "run --drain", "run --drain --no-migrate", "check", "status", "workers"]
)
def test_a_schema_that_somebody_has_made_beforehand_is_refused(
    project: Project, empty_url: str, ordinary: Callable[[str], Connection], command: str
) -> None:
    """With a clock of theirs, which would run as a superuser; it never does."""
    with ordinary("mallory") as mallory:
        mallory.execute("create schema poller; grant usage on schema poller to public")
        mallory.execute(THEIRS)
        mallory.execute("create table poller.alembic_version (version_num text)")
        mallory.execute("insert into poller.alembic_version values (%s)", (schema.NEWEST,))
        project.url = empty_url
        project.handlers(CODE)

        line = the_line(project.run(*command.split()))

        assert f"the schema poller belongs to {role_of(mallory)}, who is neither" in line
        with psycopg.connect(empty_url) as db:
            assert db.execute("select from called").rowcount == 0


def test_an_ordinary_role_does_not_migrate_anothers_schema(
    empty_url: str, ordinary: Callable[[str], Connection]
) -> None:
    """Even if it may use it and create in it."""
    with ordinary("mallory") as mallory, ordinary("deployer") as deployer:
        mallory.execute("create schema poller; grant all on schema poller to public")
        with pytest.raises(DatabaseError, match="the schema poller belongs to poller_mallory"):
            migration.migrate(as_role(empty_url, role_of(deployer)))


@pytest.mark.parametrize(
    ("planted", "named"),
    [
        (
            "create function poller.now(text) returns int language sql as 'select 1'",
            "the function poller.now(text)",
        ),
        ("create table poller.extra ()", "the relation poller.extra"),
        ("", "the right to create in the schema poller"),
    ],
)
def test_what_others_have_put_into_it_is_refused_too(
    empty_url: str, ordinary: Callable[[str], Connection], planted: str, named: str
) -> None:
    """While they may create there, and afterwards as long as it is there."""
    migration.migrate(empty_url)
    with ordinary("mallory") as mallory, psycopg.connect(empty_url, autocommit=True) as db:
        name = role_of(mallory)
        db.execute(f"grant usage, create on schema poller to {name}")
        if planted:
            mallory.execute(planted.encode())
            db.execute(f"revoke create on schema poller from {name}")
        for look in (schema.require, lambda _: migration.migrate(empty_url)):
            with pytest.raises(DatabaseError) as raised:
                look(db)
            assert f"{named} belongs to {name}" in str(raised.value)


def test_whoever_deploys_migrates_and_others_work_with_what_they_are_granted(
    empty_url: str, ordinary: Callable[[str], Connection]
) -> None:
    """Neither owns the database, and neither is a superuser; a member of the deployer's role may migrate."""
    with ordinary("deployer") as deployer, ordinary("worker") as worker, psycopg.connect(empty_url) as db:
        url = as_role(empty_url, role_of(deployer))
        assert migration.migrate(url) is None
        assert migration.migrate(url) == schema.NEWEST
        grants = "grant usage on schema poller to {0}; grant select on poller.alembic_version to {0}"
        deployer.execute(grants.format(role_of(worker)).encode())
        schema.require(worker)
        with pytest.raises(DatabaseError, match="the schema poller belongs to poller_deployer"):
            schema.require(db)  # a superuser, with whose rights the deployer could do anything
        db.execute(f"grant {role_of(deployer)} to {role_of(worker)}")
        db.commit()
        assert migration.migrate(as_role(empty_url, role_of(worker))) == schema.NEWEST


def test_the_owner_of_the_database_is_trusted_with_its_schema(
    empty_url: str, ordinary: Callable[[str], Connection]
) -> None:
    """The owner can do as much by other ways."""
    with ordinary("app") as app, psycopg.connect(empty_url, autocommit=True) as db:
        db.execute(f"alter database {db.info.dbname} owner to {role_of(app)}")
        migration.migrate(as_role(empty_url, role_of(app)))
        schema.require(db)
        db.execute(f"alter database {db.info.dbname} owner to current_user")
