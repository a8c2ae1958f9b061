"""PROXY protocol headers as a table: bytes to an address, to none, or to a refusal (proxy-protocol.txt 2.2)."""

from __future__ import annotations

import ipaddress
import random
import socket

import pytest

from gateway.entry.proxy_protocol import BODY_BYTES_MAX, PREFIX_BYTES, SIGNATURE, HeaderError, body_bytes, client_of

TCP4 = socket.inet_aton("203.0.113.7") + socket.inet_aton("192.0.2.1") + b"\xdc\x04\x01\xbb"
TCP6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + bytes(16) + b"\xdc\x04\x01\xbb"
MAPPED = socket.inet_pton(socket.AF_INET6, "::ffff:203.0.113.7") + bytes(16) + b"\xdc\x04\x01\xbb"
UNIX = b"/run/client.sock".ljust(108, b"\0") * 2


def header(version_command: int, family: int, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return SIGNATURE + bytes([version_command, family]) + size.to_bytes(2) + body


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2) + value


def read(data: bytes) -> str | None:
    """As the connection reads it: the prefix, then as much as the prefix says."""
    prefix, body = data[:PREFIX_BYTES], data[PREFIX_BYTES:]
    assert body_bytes(prefix) == len(body)
    address = client_of(prefix, body)
    return None if address is None else str(address)


GOOD = {
    "TCP over IPv4": (header(0x21, 0x11, TCP4), "203.0.113.7"),
    "TCP over IPv6": (header(0x21, 0x21, TCP6), "2001:db8::7"),
    "IPv4 written as IPv6": (header(0x21, 0x21, MAPPED), "203.0.113.7"),
    "UNIX stream": (header(0x21, 0x31, UNIX), None),
    "unnamed family": (header(0x21, 0x00, b""), None),
    "unnamed family with a TLV": (header(0x21, 0x00, tlv(0x04, b"pad")), None),
    "LOCAL": (header(0x20, 0x00, b""), None),
    "LOCAL, its addresses discarded": (header(0x20, 0x11, TCP4), None),
    "LOCAL, its family discarded": (header(0x20, 0xFF, b"anything"), None),
    "unknown TLVs": (header(0x21, 0x11, TCP4 + tlv(0xEA, b"x" * 300) + tlv(0xFE, b"")), "203.0.113.7"),
    "as long as may be": (header(0x21, 0x11, TCP4 + tlv(0x04, bytes(BODY_BYTES_MAX - 15))), "203.0.113.7"),
}

BAD = {
    "version 1": b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n",
    "a request": b"GET /open/bytes/1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a ClientHello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32),
    "signature off by a byte": header(0x21, 0x11, TCP4).replace(b"QUIT", b"QUIX"),
    "version 3": header(0x31, 0x11, TCP4),
    "version 1 in the binary form": header(0x11, 0x11, TCP4),
    "unknown command": header(0x22, 0x11, TCP4),
    "datagram over IPv4": header(0x21, 0x12, TCP4),
    "datagram over IPv6": header(0x21, 0x22, TCP6),
    "UNIX datagram": header(0x21, 0x32, UNIX),
    "unknown family": header(0x21, 0x41, TCP4),
    "unknown transport": header(0x21, 0x13, TCP4),
    "too short for IPv4": header(0x21, 0x11, TCP4[:11]),
    "too short for IPv6": header(0x21, 0x21, TCP4),
    "too short for UNIX": header(0x21, 0x31, TCP6),
    "longer than may be": header(0x21, 0x11, TCP4 + tlv(0x04, bytes(BODY_BYTES_MAX - 14))),
    "LOCAL, longer than may be": header(0x20, 0x00, bytes(BODY_BYTES_MAX + 1)),
    "a TLV without its length": header(0x21, 0x11, TCP4 + b"\x04\x00"),
    "a TLV longer than the header": header(0x21, 0x11, TCP4 + b"\x04\x00\x02x"),
    "one byte behind the addresses": header(0x21, 0x11, TCP4 + b"\x00"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_header_names_the_client(name: str) -> None:
    data, address = GOOD[name]
    assert read(data) == address


@pytest.mark.parametrize("name", BAD)
def test_a_bad_header_is_refused(name: str) -> None:
    with pytest.raises(HeaderError):
        read(BAD[name])


def test_the_length_is_refused_before_the_body_is_read() -> None:
    with pytest.raises(HeaderError, match="65535 bytes"):
        body_bytes(header(0x21, 0x11, b"", length=65535))


def test_any_bytes_are_read_or_refused() -> None:
    """Random bodies and random headers: an address, none, or HeaderError, and nothing else."""
    source = random.Random(20261124)
    for _ in range(2000):
        version_command, family, *rest = source.randbytes(48)
        prefix = header(version_command & 0x21 | 0x20, family & 0x31, b"", length=len(rest))
        try:
            size = body_bytes(prefix)
            found = client_of(prefix, bytes(rest)[:size])
        except HeaderError:
            continue
        assert found is None or isinstance(found, ipaddress.IPv4Address | ipaddress.IPv6Address)
