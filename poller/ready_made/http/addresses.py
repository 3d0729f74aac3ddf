"""Tells which addresses are public, and which are inside: this host's, or a private network's.

The lists are IANA's special-purpose registries, as `ipaddress` knows them, with the entries that its older versions
lack. An IPv6 address that carries an IPv4 address, so that a gateway sends it on there, is as
public as the one it carries. An address that is neither public nor inside is unassigned, or a cloud's metadata.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_KINDS = (  # the narrower first: a loopback address is also private
    ("is_unspecified", "the unspecified address"),
    ("is_loopback", "a loopback address"),
    ("is_link_local", "a link-local address"),
    ("is_multicast", "a multicast address"),
    ("is_site_local", "a site-local address"),
    ("is_private", "a private address"),
    ("is_reserved", "a reserved address"),
)
_PROTOCOLS = IPv4Network("192.0.0.0/24")  # RFC 6890
_UNICAST = IPv6Network("2000::/3")  # all that is given out, but for these
_SPECIAL = (IPv6Network("2001::/23"), IPv6Network("2001:db8::/32"), IPv6Network("3fff::/20"))
_INSIDE = tuple(
    map(ip_network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1", "fc00::/7"))
)
_METADATA = tuple(map(ip_address, ("fd00:ec2::254", "fd20:ce::254", "168.63.129.16")))  # not link-local
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052


def refusal(address: str) -> str | None:
    """Return why an address is not public, such as `a loopback address`; None if it is public.

    Args:
        address: IPv4 or IPv6, as `getaddrinfo` gives it.

    Raises:
        ValueError: it is not an address.
    """
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and (carried := _carried(ip)) is not None:
        return refusal(str(carried))
    if ip in _METADATA:
        return "where a cloud keeps metadata"
    for attribute, kind in _KINDS:
        if getattr(ip, attribute, False):
            return kind
    if _is_special(ip):
        return "an address for special purposes"
    return None if ip.is_global else "a shared address"


def is_inside(address: str) -> bool:
    """Tell whether an address is this host's or a private network's, and cannot serve a cloud's metadata.

    Raises:
        ValueError: it is not an address.
    """
    ip = ip_address(address.partition("%")[0])
    return ip not in _METADATA and any(ip in network for network in _INSIDE)


def is_plain(host: str) -> bool:
    """Tell whether a host is an IP address in its usual form: neither `0x7f.1`, nor an IPv6 that carries an IPv4."""
    try:
        ip = ip_address(host)
    except ValueError:
        return False
    return isinstance(ip, IPv4Address) or _carried(ip) is None


def _is_special(ip: IPv4Address | IPv6Address) -> bool:
    if isinstance(ip, IPv4Address):
        return ip in _PROTOCOLS
    return ip not in _UNICAST or any(ip in network for network in _SPECIAL)


def _carried(ip: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour
