"""The request line: method, target, version (RFC 9112 3)."""

from __future__ import annotations

import re
from typing import Final

from gateway.http.errors import ProtocolError
from gateway.http.grammar import METHOD_AND_PATH, TCHAR
from gateway.http.repeats import Repeats

# At most so many lines, of so many bytes together: some 16 MiB with what is made of them.
LINES_MAX: Final = 32_768
LINES_BYTES_MAX: Final = 4 << 20
LINE_BYTES_MAX: Final = 1024
_METHOD: Final = re.compile(rb"%b{1,32}+" % TCHAR)
_OTHER_VERSION: Final = re.compile(rb" HTTP/[0-9](?:\.[0-9])?\Z")
_BEGUN: Final = re.compile(rb"(%b{1,32}+)(?: ([^\x00-\x20?\x7f]*+)|$)" % TCHAR)
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
            raise ProtocolError("bad_request", line_fault(line))
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


def version_fault(line: bytes) -> str:
    """Why a whole request line does not end as one of HTTP/1.1 or HTTP/1.0."""
    if line == b"PRI * HTTP/2.0":  # RFC 9113 3.4
        return "an HTTP/2 connection preface, and HTTP/1.1 is spoken here"
    if _OTHER_VERSION.search(line):
        return "malformed request line: HTTP/1.1 and HTTP/1.0 are spoken here, and no other version"
    if line.endswith((b" ", b"\t")):
        return "malformed request line: white space at its end"
    return "malformed request line: no HTTP version at its end"


def line_fault(line: bytes) -> str:
    """Which rule the method and the path break."""
    method, space, path = line.partition(b" ")
    if not line.isascii():
        why = "a byte above 0x7F must be percent-encoded"
    elif not space or not path:
        why = "method and target are not both there"
    elif method == b"CONNECT":
        why = "CONNECT asks for a tunnel, which is not given here"
    elif _METHOD.fullmatch(method) is None:
        why = "the method is no token, or longer than 32 characters"
    elif b" " in path:
        why = "white space in the target must be percent-encoded"
    elif b"#" in path:
        why = "the target has a fragment, which is never sent"
    else:
        why = "a control in the target"
    return f"malformed request line: {why}"


def query_fault(query: bytes) -> str:
    """Which rule a query breaks."""
    if not query.isascii():
        return "malformed query: a byte above 0x7F must be percent-encoded"
    if b"#" in query:
        return "malformed query: the target has a fragment, which is never sent"
    return "malformed query: white space and controls must be percent-encoded"


def begun_line(data: bytes, at: int) -> tuple[bytes, bytes]:
    """Method and path of a head that was not understood, or is not whole, for the operator: as far as they came.

    Empty where what came is no request. Without the query, which may hold what is nobody's business.
    """
    line = data[at : at + LINE_BYTES_MAX].partition(b"\r\n")[0]
    begun = _BEGUN.match(line)
    return (begun[1], begun[2] or b"") if begun is not None else (b"", b"")


def keep_found(found: MethodAndPath) -> None:
    """The next request with this line will be given ``found``, with all that was found out for it."""
    _LINES.keep(found)


def forget_found() -> None:
    """Routes have changed: what was found holds no more, and nobody else shall hold it. A millisecond at the most."""
    _LINES.forget()
