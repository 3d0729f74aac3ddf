"""Why no connection comes about is said in plain words, in which nothing stands of where it was to lead, or as whom."""

from __future__ import annotations

import socket
import struct
import threading

import pytest

from poller.db.connection import DatabaseLocation, reachable
from poller.errors import DatabaseError

# What servers and poolers say before there is a session, and what is told of it: its reason, and a part of the words.
SAID = {
    'password authentication failed for user "some"': ("wrong_login", "password is wrong"),
    "SASL authentication failed": ("wrong_login", "password is wrong"),
    'role "some" does not exist': ("wrong_login", "no such role"),
    'database "secret_shop" does not exist': ("no_such_database", "no database of this name"),
    'database "secret_shop" is not currently accepting connections': ("refused", "may not connect"),
    'no pg_hba.conf entry for host "10.9.8.7", user "some", database "secret_shop", no encryption': (
        "refused",
        "does not let this host in",
    ),
    "sorry, too many clients already": ("too_many_connections", "no connection free"),
    "remaining connection slots are reserved for roles with the SUPERUSER attribute": (
        "too_many_connections",
        "no connection free",
    ),
    'too many connections for database "secret_shop"': ("too_many_connections", "no connection free"),
    "no more connections allowed (max_client_conn)": ("too_many_connections", "no connection free"),
    "the database system is starting up": ("not_yet", "is starting"),
    "the database system is not yet accepting connections": ("not_yet", "is starting"),
    "the database system is shutting down": ("not_yet", "shutting down"),
    "die Datenbank mag nicht": ("refused", "refuses the connection"),
}


def answered(text: str) -> DatabaseError:
    """Return the error of a connection to a server that refuses it with a text."""
    fields = (
        b"".join(code + value.encode() + b"\0" for code, value in ((b"S", "FATAL"), (b"M", text))) + b"\0"
    )

    def refuse() -> None:
        asked, _ = listener.accept()
        with asked:
            asked.recv(1000)
            asked.sendall(b"E" + struct.pack("!i", len(fields) + 4) + fields)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse)
        thread.start()
        port = listener.getsockname()[1]
        url = f"postgresql://some:hunter2@127.0.0.1:{port}/secret_shop?sslmode=disable&gssencmode=disable"
        with pytest.raises(DatabaseError) as raised:
            reachable(DatabaseLocation(url))
        thread.join()
    return raised.value


def test_each_refusal_is_told_apart() -> None:
    """By its reason, and in words; the line for who has given the URL has the server's own."""
    for text, (reason, words) in SAID.items():
        error = answered(text)
        plain = error.data["plain"]
        assert (error.reason, words in plain) == (reason, True), (text, plain)
        assert text in str(error)
        for secret in ("hunter2", "some", "secret_shop", "127.0.0.1", "10.9.8.7"):
            assert secret not in plain, text


def test_where_nothing_listens_that_is_said_of_several_addresses_too() -> None:
    """Of these, the line that tells most is chosen."""
    for url in ("postgresql://127.0.0.1:1/x", "host=127.0.0.1,127.0.0.1 port=1,2", "host=/nowhere"):
        with pytest.raises(
            DatabaseError, match=r"cannot connect to the database: .*(refused|No such file)"
        ) as raised:
            reachable(DatabaseLocation(url))
        assert raised.value.reason == "unreachable"
        assert "nothing listens" in raised.value.data["plain"]
