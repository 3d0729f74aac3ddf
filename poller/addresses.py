"""Which addresses hold what no job is to fetch by accident: a cloud's metadata, its credentials among them.

Link-local addresses as a whole, since clouds keep it there (169.254.169.254) and nothing else is served there,
and the few others that clouds have chosen. An IPv6 address that carries an IPv4 address, so that a gateway
sends it on there, counts as the one it carries.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_METADATA = tuple(
    ip_network(each)
    for each in (
        "169.254.0.0/16",  # AWS, Azure, Google, Oracle, …
        "fe80::/10",
        "fd00:ec2::254/128",  # AWS
        "fd20:ce::254/128",  # Google
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure
        "192.0.0.192/32",  # Oracle
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052


def may_hold_metadata(address: str) -> bool:
    """Tell whether an address is link-local, or else where a cloud keeps its metadata.

    Args:
        address: IPv4 or IPv6, as `getaddrinfo` gives it.

    Raises:
        ValueError: it is no address.
    """
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        ip = _carried(ip) or ip
    return any(ip in network for network in _METADATA)


def _carried(ip: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour
