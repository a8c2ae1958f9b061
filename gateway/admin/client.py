"""Whom a bound of the admin API is for: an address, or of IPv6 the network that one client has to itself."""

from __future__ import annotations

import ipaddress
from typing import Final

_IPV6_PREFIX: Final = 64  # a client has as many addresses of it as it likes


def client_of(address: str | None) -> str:
    try:
        found = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return address or "-"
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, _IPV6_PREFIX), strict=False))
