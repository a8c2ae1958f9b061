"""The path that rules are matched on, which is also the one that the upstream is sent (RFC 3986 6.2.2).

Normalisation: percent-encoded unreserved characters are decoded, hex digits are upper-cased, runs of slashes
are merged and dot segments are resolved. A path that climbs above the root, hides a slash, backslash or control
in an escape, or has a parameter on a dot segment or on nothing (`..;x`, `/;x/`), is refused: upstreams disagree
on what those mean, so no rule on them would hold. Parameters (`/items;x`) go upstream, but rules are matched
without them. Case counts, and so does a slash at the end, unless the service says that its upstream sees none
(`rule_form`).

`%3B` is treated as the semicolon that it is once decoded. Servlet containers take `;x` away before they decode, so
by themselves they see a name in `admin%3Bx`; but servers in front of them (nginx with a path in `proxy_pass`, Apache
with AJP) decode, and write `?`, `#` and `%` back as escapes and the semicolon as itself. That is also why `%3F` and
`%23` may stay as they are: they are decoded at the end of the way alone, where the path has been split from its query.

Overlong UTF-8 (RFC 3629 3) of a slash, a dot, a backslash, a semicolon, a percent sign or a control is refused like
the escape of the character itself: decoders that were lenient have served files by it. Other octets that are no UTF-8
pass, as paths may be in any encoding.

Left as they are, for no server that we know of reads anything else in them, or only one that is broken for everybody:
`%252e` (a name with a percent sign; who decodes twice can be given any depth), fullwidth forms (other characters to
every server), a dot or `%20` at the end of a segment (other names but to the file systems of Windows).
"""

from __future__ import annotations

import re

from gateway.http.errors import ProtocolError

# Nothing to do for a path of plain segments: the usual case, decided by one search.
_UNUSUAL = re.compile(rb"[%\\#]|//|/[.;]")
_SLASHES = re.compile(rb"//+")
# Servlet containers take `;x` away before they resolve dots, so `/a/..;/b` is `/b` to them and `..;` a name to others.
_PARAMETERED_DOTS = re.compile(rb"\.\.?(?:;|%3B)")
_PARAMETERS = re.compile(rb"(?:;|%3B)[^/]*+")
# In normal form, in two octets, in three and in four: a control, "%", ".", "/" or ";"; "\\" or DEL.
_OVERLONG = re.compile(
    rb"%C0%(?:[89][0-9A-F]|A[5EF]|BB)|%C1%(?:9C|BF)"
    rb"|%E0%80%(?:[89][0-9A-F]|A[5EF]|BB)|%E0%81%(?:9C|BF)"
    rb"|%F0%80%80%(?:[89][0-9A-F]|A[5EF]|BB)|%F0%80%81%(?:9C|BF)"
)
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_HIDDEN = frozenset(b"/\\") | frozenset(range(0x20)) | {0x7F}


def _octets() -> dict[bytes, bytes]:
    """By the two hex digits of an escape what stands in its place; nothing where it hides something."""
    octets = {}
    for high in "0123456789abcdefABCDEF":
        for low in "0123456789abcdefABCDEF":
            octet = int(high + low, 16)
            plain = bytes((octet,)) if octet in _UNRESERVED else b"%%%02X" % octet
            octets[(high + low).encode()] = b"" if octet in _HIDDEN else plain
    return octets


_OCTETS = _octets()


def normal_path(path: bytes) -> bytes:
    """The normal form of an absolute path. Raises ProtocolError (bad_request)."""
    if not _UNUSUAL.search(path):
        return path
    if b"\\" in path or b"#" in path:
        raise ProtocolError("bad_request", "a character in the path is not allowed")
    path = _SLASHES.sub(b"/", _unescaped(path) if b"%" in path else path)
    if _OVERLONG.search(path):
        raise ProtocolError("bad_request", "an escape in the path hides a character in overlong UTF-8")
    segments: list[bytes] = []
    parts = path[1:].split(b"/")
    for at, part in enumerate(parts):
        if at < len(parts) - 1 and _PARAMETERS.match(part):
            raise ProtocolError("bad_request", "a segment in the path is a parameter and nothing else")
        if part == b"..":
            if not segments:
                raise ProtocolError("bad_request", "the path climbs above its root")
            segments.pop()
        elif part != b".":
            if part[:1] == b"." and _PARAMETERED_DOTS.match(part):
                raise ProtocolError("bad_request", "a dot segment in the path has a parameter")
            segments.append(part)
    if parts[-1] in (b".", b".."):
        segments.append(b"")  # RFC 3986 5.2.4: a trailing dot segment leaves its slash.
    return b"/" + b"/".join(segments)


def without_parameters(path: bytes) -> bytes:
    """What rules are matched on: a normal path less its `;x`, which many upstreams take away before they route."""
    return _PARAMETERS.sub(b"", path) if _has_parameters(path) else path


def rule_form(path: bytes, *, folds_case: bool, ignores_slash: bool) -> bytes:
    """What of a path the rules of a service tell apart: of its letters A to Z the case, and its last slash, or not."""
    if folds_case:
        path = path.lower()
    if ignores_slash and len(path) > 1 and path.endswith(b"/"):
        path = path[:-1]
    return path


def below_prefix(path: bytes, prefix_bytes: int) -> bytes:
    """A normal path less the segments that hold a prefix of its matched form; parameters further on stay."""
    if not _has_parameters(path):
        return path[prefix_bytes:] or b"/"
    at = 0
    for _ in range(without_parameters(path)[:prefix_bytes].count(b"/")):
        at = path.find(b"/", at + 1)
        if at < 0:
            return b"/"
    return path[at:]


def _has_parameters(path: bytes) -> bool:
    return b";" in path or b"%3B" in path


def _unescaped(path: bytes) -> bytes:
    """With each escape as the normal form has it. 0.05 us each: a path has room for thousands."""
    first, *parts = path.split(b"%")
    pieces = [first]
    for part in parts:
        octet = _OCTETS.get(part[:2])
        if octet is None:
            raise ProtocolError("bad_request", "a percent sign in the path is not followed by two hex digits")
        if not octet:
            raise ProtocolError("bad_request", "an escape in the path hides a slash or a control")
        pieces.append(octet)
        pieces.append(part[2:])
    return b"".join(pieces)
