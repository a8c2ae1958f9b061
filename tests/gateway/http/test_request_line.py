"""Request lines that are known (RFC 9112 3)."""

import pytest

from gateway.http import request_line
from gateway.http.errors import ProtocolError
from gateway.http.request_line import LINE_BYTES_MAX, LINES_MAX, method_and_path


def test_method_and_path_are_told_apart_until_they_came_again() -> None:
    found = [method_and_path(bytes(bytearray(b"GET /once/and/again"))) for _ in range(3)]
    for one in found:
        assert (one.method, one.path, one.line) == (b"GET", b"/once/and/again", b"GET /once/and/again")
    assert found[0] is not found[1], "it may never have come again"
    assert found[1] is found[2]


@pytest.mark.parametrize(
    "line", [b"", b"GET", b"GET ", b" /", b"GET  /", b"GET /a b", b"G(T /", b"GET /\x7f", b"GET /#"]
)
def test_a_malformed_line_is_refused_each_time(line: bytes) -> None:
    for _ in range(2):
        with pytest.raises(ProtocolError) as refused:
            method_and_path(line)
        assert refused.value.code == "bad_request"


def test_lines_are_kept_within_bounds() -> None:
    long = b"GET /" + b"x" * LINE_BYTES_MAX
    assert method_and_path(long).line == long
    assert method_and_path(long) is not method_and_path(long)
    sizes = set()
    for number in range(2 * LINES_MAX):
        for _ in range(2):
            method_and_path(b"GET /%d" % number)
        sizes.add(len(request_line._KNOWN))
    assert max(sizes) == LINES_MAX
