"""A request's head: parsed strictly, and reduced to what goes upstream (RFC 9112 3, 5, 6; RFC 9110 7.6.1)."""

from __future__ import annotations

from typing import Final

from gateway.http.errors import ProtocolError
from gateway.http.field_line import PLAIN, FieldLine, FieldLines, field_fault
from gateway.http.fields import members, without_fields
from gateway.http.grammar import CONTENT_LENGTH, HOST, NOT_IN_QUERY, PREFIX, REQUEST_ID
from gateway.http.head_end import whole_head_bytes
from gateway.http.request_fields import (
    IS_CONNECTION,
    IS_CONTENT_LENGTH,
    IS_EXPECT,
    IS_FORWARDED_FOR,
    IS_FORWARDED_HOST,
    IS_FORWARDED_PREFIX,
    IS_FORWARDED_PROTO,
    IS_HOST,
    IS_LOGIN,
    IS_LOOKALIKE,
    IS_NOTED,
    IS_REQUEST_ID,
    IS_TE,
    IS_TRANSFER_ENCODING,
    IS_UPGRADE,
    IS_VIA,
    IS_WHERE_FROM,
    KINDS,
    kind_of_name,
    kind_of_value,
)
from gateway.http.request_line import MethodAndPath, method_and_path, query_fault, version_fault
from gateway.http.via import hops

CHUNKED: Final = -1  # `content_length` of a request whose content comes in chunks.

_LINES: Final = FieldLines(KINDS, kind_of_name, kind_of_value)
_NO_LINES: Final[list[FieldLine]] = []
_NOTHING_READ: Final = MethodAndPath(b"", b"", b"")
_CLOSE, _UPGRADE_TOKEN = b"close", b"upgrade"
_NOT_NAMED_AWAY = frozenset((_CLOSE, b"keep-alive", _UPGRADE_TOKEN, b"host", b"content-length"))


class RequestHead:
    """One per connection, filled anew by each request, so that a request costs no object.

    ``fields`` is the field section for upstream: whole lines, without hop-by-hop and forwarding fields, and without
    those that look like fields which the gateway reads, writes or drops to whoever takes `_` for `-`.
    """

    __slots__ = (
        "content_length",
        "expects_continue",
        "fields",
        "forwarded_for",
        "forwarded_host",
        "forwarded_prefix",
        "forwarded_proto",
        "hops",
        "_sound_host",
        "has_odd_names",
        "host",
        "is_from_trusted",
        "is_http11",
        "is_marked",
        "keeps_alive",
        "keeps_lookalikes",
        "known",
        "lines",
        "logs_in",
        "query",
        "request_id",
        "searched",
        "takes_trailers",
        "taken_query",
        "upgrade",
        "via",
    )

    def __init__(self, *, keeps_lookalikes: bool = False) -> None:
        self.keeps_lookalikes = keeps_lookalikes
        self.is_from_trusted = False  # Whether the peer's word on where a request comes from is passed on.
        self.known = _NOTHING_READ  # method and path: what a route is found by
        self.query = b""  # with its "?", or empty
        self.taken_query = b""  # as it came, where something was taken out of it
        self.is_http11 = True
        self.host = b""
        self.lines = _NO_LINES  # The fields as they came.
        self.fields = b""
        self.content_length = 0
        self.keeps_alive = True
        self.expects_continue = False
        self.takes_trailers = False  # `TE: trailers`
        self.upgrade = b""
        self.forwarded_for = b""
        self.forwarded_proto = b""
        self.forwarded_host = b""
        self.forwarded_prefix = b""  # a trusted proxy's
        self.via = b""
        self.hops = 0  # through this gateway, by `Via`
        self.request_id = b""
        self.searched = 0  # How much of a head that is not whole yet was looked through.
        self.logs_in = False  # Whether it logs in the connection that it goes on by.
        self.has_odd_names = False  # Whether a name that goes on has any other characters than hyphens in it.
        self.is_marked = False  # Whether any of the rarer fields above is set: one test clears them all.
        self._sound_host = b""  # The last Host that matched its grammar: a connection's requests repeat it.

    @property
    def method(self) -> bytes:
        return self.known.method

    @property
    def path(self) -> bytes:
        return self.known.path

    def forget_line(self) -> None:
        """Before a head that was not understood: the last one's method and path are not its own."""
        self.known = _NOTHING_READ

    def let_go(self) -> None:
        """Drops what the last head left. ``host`` stays: it is short, and the next request's most likely."""
        self.lines = _NO_LINES
        self.known = _NOTHING_READ
        self.fields = self.query = b""
        if self.is_marked:
            self.forwarded_for = self.forwarded_proto = self.forwarded_host = self.via = b""
            self.forwarded_prefix = self.taken_query = b""

    def parse(self, data: bytes, head_bytes_max: int, target_bytes_max: int, fields_max: int, at: int = 0) -> int:
        """Reads one head from ``at`` on and returns its length in bytes; 0 while it is not whole.

        Called again with more of the same head it goes on searching where it stopped: however small the pieces are
        that a head comes in, all searches together look at each byte once.

        Raises ProtocolError (400, 414, 431, 501), for a partial head too where no continuation could mend it.
        """
        searched = self.searched
        head_bytes = whole_head_bytes(data, head_bytes_max, at, searched)
        if head_bytes == 0:
            self.searched = len(data) - at
            return 0
        if searched:
            self.searched = 0
        end = at + head_bytes
        lines = data[at : end - 4].split(b"\r\n")
        first = lines[0]
        line = first[:-9]
        version = first[-9:]
        is_http11 = version == b" HTTP/1.1"
        if not is_http11 and version != b" HTTP/1.0":
            raise ProtocolError("bad_request", version_fault(first))
        query = b""
        mark = line.find(b"?")
        if mark >= 0:
            query = line[mark:]
            line = line[:mark]
            if NOT_IN_QUERY.search(query):
                raise ProtocolError("bad_request", query_fault(query))
        known = method_and_path(line)
        if len(line) + len(query) - len(known.method) - 1 > target_bytes_max:
            raise ProtocolError("uri_too_long", f"the request target is longer than {target_bytes_max} bytes")
        if len(lines) > fields_max + 1:
            raise ProtocolError("head_too_large", f"more than {fields_max} fields")
        self.is_http11 = self.keeps_alive = is_http11
        self.content_length = 0
        self.fields = data[at + len(first) + 2 : end - 2]
        self.query = query
        self.known = known
        if self.is_marked:
            self.is_marked = self.expects_continue = self.takes_trailers = self.has_odd_names = False
            self.upgrade = self.forwarded_for = self.via = self.request_id = b""
            self.forwarded_proto = self.forwarded_host = self.forwarded_prefix = self.taken_query = b""
            self.hops = 0
            self.logs_in = False
        host = self._read_fields(lines)
        if host is None and self.is_http11:
            # RFC 9112 3.2: a server MUST respond with a 400 to an HTTP/1.1 request that lacks a Host, in any form.
            raise ProtocolError("bad_request", "Host is missing")
        if not known.is_origin_form:
            host = self._read_other_form(known.method, known.path + query, host)
        self.host = host or b""
        return head_bytes

    def _read_other_form(self, method: bytes, target: bytes, host: bytes | None) -> bytes | None:
        """absolute-form and asterisk-form (RFC 9112 3.2.2, 3.2.4). Returns the authority that holds."""
        if target == b"*" and method == b"OPTIONS":
            return host
        scheme, colon, rest = target.partition(b"://")
        if not colon or scheme.lower() not in (b"http", b"https"):
            raise ProtocolError("bad_request", "the request target is in no form this gateway takes")
        authority, slash, path = rest.partition(b"/")
        if b"?" in authority:
            authority, _, path = rest.partition(b"?")
            slash, path = b"/", b"?" + path
        if not authority or not HOST.fullmatch(authority) or b"@" in authority:
            raise ProtocolError("bad_request", "the request target's authority is malformed")
        if not slash:
            # RFC 9112 3.2.4: OPTIONS for no path and no query is of the whole server.
            path = b"*" if method == b"OPTIONS" else b"/"
        path, question, query = (slash + path).partition(b"?")
        self.known = MethodAndPath(method + b" " + path, method, path)
        self.query = question + query
        # RFC 9112 3.2.2: a proxy MUST ignore the received Host and replace it with the target's host.
        self.fields = b"Host: " + authority + b"\r\n" + without_fields(self.fields, {b"host"})
        return authority

    def _read_fields(self, lines: list[bytes]) -> bytes | None:
        """Checks every line, and takes what concerns the gateway out of the section; returns the Host value, if any.

        ``lines`` are the head's, the request line first.
        """
        host: bytes | None = None
        length: bytes | None = None
        coding: bytes | None = None
        connection = b""
        upgrade = b""
        kept: list[bytes] | None = None
        known = _LINES.known
        fields: list[FieldLine] = []
        for index in range(1, len(lines)):
            line = lines[index]
            field = known.get(line)
            if field is None:
                field = _LINES.read(line)
                if field is None:
                    raise ProtocolError("bad_request", f"malformed field line {index}: {field_fault(line)}")
            fields.append(field)
            kind = field.kind
            if kind != PLAIN:
                value = field.value
                if kind == IS_HOST:
                    # RFC 9112 3.2: more than one Host, or an invalid one, is a 400.
                    if host is not None:
                        raise ProtocolError("bad_request", "Host stands more than once")
                    if value != self._sound_host:
                        if not HOST.fullmatch(value):
                            raise ProtocolError("bad_request", "Host is malformed")
                        self._sound_host = value
                    host = self._sound_host
                elif kind == IS_CONTENT_LENGTH:
                    # RFC 9110 8.6, RFC 9112 6.3: repeated or listed lengths are refused, equal ones too.
                    if length is not None or not CONTENT_LENGTH.fullmatch(value):
                        raise ProtocolError("bad_request", "Content-Length is malformed or repeated")
                    length = value
                elif kind >= IS_NOTED:
                    self.is_marked = True
                    if kind == IS_LOGIN:
                        self.logs_in = True
                    else:
                        self.has_odd_names = True
                else:
                    if kept is None:
                        kept = lines[1:index]
                        self.is_marked = True
                    if kind == IS_CONNECTION:
                        connection += b"," + value.lower()
                    elif kind == IS_TRANSFER_ENCODING:
                        coding = value.lower() if coding is None else coding + b"," + value.lower()
                    elif kind == IS_UPGRADE:
                        upgrade = value
                    elif self._goes_on(kind):
                        kept.append(line)
                    else:
                        self._read_rare(kind, value)
                    continue
            if kept is not None:
                kept.append(line)
        self.lines = fields
        if kept is not None:
            kept.append(b"")
            self.fields = b"\r\n".join(kept)
        if connection:
            self._read_connection(connection, upgrade)
        if self.takes_trailers:
            # The gateway's own, to its next hop: it passes trailers on.
            self.fields += b"TE: trailers\r\nConnection: TE\r\n"
        if coding is not None:
            self._read_coding(coding, length)
        elif length is not None:
            self.content_length = int(length)
        return host

    def _goes_on(self, kind: int) -> bool:
        return (kind == IS_WHERE_FROM and self.is_from_trusted) or (kind == IS_LOOKALIKE and self.keeps_lookalikes)

    def _read_rare(self, kind: int, value: bytes) -> None:
        if kind == IS_TE:
            # RFC 9110 10.1.4. A list, of which only this word concerns a hop that takes no coding but chunked.
            self.takes_trailers = self.is_http11 and b"trailers" in members(value.lower())
        elif kind == IS_EXPECT:
            # RFC 9110 10.1.1: 100-continue is the only expectation defined; others may be ignored.
            self.expects_continue = value.lower() == b"100-continue" and self.is_http11
        elif kind == IS_REQUEST_ID:
            if REQUEST_ID.fullmatch(value):
                self.request_id = value
        elif kind == IS_FORWARDED_FOR:
            self.forwarded_for = self.forwarded_for + b", " + value if self.forwarded_for else value
        elif kind == IS_VIA:
            self.via = self.via + b", " + value if self.via else value
            self.hops += hops(value)
        elif kind == IS_FORWARDED_PROTO:
            self.forwarded_proto = value
        elif kind == IS_FORWARDED_HOST:
            self.forwarded_host = value
        elif kind == IS_FORWARDED_PREFIX and self.is_from_trusted:
            for prefix in members(value):  # Each proxy of a chain adds its own.
                if PREFIX.fullmatch(prefix):
                    self.forwarded_prefix += prefix.rstrip(b"/")

    def has(self, name: bytes) -> bool:
        """Whether a field of that name, in lower case, came."""
        return any(field.name == name for field in self.lines)

    def single(self, name: bytes) -> bytes | None:
        """The value of the field of that name, in lower case, where it came once; else None."""
        value: bytes | None = None
        for field in self.lines:
            if field.name == name:
                if value is not None:
                    return None
                value = field.value
        return value

    def _read_connection(self, connection: bytes, upgrade: bytes) -> None:
        options = frozenset(members(connection[1:])) - {b""}
        if _CLOSE in options:
            self.keeps_alive = False
        elif not self.is_http11 and b"keep-alive" in options:
            self.keeps_alive = True
        if _UPGRADE_TOKEN in options and self.is_http11:
            self.upgrade = upgrade
        # RFC 9110 7.6.1: remove each field the connection options name; never the ones framing stands on.
        named = options - _NOT_NAMED_AWAY
        if named:
            self.fields = without_fields(self.fields, named)

    def _read_coding(self, coding: bytes, length: bytes | None) -> None:
        # RFC 9112 6.1: Transfer-Encoding with Content-Length, or in HTTP/1.0, is an attempt at smuggling.
        if length is not None:
            raise ProtocolError("bad_request", "Transfer-Encoding together with Content-Length")
        if not self.is_http11:
            raise ProtocolError("bad_request", "Transfer-Encoding in HTTP/1.0")
        codings = members(coding)
        if codings == [b"chunked"]:
            self.content_length = CHUNKED
        elif codings.count(b"chunked") > 1 or codings[-1] != b"chunked" or b"" in codings:
            # RFC 9112 6.3: if chunked is not the final coding, the length cannot be known: 400.
            raise ProtocolError("bad_request", "Transfer-Encoding does not end in one chunked")
        else:
            raise ProtocolError("not_implemented", "only the transfer coding chunked is understood")
