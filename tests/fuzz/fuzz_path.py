"""Paths: whatever an upstream makes of the normal form, it is what the rules were matched on."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from gateway.http.errors import ProtocolError
from gateway.routing.path import below_prefix, normal_path, without_parameters

_TARGET_CHARS = re.compile(rb"[^\x21\x22\x24-\x3e\x40-\x7e]")  # what the head's grammar lets into a path, without "?"
_ESCAPE = re.compile(rb"%(?:[0-9A-F]{2})?")


def decoded_segments(path: bytes) -> list[bytes]:
    """As a lax upstream reads it: decode first, then merge slashes and resolve dots (RFC 3986 5.2.4)."""
    segments: list[bytes] = []
    for segment in unquote_to_bytes(path).replace(b"\\", b"/").split(b"/"):
        if segment == b"..":
            segments = segments[:-1]
        elif segment not in (b"", b"."):
            segments.append(segment)
    return segments


def check(data: bytes) -> None:
    path = b"/" + _TARGET_CHARS.sub(b"", data)
    try:
        normal = normal_path(path)
    except ProtocolError as error:
        assert error.code == "bad_request"
        return
    assert normal[:1] == b"/"
    assert normal_path(normal) == normal, "not a normal form"
    assert b"//" not in normal
    assert decoded_segments(normal) == decoded_segments(path), "another resource"
    for escape in _ESCAPE.findall(normal):
        assert len(escape) == 3
        assert chr(int(escape[1:], 16)) not in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/\\"
    for segment in normal.split(b"/"):
        # Servlet containers drop `;x` before they resolve dots: `/a/..;/b` climbs there.
        assert segment.partition(b";")[0] not in (b".", b"..")
    matched = without_parameters(normal)
    assert b";" not in matched
    assert b"//" not in matched, "its segments are no longer those of the path"
    assert matched.count(b"/") == normal.count(b"/")
    prefix = matched[: matched.find(b"/", 1)] if b"/" in matched[1:] else matched
    if prefix != b"/":
        assert without_parameters(below_prefix(normal, len(prefix))) == (matched[len(prefix) :] or b"/")
