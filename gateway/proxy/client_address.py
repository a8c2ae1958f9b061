"""Addresses of clients, who connect again and again. To read one takes 2.5 us: what was read is kept and shared."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import Final

CLIENTS_KNOWN: Final = 4096
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@lru_cache(CLIENTS_KNOWN)
def peer_address(text: str) -> Address:
    """Of a socket's peer; a zone (RFC 4007) says nothing here."""
    return ipaddress.ip_address(text.partition("%")[0])


@lru_cache(CLIENTS_KNOWN)
def address_text(address: Address) -> bytes:
    """As it stands in fields."""
    return str(address).encode()


def vouched_for(forwarded_for: bytes, is_trusted: Callable[[Address], bool]) -> Address | None:
    """The last address in X-Forwarded-For that is no trusted proxy's. None: there is none, or what is there is none."""
    for text in reversed(forwarded_for.split(b",")):
        try:
            address = ipaddress.ip_address(text.strip().decode("ascii", "replace"))
        except ValueError:
            return None
        if not is_trusted(address):
            return address
    return None
