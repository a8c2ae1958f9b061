"""What servers say of how long a connection may rest."""

from __future__ import annotations

from math import inf

import pytest

from gateway.http.keep_alive import KNOWN_MAX, NUMBER_MAX, keep_alive
from gateway.http.response import ResponseHead


@pytest.mark.parametrize(
    "value, timeout_s, requests_max",
    [
        (b"timeout=5", 5, NUMBER_MAX),
        (b"timeout=5, max=100", 5, 100),
        (b'Max=7 , TIMEOUT="15"', 15, 7),
        (b"timeout=5, timeout=3", 3, NUMBER_MAX),
        (b"timeout=99999999999999999999", inf, NUMBER_MAX),
        (b"timeout=-1, max=x, other=3, ,=", inf, NUMBER_MAX),
        (b"", inf, NUMBER_MAX),
    ],
)
def test_what_is_said_is_heard_and_nonsense_says_nothing(value: bytes, timeout_s: float, requests_max: int) -> None:
    read = keep_alive(value)
    assert (read.timeout_s, read.requests_max) == (timeout_s, requests_max)


def test_a_value_is_read_once_and_many_are_not_kept() -> None:
    first = keep_alive(b"timeout=4")
    assert keep_alive(b"timeout=4") is first
    for number in range(KNOWN_MAX + 1):
        keep_alive(b"max=%d" % number)
    assert keep_alive(b"timeout=4") is not first


def test_it_is_of_one_answer_and_goes_no_further() -> None:
    head = ResponseHead()
    head.parse(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n", to_head_request=False)
    assert head.keep_alive is not None
    assert head.fields == b"Content-Length: 0\r\n"
    head.parse(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", to_head_request=False)
    assert head.keep_alive is None
