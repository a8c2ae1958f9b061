"""Request lines that are known (RFC 9112 3)."""

import pytest

from gateway.http import request_line
from gateway.http.errors import ProtocolError
from gateway.http.request_line import (
    LINE_BYTES_MAX,
    LINES_BYTES_MAX,
    LINES_MAX,
    MethodAndPath,
    forget_found,
    keep_found,
    method_and_path,
)


@pytest.mark.usefixtures("fresh_lines")
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
    for size, most in ((10, LINES_MAX), (1000, LINES_BYTES_MAX // 1000 + 1)):
        lines = request_line._Lines()
        first = b"GET /%0*d" % (size, 0)
        kept = [lines.read(first) for _ in range(2)][1]
        assert kept.is_kept
        sizes = set()
        for number in range(1, 2 * most):
            for _ in range(2):
                lines.read(b"GET /%0*d" % (size, number))
            sizes.add(len(lines.known))
        assert most // 2 <= max(sizes) <= most
        assert not kept.is_kept, "what is found for it would not be found again"


def test_what_was_found_for_a_line_is_forgotten_when_routes_change() -> None:
    known = [method_and_path(b"GET /noted") for _ in range(3)][2]
    found = MethodAndPath(known.line, known.method, known.path)
    keep_found(found)
    assert method_and_path(b"GET /noted") is found
    assert found.is_kept
    forget_found()
    assert not found.is_kept
    assert method_and_path(b"GET /noted") is not found


def test_what_was_found_takes_the_place_of_its_line() -> None:
    """However often: it is one of the lines that there may be."""
    lines = request_line._Lines()
    for number in range(3):
        for _ in range(LINES_BYTES_MAX // LINE_BYTES_MAX):
            lines.keep(MethodAndPath(b"GET /" + b"x" * 1000, b"GET", b"/" + b"x" * 1000))
        lines.keep(MethodAndPath(b"GET /%d" % number, b"GET", b"/%d" % number))
    assert len(lines.known) == 4
