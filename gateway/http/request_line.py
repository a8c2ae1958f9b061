"""The request line: method, target, version (RFC 9112 3)."""

from __future__ import annotations

from typing import Final

from gateway.http.errors import ProtocolError
from gateway.http.grammar import METHOD_AND_PATH
from gateway.http.repeats import Repeats

# At most so many lines, of so many bytes together: some 16 MiB with what is made of them.
LINES_MAX: Final = 32_768
LINES_BYTES_MAX: Final = 4 << 20
LINE_BYTES_MAX: Final = 1024
_METHODS: Final = {
    method: method for method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE")
}


class MethodAndPath:
    """``line`` is both with the space between: what a route is found by. What was found may be kept in its place."""

    __slots__ = ("is_kept", "is_origin_form", "line", "method", "path")
    # What each request touches, last: what is made of it for the route follows.
    line: bytes
    path: bytes
    method: bytes
    is_origin_form: bool
    is_kept: bool

    def __init__(self, line: bytes, method: bytes, path: bytes) -> None:
        self.line = line
        self.path = path
        self.method = method
        self.is_origin_form = path[:1] == b"/"
        self.is_kept = False  # Whether a later request with this line will find this object.


class _Lines:
    """Lines as received, less their queries, to what is made of them. Those that never come again are not kept."""

    __slots__ = ("_bytes", "_repeats", "known")

    def __init__(self) -> None:
        self.known: dict[bytes, MethodAndPath] = {}
        self._bytes = 0
        self._repeats = Repeats(LINES_MAX)

    def read(self, line: bytes) -> MethodAndPath:
        """A line that is not known."""
        match = METHOD_AND_PATH.fullmatch(line)
        if match is None:
            raise ProtocolError("bad_request", "malformed request line")
        method = match[1]
        # The usual ones are one object each: to take hold of one of thousands would be a cache line for each request.
        made = MethodAndPath(line, _METHODS.get(method, method), match[2])
        if len(line) <= LINE_BYTES_MAX and self._repeats.saw(line):
            self.keep(made)
        return made

    def keep(self, made: MethodAndPath) -> None:
        """In place of what is kept of this line."""
        if made.line not in self.known:
            if len(self.known) >= LINES_MAX or self._bytes >= LINES_BYTES_MAX:
                self.forget()
            self._bytes += len(made.line)
        made.is_kept = True
        self.known[made.line] = made

    def forget(self) -> None:
        for known in self.known.values():
            known.is_kept = False
        self.known.clear()
        self._bytes = 0


_LINES: Final = _Lines()


def method_and_path(line: bytes) -> MethodAndPath:
    """Raises ProtocolError (bad_request)."""
    known = _LINES.known.get(line)
    return _LINES.read(line) if known is None else known


def keep_found(found: MethodAndPath) -> None:
    """The next request with this line will be given ``found``, with all that was found out for it."""
    _LINES.keep(found)


def forget_found() -> None:
    """Routes have changed: what was found holds no more, and nobody else shall hold it. A millisecond at the most."""
    _LINES.forget()
