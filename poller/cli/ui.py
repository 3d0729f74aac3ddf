"""`poller ui`: serves the desk. All is checked before anything listens."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poller.cli import command_client, render
from poller.cli.options import Database
from poller.errors import ConfigurationError
from poller.lazy import lazy

if TYPE_CHECKING:
    from poller import web
    from poller.client.database import DatabaseLocation
    from poller.web import api_description, entrances, proxies, serve
    from poller.web import shown as shown_columns
else:  # they need the extra
    web = lazy("poller.web")
    api_description = lazy("poller.web.api_description")
    entrances = lazy("poller.web.entrances")
    proxies = lazy("poller.web.proxies")
    serve = lazy("poller.web.serve")
    shown_columns = lazy("poller.web.shown")

TOKEN, NONE, FILE, HEADER = "token", "none", "file:", "header:"
BACKLOG = 128

Host = Annotated[
    str,
    typer.Option(
        "--host",
        metavar="ADDRESS",
        envvar="POLLER_UI_HOST",
        help="Where to listen; elsewhere it needs --auth.",
    ),
]
Port = Annotated[
    int,
    typer.Option(
        "--port", min=0, max=65535, metavar="PORT", envvar="POLLER_UI_PORT", help="0 for any that is free."
    ),
]
Auth = Annotated[
    str | None,
    typer.Option(
        "--auth",
        metavar="HOW",
        envvar="POLLER_UI_AUTH",
        show_default=False,
        help=(
            "How viewers log in. token: by a link that is shown here and works once; none: not at all; file:PATH: as "
            "users and tokens of a file; header:NAME: as the trusted proxies say.  [default: token]"
        ),
    ),
]
Proxies = Annotated[
    list[str] | None,
    typer.Option(
        "--trusted-proxy",
        metavar="NETWORK",
        envvar="POLLER_UI_TRUSTED_PROXY",
        show_default=False,
        help="A proxy whose X-Forwarded-Prefix and --auth header: are trusted: 10.0.0.7 or 10.0.0.0/8.",
    ),
]
Allowed = Annotated[
    list[str] | None,
    typer.Option(
        "--allowed-host",
        metavar="NAME",
        envvar="POLLER_UI_ALLOWED_HOST",
        show_default=False,
        help="A name that browsers may ask for, besides localhost and the address.",
    ),
]
Allow = Annotated[
    str | None,
    typer.Option(
        "--allow",
        metavar="RIGHTS",
        envvar="POLLER_UI_ALLOW",
        show_default=False,
        help="What viewers may do: look, values, operate, move, separated by commas. With file: the file says it.",
    ),
]
Describes = Annotated[
    bool, typer.Option("--openapi", help="Print the description of the JSON API (OpenAPI 3.1), and exit.")
]


def ui(  # noqa: PLR0913 - its options
    context: typer.Context,
    *,
    host: Host = "127.0.0.1",
    port: Port = 8765,
    auth: Auth = None,
    trusted_proxy: Proxies = None,
    allowed_host: Allowed = None,
    allow: Allow = None,
    openapi: Describes = False,
    database: Database = None,
) -> None:
    """Serve the desk: web pages about the fleet, with orders for it.

    By default it listens on this host alone, and shows a link that lets one browser in. It needs no handlers: the
    database knows them once workers have run. It ends with Ctrl-C.
    """
    web.require()
    if openapi:
        typer.echo(api_description.printed())
        return
    addresses = _addresses(host)
    if auth is None and not _is_loopback(addresses):
        msg = f"--host {host} can be reached from elsewhere: choose who may log in with --auth file:PATH or header:NAME"
        raise ConfigurationError(msg)
    if auth == NONE and not _is_loopback(addresses):
        msg = f"--auth none would let in everybody who reaches {host}: it needs --host 127.0.0.1"
        raise ConfigurationError(msg)
    shown: list[str] = []
    entrance = _entrance(auth or TOKEN, allow, trusted_proxy or [], shown)
    place = command_client.location(database)
    tables = _tables(context, place)
    desk = web.desk(
        place,
        authorize=entrance,
        allowed_hosts=allowed_host or [],
        tables=tables,
        trusted_proxies=trusted_proxy or [],
    )
    with _listening(addresses[0], port) as listener:
        shown.append(_address(listener))
        if isinstance(entrance, entrances.OneTimeLink):
            entrance.show()
        else:
            typer.echo(shown[0])
        serve.serve(desk, listener)


def _tables(context: typer.Context, place: DatabaseLocation) -> dict[str, Any]:
    """Return what the settings say of tables, having told what of it is not there: at night the rest is needed.

    Raises:
        ConfigurationError: a key is misspelt; naming the file.
    """
    try:
        tables = shown_columns.tables_of(context.obj.sections.get("desk", {}))
        show = shown_columns.shown(tables)
    except ConfigurationError as error:
        msg = f"{context.obj.file}: {error}"
        raise ConfigurationError(msg) from None
    if tables:
        lines = shown_columns.missing(command_client.client_of(place, None), show)
        render.say_each(f"{context.obj.file}: desk.tables: {each}" for each in lines)
    return tables


def _entrance(auth: str, allow: str | None, trusted: list[str], shown: list[str]) -> Any:
    """Return the way in that was asked for.

    Raises:
        ConfigurationError: it makes no sense, or its file does not.
    """
    _refuse_beside(auth, allow, trusted)
    rights = None if allow is None else web.rights_of(allow)
    match auth.partition(":")[0], auth.partition(":")[2]:
        case ("token", ""):
            viewer = web.Viewer(command_client.person(), web.USUAL if rights is None else rights)
            return entrances.OneTimeLink(viewer, lambda token: typer.echo(f"{shown[0]}enter?token={token}"))
        case ("none", ""):
            return entrances.Open(web.Viewer("anybody", web.Right.LOOK if rights is None else rights))
        case ("file", path) if path:
            return entrances.accounts(Path(path))
        case ("header", name) if name.isascii() and name.replace("-", "").isalnum():
            return entrances.Header(name, proxies.networks(trusted), web.USUAL if rights is None else rights)
    msg = f"--auth must be token, none, file:PATH or header:NAME, got {auth!r}"
    raise ConfigurationError(msg)


def _refuse_beside(auth: str, allow: str | None, trusted: list[str]) -> None:
    """Refuse options that do not go with a way in.

    Raises:
        ConfigurationError: naming them.
    """
    msg = None
    if auth.startswith(FILE) and allow is not None:
        msg = "--allow is not for --auth file: the file says what each may do"
    if auth.startswith(HEADER) and not trusted:
        msg = "--auth header: needs --trusted-proxy: anybody else could send the header, too"
    if msg is not None:
        raise ConfigurationError(msg)


def _addresses(host: str) -> list[str]:
    """Return the addresses that a host stands for.

    Raises:
        ConfigurationError: it stands for none.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        msg = f"--host {host} is neither an address nor a host name that can be resolved"
        raise ConfigurationError(msg) from None
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def _is_loopback(addresses: list[str]) -> bool:
    return all(ipaddress.ip_address(each.partition("%")[0]).is_loopback for each in addresses)


def _listening(address: str, port: int) -> socket.socket:
    """Return a socket that listens at an address.

    Raises:
        ConfigurationError: the port is taken, or may not be used.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # Only if its protocol is named does asyncio send the last part of an answer at once: else, some 40 ms later.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        msg = (
            f"the desk cannot listen at {address}, port {port}: {error.strerror}; choose another with --port"
        )
        raise ConfigurationError(msg) from None
    return made


def _address(listener: socket.socket) -> str:
    """Return the URL of the desk."""
    address, port = listener.getsockname()[:2]
    return f"http://{f'[{address}]' if ':' in address else address}:{port}/"
