"""The request line: method, target, version (RFC 9112 3)."""

from __future__ import annotations

from typing import Final

from gateway.http.errors import ProtocolError
from gateway.http.grammar import METHOD_AND_PATH
from gateway.http.repeats import Repeats

LINES_MAX: Final = 2048
LINE_BYTES_MAX: Final = 1024
# Method and path as received, to what is made of them: requests repeat them, and seldom their queries. At the most
# 2 MiB; paths that never come again are not kept.
_KNOWN: Final[dict[bytes, MethodAndPath]] = {}
_REPEATS: Final = Repeats()


class MethodAndPath:
    """``line`` is both with the space between: what a route is found by."""

    __slots__ = ("line", "method", "path")

    def __init__(self, line: bytes, method: bytes, path: bytes) -> None:
        self.line = line
        self.method = method
        self.path = path


def method_and_path(line: bytes) -> MethodAndPath:
    """Raises ProtocolError (bad_request)."""
    known = _KNOWN.get(line)
    if known is None:
        match = METHOD_AND_PATH.fullmatch(line)
        if match is None:
            raise ProtocolError("bad_request", "malformed request line")
        known = MethodAndPath(line, match[1], match[2])
        if len(line) <= LINE_BYTES_MAX and _REPEATS.saw(line):
            if len(_KNOWN) >= LINES_MAX:
                _KNOWN.clear()
            _KNOWN[line] = known
    return known
