"""Where a request has its API key (`auth: in`): each place reads it, and takes it out of what goes upstream.

A key that stands twice is none: the upstream might read the other one. Browsers give an `EventSource` a query or a
cookie, and a `WebSocket` a query, a cookie or a subprotocol, and no field of their own.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote_to_bytes

from gateway.http.fields import without_fields, without_lookalikes
from gateway.http.request import RequestHead

_COOKIE: Final = b"cookie"
_SUBPROTOCOL: Final = b"sec-websocket-protocol"


class KeyPlace:
    """``always_takes_out``: what stands there is for the gateway and nobody else."""

    __slots__ = ("always_takes_out", "name")

    def __init__(self, name: bytes, *, always_takes_out: bool = False) -> None:
        self.name = name
        self.always_takes_out = always_takes_out

    def value(self, head: RequestHead) -> bytes | None:
        """The key, or None."""
        raise NotImplementedError

    def take_out(self, head: RequestHead) -> None:
        """From what goes upstream. The head still has its key, for who asks again."""
        raise NotImplementedError

    def make_unmistakable(self, head: RequestHead) -> None:
        """Where names go on that some upstreams take for others: the key's place alone says the key, or none does."""


class KeyField(KeyPlace):
    """A field of its own."""

    def value(self, head: RequestHead) -> bytes | None:
        return head.single(self.name)

    def take_out(self, head: RequestHead) -> None:
        head.fields = without_fields(head.fields, {self.name})

    def make_unmistakable(self, head: RequestHead) -> None:
        if not head.keeps_lookalikes:
            head.fields = without_lookalikes(head.fields, self.name)


class KeyParameter(KeyPlace):
    """A parameter of the query. Names and values are told by what they are when decoded; `+` is itself."""

    def value(self, head: RequestHead) -> bytes | None:
        found = [part for part in _parameters(head.taken_query or head.query) if self._is_key(part)]
        return unquote_to_bytes(found[0].partition(b"=")[2]) if len(found) == 1 else None

    def take_out(self, head: RequestHead) -> None:
        kept = [part for part in _parameters(head.query) if not self._is_key(part)]
        head.taken_query = head.query
        head.is_marked = True  # So that the next request begins without.
        head.query = b"?" + b"&".join(kept) if kept else b""

    def _is_key(self, part: bytes) -> bool:
        name = part.partition(b"=")[0]
        return (unquote_to_bytes(name) if b"%" in name else name) == self.name


class KeyCookie(KeyPlace):
    """One of the cookies (RFC 6265 4.2.1)."""

    def value(self, head: RequestHead) -> bytes | None:
        found = []
        for field in head.lines:
            if field.name == _COOKIE:
                found += [part for part in field.value.split(b";") if self._is_key(part)]
        return found[0].partition(b"=")[2].strip(b" \t") if len(found) == 1 else None

    def take_out(self, head: RequestHead) -> None:
        head.fields = _without_members(head.fields, _COOKIE, b";", self._is_key)

    def _is_key(self, part: bytes) -> bool:
        return part.partition(b"=")[0].strip(b" \t") == self.name


class KeySubprotocol(KeyPlace):
    """`key.VALUE` among the subprotocols that a WebSocket offers (RFC 6455 1.9); it is none, and never goes on.

    The upstream chooses among the others, so a browser has to offer one more, which the upstream takes.
    """

    def __init__(self, name: bytes) -> None:
        super().__init__(name + b".", always_takes_out=True)

    def value(self, head: RequestHead) -> bytes | None:
        found = []
        for field in head.lines:
            if field.name == _SUBPROTOCOL:
                found += [part for part in field.value.split(b",") if self._is_key(part)]
        return found[0].strip(b" \t")[len(self.name) :] if len(found) == 1 else None

    def take_out(self, head: RequestHead) -> None:
        head.fields = _without_members(head.fields, _SUBPROTOCOL, b",", self._is_key)

    def _is_key(self, part: bytes) -> bool:
        return part.strip(b" \t").startswith(self.name)


def key_place(document: dict[str, Any]) -> KeyPlace:
    """Of `auth` in a snapshot: ``in`` and ``name``, or the field alone as ``header``."""
    where = document.get("in", "header")
    name: bytes = (document.get("name") or document["header"]).encode()
    if where == "query":
        return KeyParameter(name)
    if where == "cookie":
        return KeyCookie(name)
    if where == "subprotocol":
        return KeySubprotocol(name)
    return KeyField(name.lower())


def _parameters(query: bytes) -> list[bytes]:
    return query[1:].split(b"&") if query else []


def _without_members(fields: bytes, name: bytes, separator: bytes, is_out: Any) -> bytes:
    """The section with the members of that field's lists that may stay; without the field where none may."""
    kept = []
    for line in fields.split(b"\n"):
        named, colon, value = line.partition(b":")
        if colon and named.lower() == name:
            members = [member.strip(b" \t\r") for member in value.split(separator)]
            members = [member for member in members if member and not is_out(member)]
            if not members:
                continue
            line = named + b": " + (separator + b" ").join(members) + b"\r"
        kept.append(line)
    return b"\n".join(kept)
