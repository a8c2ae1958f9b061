"""Addresses of clients, who connect again and again. To read one takes 2.5 us: what was read is kept and shared.

One client has one address: an IPv4 address in IPv6 form (RFC 4291 2.5.5.2) is the IPv4 address, in rules too. Addresses
that translators make (NAT64, 6to4, Teredo) stay what they are: which IPv4 address is in one is for whoever runs the
translator to say, and anybody may send from one of their own.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

CLIENTS_KNOWN: Final = 4096
# Each proxy adds an element, and no chain is longer; a client may put thousands before them, 3 us each.
PROXIES_MAX: Final = 32
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# Nobody's: who has it is let through by no rule on addresses.
UNKNOWN: Final[Address] = ipaddress.IPv4Address(0)
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
# One element of X-Forwarded-For, as proxies write them: an address, or one in brackets, and a port perhaps. An IPv6
# address without brackets has no port (RFC 3986 3.2.2). A zone (RFC 4007) is the sender's own business.
_ELEMENT = re.compile(
    r"(?:\[(?P<bracketed>[0-9A-Fa-f:.]++)(?:%[^\]\s]++)?\](?::[0-9]{1,5})?"
    r"|(?P<v4>[0-9.]++)(?::[0-9]{1,5})?"
    r"|(?P<v6>[0-9A-Fa-f:.]++)(?:%\S++)?)"
)


@lru_cache(CLIENTS_KNOWN)
def peer_address(text: str) -> Address:
    """Of a socket's peer; a zone (RFC 4007) says nothing here."""
    return _unmapped(ipaddress.ip_address(text.partition("%")[0]))


@lru_cache(CLIENTS_KNOWN)
def address_text(address: Address) -> bytes:
    """As it stands in fields."""
    return str(address).encode()


def address_shown(address: Address) -> str:
    """For logs."""
    return "-" if address is UNKNOWN else str(address)


def network(text: str) -> Network:
    """Of a rule."""
    read = ipaddress.ip_network(text)
    if isinstance(read, ipaddress.IPv6Network) and read.subnet_of(_MAPPED):
        mapped = read.network_address.ipv4_mapped
        return ipaddress.IPv4Network((str(mapped), read.prefixlen - _MAPPED.prefixlen))
    return read


def vouched_for(forwarded_for: bytes, is_trusted: Callable[[Address], bool], peer: Address) -> Address:
    """The client's address, by what a trusted ``peer`` says: the last one that is no trusted proxy's.

    Where all of them are, the first one, which began the request. UNKNOWN where the way back comes to an element that
    is no address, as `unknown`: that one is the client, and nobody knows who it is.
    """
    client = peer
    elements = forwarded_for.rsplit(b",", PROXIES_MAX)
    for index in range(len(elements) - 1, -1, -1):
        element = elements[index].strip(b" \t")
        if not element:
            continue  # RFC 9110 5.6.1.2: empty elements count for nothing.
        if index == 0 and len(elements) > PROXIES_MAX:
            return UNKNOWN
        client = _forwarded_address(element)
        if client is UNKNOWN or not is_trusted(client):
            break
    return client


@lru_cache(CLIENTS_KNOWN)
def _forwarded_address(element: bytes) -> Address:
    text = element.decode("latin-1")
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip(" \t")
    match = _ELEMENT.fullmatch(text)
    if match is None:
        return UNKNOWN
    try:
        address = _unmapped(ipaddress.ip_address(match["bracketed"] or match["v4"] or match["v6"]))
    except ValueError:
        return UNKNOWN
    return UNKNOWN if address.is_unspecified else address


def _unmapped(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address
