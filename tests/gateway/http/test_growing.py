"""Heads that come in pieces: however small those are, all searches together look at each byte once."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from gateway.http.request import RequestHead
from gateway.http.response import ResponseHead

PIECE = 16


def request() -> Callable[[bytes], int]:
    head = RequestHead()
    return lambda data: head.parse(data, 1 << 20, 8192, 1 << 20)


def answer() -> Callable[[bytes], int]:
    head = ResponseHead()
    return lambda data: head.parse(data, to_head_request=False)


@pytest.mark.parametrize(
    "begin, line", [(request, b"GET / HTTP/1.1\r\n"), (answer, b"HTTP/1.1 200 OK\r\n")], ids=["request", "answer"]
)
def test_a_head_four_times_as_long_takes_some_four_times_as_long(
    begin: Callable[[], Callable[[bytes], int]], line: bytes
) -> None:
    """A search from the start at each piece took sixteen times as long: 19.8 s for 32 KiB byte by byte."""

    def seconds(size: int) -> float:
        whole = line + b"A: b\r\n" * ((size - len(line)) // 6)
        parts = [whole[:end] for end in range(PIECE, len(whole), PIECE)]
        best = 1e9
        for _ in range(3):
            parse = begin()
            began = time.process_time()
            for part in parts:
                assert parse(part) == 0
            best = min(best, time.process_time() - began)
        return best

    assert seconds(48 * 1024) < 9 * seconds(12 * 1024)


@pytest.mark.parametrize("at", [0, 1, 7, 40])
def test_a_head_is_read_from_where_it_begins(at: int) -> None:
    before, rest = b"\r\n" * at, b"GET /next HTTP/1.1\r\nHost: b\r\n\r\n"
    data = b"POST /x?q HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
    head = RequestHead()
    for end in (20, len(data) - 1):
        assert head.parse(before + data[:end], 1024, 1024, 9, len(before)) == 0
    assert head.parse(before + data + rest, 1024, 1024, 9, len(before)) == len(data)
    assert (head.method, head.path, head.query, head.host) == (b"POST", b"/x", b"?q", b"a")
    assert head.fields == b"Host: a\r\nContent-Length: 3\r\n"
    assert head.content_length == 3
    assert head.parse(before + data + rest, 1024, 1024, 9, len(before + data)) == len(rest)
    assert head.host == b"b"


@pytest.mark.parametrize("at", [0, 9])
def test_an_answer_is_read_from_where_it_begins(at: int) -> None:
    before = b"x" * at
    data = b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 3\r\n\r\n"
    head = ResponseHead()
    assert head.parse(before + data[:-1], to_head_request=False, at=at) == 0
    assert head.parse(before + data + b"abc", to_head_request=False, at=at) == len(data)
    assert (head.status, head.framing, head.fields) == (200, 3, b"A: b\r\nContent-Length: 3\r\n")
