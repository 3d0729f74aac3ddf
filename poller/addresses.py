"""Which addresses are public: anybody's to reach, rather than this host's, this network's or nobody's.

The lists are IANA's special-purpose registries, as `ipaddress` knows them, and what its older versions do
not know of them. An IPv6 address that carries an IPv4 address, so that a gateway sends it on there, is as
public as the one it carries.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_KINDS = (  # the narrower first: a loopback address is also private
    ("is_unspecified", "the unspecified address"),
    ("is_loopback", "a loopback address"),
    ("is_link_local", "a link-local address"),
    ("is_multicast", "a multicast address"),
    ("is_site_local", "a site-local address"),
    ("is_private", "a private address"),
    ("is_reserved", "a reserved address"),
)
_PROTOCOLS = IPv4Network("192.0.0.0/24")  # RFC 6890: one is a cloud's metadata
_UNICAST = IPv6Network("2000::/3")  # all that is given out, but for these
_SPECIAL = (IPv6Network("2001::/23"), IPv6Network("2001:db8::/32"), IPv6Network("3fff::/20"))
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052


def refusal(address: str) -> str | None:
    """Return what keeps an address from being public, such as `a loopback address`; None if it is public.

    Args:
        address: IPv4 or IPv6, as `getaddrinfo` gives it.

    Raises:
        ValueError: it is no address.
    """
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and (carried := _carried(ip)) is not None:
        return refusal(str(carried))
    for attribute, kind in _KINDS:
        if getattr(ip, attribute, False):
            return kind
    if _is_special(ip):
        return "an address for special purposes"
    return None if ip.is_global else "a shared address"


def _is_special(ip: IPv4Address | IPv6Address) -> bool:
    if isinstance(ip, IPv4Address):
        return ip in _PROTOCOLS
    return ip not in _UNICAST or any(ip in network for network in _SPECIAL)


def _carried(ip: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour
