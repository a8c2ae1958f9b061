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

A service may have its paths read in another form (`PathForm`): GitLab, Argo CD and RabbitMQ have names with slashes,
written `%2F`, in one segment. The service is found by the form above, with escaped slashes left where they stand; then
the path is read anew in the service's own, and has to be the same service's still, or it is nobody's: so no other
reading leads past the rules of a service. Rules are matched on what the upstream is sent: with `keep` a `%2F` is a
character of its segment, `/api/{name}` takes `/api/a%2Fb`, and a rule on `/api/a/b` does not. That holds for upstreams
that route before they decode, as those do, and `keep` is for no other. Against those that decode first, no dot segment
may be hidden between escaped slashes; a route that must not be reached in that way has to be a service's own.
"""

from __future__ import annotations

import re
from typing import Final

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
_SLASH_LIKE = frozenset(b"/\\")
_HIDDEN = _SLASH_LIKE | frozenset(range(0x20)) | {0x7F}
_ESCAPED_SLASH = re.compile(rb"%2F|%5C")


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
# With slashes left as they are, escaped.
_OCTETS_BUT_SLASHES = _OCTETS | {digits: b"%" + digits.upper() for digits in _OCTETS if int(digits, 16) in _SLASH_LIKE}


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


class PathForm:
    """How the paths of a service are read that wants them otherwise."""

    __slots__ = ("keeps_escapes", "merges_slashes", "refuses_escapes")

    def __init__(self, escapes: str, *, merges_slashes: bool) -> None:
        self.keeps_escapes = escapes == "keep"
        self.refuses_escapes = escapes == "refuse"
        self.merges_slashes = merges_slashes

    def read(self, path: bytes) -> tuple[bytes, bytes]:
        """What rules are matched on, parameters and all, and what goes upstream: segment by segment the same.

        Raises ProtocolError (bad_request).
        """
        if path[:1] != b"/":
            return path, path  # RFC 9112 3.2.4: `*`
        if b"\\" in path or b"#" in path:
            raise ProtocolError("bad_request", "a character in the path is not allowed")
        if self.refuses_escapes and b"%" in path:
            raise ProtocolError("bad_request", "the paths of this service have no escapes")
        meant: list[bytes] = []
        sent: list[bytes] = []
        parts = path[1:].split(b"/")
        for at, part in enumerate(parts):
            is_last = at == len(parts) - 1
            if not part and self.merges_slashes and not is_last:
                continue
            segment = self._segment(part)
            if not is_last and _PARAMETERS.match(segment):
                raise ProtocolError("bad_request", "a segment in the path is a parameter and nothing else")
            if segment == b"..":
                if not meant:
                    raise ProtocolError("bad_request", "the path climbs above its root")
                meant.pop()
                sent.pop()
            elif segment != b".":
                meant.append(segment)
                sent.append(part if self.keeps_escapes else segment)
            if is_last and segment in (b".", b".."):
                meant.append(b"")
                sent.append(b"")
        return b"/" + b"/".join(meant), b"/" + b"/".join(sent)

    def _segment(self, part: bytes) -> bytes:
        """In normal form, but for slashes that stay escaped."""
        if b"%" in part:
            part = _unescaped(part, _OCTETS_BUT_SLASHES if self.keeps_escapes else _OCTETS)
            if _OVERLONG.search(part):
                raise ProtocolError("bad_request", "an escape in the path hides a character in overlong UTF-8")
        if part[:1] == b"." and _PARAMETERED_DOTS.match(part):
            raise ProtocolError("bad_request", "a dot segment in the path has a parameter")
        if self.keeps_escapes and _ESCAPED_SLASH.search(part):
            for piece in _ESCAPED_SLASH.split(part):
                if _PARAMETERS.sub(b"", piece) in (b".", b".."):
                    raise ProtocolError("bad_request", "an escaped slash in the path hides a dot segment")
        return part


# As which a path with escaped slashes is looked at first, to see whose it is.
KEEPING: Final = PathForm("keep", merges_slashes=True)


def path_form(escapes: str, *, merges_slashes: bool) -> PathForm | None:
    """None: the usual one."""
    return None if escapes == "decode" and merges_slashes else PathForm(escapes, merges_slashes=merges_slashes)


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
    return below_segments(path, without_parameters(path)[:prefix_bytes].count(b"/"))


def below_segments(path: bytes, segments: int) -> bytes:
    """A path less so many segments at its begin."""
    at = 0
    for _ in range(segments):
        at = path.find(b"/", at + 1)
        if at < 0:
            return b"/"
    return path[at:]


def _has_parameters(path: bytes) -> bool:
    return b";" in path or b"%3B" in path


def _unescaped(path: bytes, octets: dict[bytes, bytes] = _OCTETS) -> bytes:
    """With each escape as the normal form has it. 0.05 us each: a path has room for thousands."""
    first, *parts = path.split(b"%")
    pieces = [first]
    for part in parts:
        octet = octets.get(part[:2])
        if octet is None:
            raise ProtocolError("bad_request", "a percent sign in the path is not followed by two hex digits")
        if not octet:
            raise ProtocolError("bad_request", "an escape in the path hides a slash or a control")
        pieces.append(octet)
        pieces.append(part[2:])
    return b"".join(pieces)
