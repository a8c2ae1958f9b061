"""Where an upstream's answer points to, as its clients see it (`location: rewrite`).

An upstream below a prefix that it does not know of points past it: with `Location: /login` for `/orders/login`. What
is under the target's own path goes back under the service's, where it stands in `Location` or `Content-Location` as
an absolute path or a URL of the target or of the host that was asked for, and where it is the path of a cookie.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.http.request import RequestHead

_NAMES: Final = (b"location", b"content-location")
_COOKIE: Final = b"set-cookie"
_AUTHORITY: Final = re.compile(rb"(?i)(https?:)?//([^/?#]*)")
_COOKIE_PATH: Final = re.compile(rb"(?i)(;[ \t]*path[ \t]*=[ \t]*)(/[^;]*)")
_DEFAULT_PORTS: Final = {b"http:": b":80", b"https:": b":443"}


class LocationRule:
    """Of one service. ``prefix`` is what was stripped of the path, or empty."""

    __slots__ = ("_prefix",)

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix

    def mended(self, fields: bytes, base_path: bytes, target_url: bytes, head: RequestHead) -> bytes:
        """The answer's field section. ``base_path`` and ``target_url`` (scheme and authority) are the target's."""
        lines = fields.split(b"\n")
        for index, line in enumerate(lines):
            name, colon, value = line.partition(b":")
            name = name.lower()
            if colon and name in _NAMES:
                place = self._place(value.strip(b" \t\r"), base_path, target_url, head)
                if place is not None:
                    lines[index] = line[: len(name)] + b": " + place + b"\r"
            elif colon and name == _COOKIE and not value.lstrip(b" \t").startswith(b"__Host-"):
                # A `__Host-` cookie has to have the path "/" (RFC 6265bis 4.1.3.2): with another it is none.
                lines[index] = _COOKIE_PATH.sub(
                    lambda match: match[1] + self._cookie_path(match[2], base_path), line.rstrip(b"\r")
                ) + (b"\r" if line.endswith(b"\r") else b"")
        return b"\n".join(lines)

    def _place(self, value: bytes, base_path: bytes, target_url: bytes, head: RequestHead) -> bytes | None:
        """None: it is left as it is."""
        authority = b""
        found = _AUTHORITY.match(value)
        if found is not None:
            scheme = (found[1] or target_url.partition(b"//")[0]).lower()
            # Of the target's host clients know nothing: the path alone.
            is_target = _is_same(scheme, found[2], target_url)
            if not is_target:
                if found[2].lower() not in _own_hosts(head):
                    return None
                authority = found[0]  # Whoever says it may mean the scheme.
            value = value[found.end() :] or b"/"
        if value[:1] != b"/":
            return None  # Relative to where it was asked for, which is as right there as here.
        path = self._under(value, base_path)
        return None if path is None else authority + path

    def _under(self, value: bytes, base_path: bytes) -> bytes | None:
        """A path, with what follows it, from under the one to under the other; None where it is not under it."""
        if not value.startswith(base_path):
            return None
        rest = value[len(base_path) :]
        if rest[:1] not in (b"/", b"?", b"#", b"") or b"/.." in rest.partition(b"?")[0]:
            return None
        moved = self._prefix + rest
        return moved if moved[:1] == b"/" and moved[:2] != b"//" else None

    def _cookie_path(self, path: bytes, base_path: bytes) -> bytes:
        path = path.rstrip(b" \t")
        if path == b"/" or base_path.startswith(path.rstrip(b"/") + b"/"):
            return self._prefix or b"/"  # Of all that is the upstream's.
        return self._under(path, base_path) or path


def _own_hosts(head: RequestHead) -> tuple[bytes, bytes]:
    """By which the client asked, and by which a trusted proxy was asked."""
    host = head.host.lower()
    return host, head.forwarded_host.lower() if head.is_from_trusted and head.forwarded_host else host


def _is_same(scheme: bytes, authority: bytes, target_url: bytes) -> bool:
    wanted_scheme, _, wanted = target_url.lower().partition(b"//")
    if scheme != wanted_scheme:
        return False
    port = _DEFAULT_PORTS[scheme]
    return authority.lower().removesuffix(port) == wanted.removesuffix(port)
