"""Lines taken out of a field section."""

import time

import pytest

from gateway.http.fields import without_fields
from gateway.http.request import RequestHead
from gateway.http.response import ResponseHead


@pytest.mark.parametrize(
    "fields, names, left",
    [
        (b"", {b"a"}, b""),
        (b"A: 1\r\nB: 2\r\na: 3\r\n", {b"a"}, b"B: 2\r\n"),
        (b"A: 1\r\nB: 2\r\n", {b"a", b"b"}, b""),
        (b"AB: 1\r\n", {b"a", b"b"}, b"AB: 1\r\n"),
        (b"X: a:1\r\n", {b"a"}, b"X: a:1\r\n"),
        (b"A:\r\nB:\r\n", {b"a"}, b"B:\r\n"),
    ],
)
def test_only_the_named_lines_go(fields: bytes, names: set[bytes], left: bytes) -> None:
    assert without_fields(fields, names) == left


def test_a_connection_field_of_thousands_of_options_costs_about_what_one_of_one_does() -> None:
    """RFC 9110 7.6.1. A pass for each option took 1,000 times as long; 50 leaves room for noise."""
    filler = b"".join(b"F%d: %s\r\n" % (n, b"x" * 200) for n in range(60))

    def seconds(options: bytes) -> float:
        request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: " + options + b"\r\n" + filler + b"\r\n"
        answer = b"HTTP/1.1 204 No Content\r\nConnection: " + options + b"\r\n" + filler + b"\r\n"
        best = 1e9
        for _ in range(3):
            began = time.process_time()
            assert RequestHead().parse(request, 32768, 8192, 128)
            assert ResponseHead().parse(answer, to_head_request=False)
            best = min(best, time.process_time() - began)
        return best

    many = b",".join(b"o%d" % n for n in range(2500))
    padded = b"x" * len(many)  # the same bytes to read
    assert seconds(many) < 50 * max(seconds(padded), 1e-4)
