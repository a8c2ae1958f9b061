"""How much of a ClientHello has to come before its handshake begins."""

from __future__ import annotations

import ssl

import pytest

from gateway.entry.client_hello import HELLO_BYTES_MAX, NO_HELLO, RECORDS_MAX, bytes_awaited
from tests.gateway.entry.test_handshakes import hello


def record(content: bytes, kind: int = 22) -> bytes:
    return bytes((kind, 3, 1)) + len(content).to_bytes(2) + content


def message(size: int) -> bytes:
    return b"\x01" + size.to_bytes(3) + b"h" * size


def test_a_real_one_is_awaited_to_its_end() -> None:
    whole = hello(ssl.create_default_context())
    assert bytes_awaited(whole[:5]) == len(whole)
    assert all(bytes_awaited(whole[:cut]) == (5 if cut < 5 else len(whole)) for cut in range(len(whole)))
    assert bytes_awaited(whole) == 0
    assert bytes_awaited(whole + b"more") == 0


IN_TWO = record(message(100)[:40]) + record(message(100)[40:])


@pytest.mark.parametrize(
    "data, awaited",
    [
        pytest.param(b"", 5, id="nothing"),
        pytest.param(IN_TWO[:45], 50, id="one of its records"),
        pytest.param(IN_TWO[:50], len(IN_TWO), id="the head of the second"),
        pytest.param(IN_TWO, 0, id="in two records"),
        pytest.param(record(message(100)[:3]), 13, id="less than a message's head"),
        pytest.param(record(b"\x02\x28", kind=21), 0, id="an alert"),
        pytest.param(record(message(100)[:40]) + record(b"\x02\x28", kind=21), 0, id="an alert in the middle"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 0, id="no TLS"),
        pytest.param(record(b"") * RECORDS_MAX, NO_HELLO, id="empty records"),
        pytest.param(b"".join(record(b"h") for _ in range(RECORDS_MAX)), NO_HELLO, id="too many records"),
        pytest.param(record(message(HELLO_BYTES_MAX))[:9], NO_HELLO, id="too long"),
    ],
)
def test_what_is_awaited(data: bytes, awaited: int) -> None:
    assert bytes_awaited(data) == awaited
