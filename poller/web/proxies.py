"""Which proxies are trusted to name the viewer (`entrances.Header`) and the path under which they serve the desk.

Headers are trusted only from the peers that were named: any browser can send them, too.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Scope

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PREFIX = "x-forwarded-prefix"
_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*/?")


def networks(given: Iterable[str]) -> tuple[Network, ...]:
    """Return networks as they are written: `10.0.0.0/8`, or one address.

    Raises:
        ConfigurationError: one is none.
    """
    try:
        return tuple(ipaddress.ip_network(each) for each in given)
    except ValueError as error:
        msg = f"a trusted proxy must be an address or a network such as 10.0.0.0/8: {error}"
        raise ConfigurationError(msg) from None


def is_among(peer: str, proxies: Iterable[Network]) -> bool:
    """Tell whether a peer is one of the proxies."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:  # a socket's path
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return any(mapped in each for each in proxies)


def placed(scope: Scope, proxies: Iterable[Network]) -> Scope:
    """Return a request with the path that the proxy serves the desk under, whether the proxy strips that path or not.

    Raises:
        ValueError: the header is not a path.
    """
    said = Headers(scope=scope).getlist(PREFIX) if is_among(_peer(scope), proxies) else []
    if len(said) > 1 or not all(map(_PATH.fullmatch, said)):
        msg = "X-Forwarded-Prefix is not a path"
        raise ValueError(msg)
    prefix = "".join(said).rstrip("/")
    root, path = f"{prefix}{scope.get('root_path', '')}", str(scope["path"])
    if path.startswith("/") and not f"{path}/".startswith(f"{prefix}/"):
        path = f"{prefix}{path}"
    return {**scope, "root_path": root, "path": f"{path}/" if root and path == root else path}


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""
