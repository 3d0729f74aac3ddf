"""What speaks Postgres' protocol without being Postgres is refused in one line, before anything else is asked of it."""

from __future__ import annotations

import contextlib
import socketserver
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest

from poller.db.connection import DatabaseLocation, reachable
from poller.errors import DatabaseError
from tests.command_line import make_tenants, the_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.harness import Project

CODE = """
@handler("tenants", status="pending", to="normal")
def initialise(tenant): pass
"""
TEXTS = {
    "CockroachDB": "CockroachDB CCL v24.1.2 (x86_64-pc-linux-gnu, built 2024/07/05, go1.22.2)",
    "YugabyteDB": "PostgreSQL 15.2-YB-2025.1.0.0-b0 on x86_64-pc-linux-gnu, compiled by clang",
    "Aurora DSQL": "PostgreSQL 16 (Aurora DSQL)",
}


@pytest.mark.fault("F68")
@pytest.mark.parametrize("command", ["run --drain", "check"])
@pytest.mark.parametrize(("name", "text"), TEXTS.items(), ids=TEXTS.keys())
def test_g10_a_server_is_known_by_its_version(
    project: Project, db: psycopg.Connection[Any], name: str, text: str, command: str
) -> None:
    """A Postgres that says what that server says."""
    db.execute("set allow_system_table_mods = on")
    replaced = (
        f"create or replace function pg_catalog.version() returns text language sql as $$ select '{text}' $$"
    )
    db.execute(replaced.encode())
    project.handlers(CODE)

    line = the_line(project.run(*command.split()))

    assert f"the server is {name}, and poller needs Postgres" in line


@pytest.mark.fault("F68")
def test_g10_aurora_dsql_is_known_by_its_catalogue(db: psycopg.Connection[Any], url: str) -> None:
    """It says that it is Postgres, and has a schema of its own."""
    db.execute("create schema sys; create table sys.iam_pg_role_mappings ()")
    with pytest.raises(DatabaseError, match="the server is Aurora DSQL"):
        reachable(DatabaseLocation(url))


class _Greeting(socketserver.BaseRequestHandler):
    """Greets as a server does, and says nothing more."""

    parameters: dict[str, str]

    def handle(self) -> None:
        length = struct.unpack("!i", self.request.recv(4))[0]
        asked = self.request.recv(length - 4)
        if length == 8:  # for TLS, or GSS
            self.request.sendall(b"N")
            self.handle()
            return
        assert asked
        told = [f"{name}\0{value}\0".encode() for name, value in self.parameters.items()]
        messages = [
            (b"R", struct.pack("!i", 0)),
            *((b"S", each) for each in told),
            (b"K", bytes(8)),
            (b"Z", b"I"),
        ]
        for kind, body in messages:
            self.request.sendall(kind + struct.pack("!i", len(body) + 4) + body)
        self.request.recv(1)


@contextlib.contextmanager
def greeting(parameters: dict[str, str]) -> Iterator[str]:
    """Serve a greeting with these parameters, and give the URL."""
    kind = type("Greeting", (_Greeting,), {"parameters": parameters})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), kind) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"postgresql://postgres@127.0.0.1:{server.server_address[1]}/app?sslmode=disable&gssencmode=disable"
        server.shutdown()


@pytest.mark.fault("F68")
@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"server_version": "13.0.0", "crdb_version": "CockroachDB CCL v24.1.2"}, "CockroachDB"),
        ({"server_version": "15.2-YB-2025.1.0.0-b0"}, "YugabyteDB"),
    ],
)
def test_g10_a_server_is_known_by_its_greeting(parameters: dict[str, str], name: str) -> None:
    """It would refuse the settings of the session, with an error that helps nobody."""
    with greeting(parameters) as url, pytest.raises(DatabaseError, match=name):
        reachable(DatabaseLocation(url))


@pytest.mark.fault("F68")
@pytest.mark.parametrize(
    ("method", "model", "is_refused"), [("h", "s", True), ("n", "t", True), ("n", "s", False)]
)
def test_g10_a_table_that_citus_distributes_is_refused(
    project: Project, db: psycopg.Connection[Any], method: str, model: str, *, is_refused: bool
) -> None:
    """By hash or as a reference table; one that is local to the coordinator is as any other."""
    make_tenants(db)
    db.execute("set allow_system_table_mods = on")
    catalogue = 'create table pg_catalog.pg_dist_partition (logicalrelid regclass, partmethod "char", repmodel "char")'
    db.execute(catalogue)
    db.execute("insert into pg_catalog.pg_dist_partition values ('tenants', %s, %s)", (method, model))
    db.execute("grant select on pg_catalog.pg_dist_partition to public")
    project.handlers(CODE)

    checked, ran = project.run("check"), project.run("run", "--drain")

    assert ("table tenants is distributed by Citus" in checked.stdout) is is_refused
    assert checked.returncode == int(is_refused)
    assert ran.returncode == (2 if is_refused else 0)
