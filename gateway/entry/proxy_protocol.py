"""The header of the PROXY protocol, version 2: who the client of a connection is, as the balancer before us says.

Bytes in, an address out; no IO. Source: proxy-protocol.txt of HAProxy, section 2.2. Version 1, the text form, is not
spoken: an entry takes one form only, so that none can be smuggled in as the other.
"""

from __future__ import annotations

import ipaddress
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
PREFIX_BYTES: Final = 16  # signature, version and command, family and transport, length of what follows
# Addresses take 216 bytes at most; the rest is room for TLVs. Senders put names and certificates' subjects there.
BODY_BYTES_MAX: Final = 4096
_VERSION: Final = 0x20
_LOCAL: Final = 0x0
_PROXY: Final = 0x1
# Family and transport to the bytes of both addresses and ports. Datagram forms are missing: this is a stream.
_ADDRESS_BYTES: Final = {0x00: 0, 0x11: 12, 0x21: 36, 0x31: 216}
_TCP4: Final = 0x11
_TCP6: Final = 0x21
_TLV_HEAD_BYTES: Final = 3  # type, length


class HeaderError(Exception):
    """What came is no header of version 2; the text says why. The connection closes without an answer."""


def body_bytes(prefix: bytes) -> int:
    """How many bytes follow the first PREFIX_BYTES. Raises HeaderError."""
    if prefix[:12] != SIGNATURE:
        raise HeaderError("no PROXY protocol header of version 2 at the beginning")
    if prefix[12] & 0xF0 != _VERSION:
        raise HeaderError(f"PROXY protocol version {prefix[12] >> 4}, not 2")
    if prefix[12] & 0x0F not in (_LOCAL, _PROXY):
        raise HeaderError(f"unknown PROXY protocol command {prefix[12] & 0x0F}")
    size = int.from_bytes(prefix[14:16])
    if size > BODY_BYTES_MAX:
        raise HeaderError(f"a PROXY protocol header of {size} bytes, more than {BODY_BYTES_MAX}")
    if prefix[12] & 0x0F == _PROXY:
        if prefix[13] not in _ADDRESS_BYTES:
            raise HeaderError(f"PROXY protocol family and transport {prefix[13]:#04x} are none of a stream")
        if size < _ADDRESS_BYTES[prefix[13]]:
            raise HeaderError(f"a PROXY protocol header of {size} bytes has no room for its addresses")
    return size


def client_of(prefix: bytes, body: bytes) -> Address | None:
    """The client's address; None where the connection's own peer is it. Raises HeaderError.

    That is so for LOCAL (the balancer's own connection, a probe), and for clients without an IP address (an unnamed
    family, a UNIX socket). ``prefix`` has passed ``body_bytes``, and ``body`` is that long.
    """
    if prefix[12] & 0x0F == _LOCAL:
        return None  # 2.2: what follows is discarded, the family with it.
    _check_tlvs(body, _ADDRESS_BYTES[prefix[13]])
    if prefix[13] == _TCP4:
        return ipaddress.IPv4Address(body[:4])
    if prefix[13] == _TCP6:
        address = ipaddress.IPv6Address(body[:16])
        # One client has one address: rules for 10.0.0.0/8 hold for ::ffff:10.0.0.1 too.
        return address.ipv4_mapped or address
    return None


def _check_tlvs(body: bytes, at: int) -> None:
    """2.2.1: the rest is TLVs, end to end. None of them is needed here, but one that is cut short is a bad header."""
    while at < len(body):
        if at + _TLV_HEAD_BYTES > len(body):
            raise HeaderError("a PROXY protocol TLV is cut short")
        at += _TLV_HEAD_BYTES + int.from_bytes(body[at + 1 : at + 3])
    if at > len(body):
        raise HeaderError("a PROXY protocol TLV is longer than its header")
