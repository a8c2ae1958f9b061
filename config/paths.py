"""Paths of services and routes as rules are matched on them: in the normal form that a request's path is brought to.

The form is that of `gateway/routing/path.py`. What has a plain meaning is brought to it (escapes of plain characters,
their hex digits, what is beyond ASCII); what no request's path can be after that is refused with what to write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from config.errors import shown

PATH_CHARS_MAX: Final = 2048  # of 8 KiB that a request line may have unless set otherwise
SEGMENTS_MAX: Final = 64
PARAMETERS_IN_SEGMENT_MAX: Final = 8

_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_HIDDEN: Final = frozenset(b"/\\") | frozenset(range(0x20)) | {0x7F}
_PCHAR: Final = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@%]")
_NAME: Final = r"[\w.$~-]{1,128}"
_TEMPLATE: Final = re.compile(rf"\{{({_NAME})(?:(\+)|=([^{{}}]*))?\}}")
# What is in its form as it stands, which nearly every path is: decided by one search, as files have 200,000 of them.
_USUAL: Final = re.compile(
    r"(?=.{1,256}\Z)(?:/(?:[A-Za-z0-9_~$-][A-Za-z0-9._~!$&'()+,=:@-]*|\{[A-Za-z0-9_-]{1,64}\})){1,64}"
)
_PIECES: Final = re.compile(r"(\{[^{}]*\})")


def parse_prefix(text: str) -> str:
    """A service's path: `/`, or segments without a slash at the end."""
    _check_text(text, "path prefix")
    if "{" in text or "}" in text:
        raise ValueError(f"{shown(text)} is no path prefix: {{names}} stand in the paths of routes")
    if "*" in text:
        raise ValueError(f"{shown(text)} is no path prefix: all paths below one are its service's, without a *")
    if len(text) > 1 and text.endswith("/"):
        raise ValueError(f"{shown(text)} is a prefix of whole segments anyway: write {text.rstrip('/') or '/'}")
    return text if text == "/" else "/" + "/".join(_whole(part, text) for part in _segments(text))


def parse_route_path(text: str) -> str:
    """A route's path below its service's. `{name}` is one segment or a part of it, a final `{name+}` one or more
    segments, a final `*` all the rest; `{name=projects/*}` is written out as `projects/{name}`, `**` in it as `*`."""
    if _USUAL.fullmatch(text):
        return text
    _check_text(text, "route path")
    path = _TEMPLATE.sub(lambda match: _written_out(match, text), text)
    segments = list(_segments(path))
    return "/" + "/".join(_segment(part, at == len(segments) - 1, text) for at, part in enumerate(segments))


def shape(path: str) -> str:
    """Of a route's path that was parsed: what two have in common that fit the same requests."""
    return re.sub(r"\{[^{}+]*(\+?)\}", r"{\1}", path)


def _check_text(text: str, kind: str) -> None:
    if len(text) > PATH_CHARS_MAX:
        raise ValueError(f"is longer than the {PATH_CHARS_MAX} characters of a {kind}")
    if not text.isprintable():
        raise ValueError(f"{shown(text)} has a control character or another that is not seen, which no path has")
    if not text.startswith("/"):
        raise ValueError(f"{shown(text)} is no {kind}: it begins with a slash, write /{text}")
    for char, name in (("\\", "a backslash"), ("#", "a fragment"), ("?", "a query")):
        if char in text:
            raise ValueError(f"{shown(text)} has {name}, and rules are matched on a path: take it away")


def _segments(path: str) -> Iterator[str]:
    """A slash at the end leaves an empty one."""
    parts = path[1:].split("/")
    if len(parts) > SEGMENTS_MAX:
        raise ValueError(f"{shown(path)} has more than {SEGMENTS_MAX} segments")
    if any(not part for part in parts[:-1]):
        raise ValueError(f"{shown(path)} has slashes side by side, which are one in a request: write {_merged(path)}")
    yield from parts


def _merged(path: str) -> str:
    return re.sub("//+", "/", path)


def _written_out(match: re.Match[str], text: str) -> str:
    """Google's templates (google.api.http): `*` is one segment, `**` all the rest."""
    name, plus, pattern = match.groups()
    if pattern is None:
        return match[0] if plus else f"{{{name}}}"
    parts = pattern.split("/")
    if not all(parts) or any("*" in part and part not in ("*", "**") for part in parts) or "**" in parts[:-1]:
        raise ValueError(f"{shown(text)}: {match[0]} is of segments, * for one and a last ** for the rest")
    return "/".join({"*": f"{{{name}}}", "**": "*"}.get(part, part) for part in parts)


def _segment(part: str, is_last: bool, text: str) -> str:
    if part.startswith("*") and is_last:
        return "*" + _literal(part[1:], text) if _is_suffix(part[1:]) else _stray_star(text)
    if "{" not in part and "}" not in part:
        return _stray_star(text) if "*" in part else _whole(part, text)
    pieces = _PIECES.split(part)
    parameters = pieces[1::2]
    if any("{" in literal or "}" in literal for literal in pieces[::2]):
        raise ValueError(f"{shown(text)} has a brace that is not closed or not opened")
    for parameter in parameters:
        if not _TEMPLATE.fullmatch(parameter):
            raise ValueError(f"{shown(text)}: {parameter} is no name in braces: letters, digits, _ - . $ ~")
        if parameter.endswith("+}") and not (is_last and part == parameter):
            raise ValueError(f"{shown(text)}: {parameter} takes the rest of the path, and stands alone at its end")
    if not all(pieces[2:-1:2]):
        raise ValueError(f"{shown(text)} has names side by side, and nothing says where one ends")
    if len(parameters) > PARAMETERS_IN_SEGMENT_MAX:
        raise ValueError(f"{shown(text)} has more than {PARAMETERS_IN_SEGMENT_MAX} names in a segment")
    if any("*" in literal for literal in pieces[::2]):
        return _stray_star(text)
    return "".join(_literal(piece, text) if at % 2 == 0 else piece for at, piece in enumerate(pieces))


def _is_suffix(text: str) -> bool:
    """What may stand behind a final `*`: a verb, as `:cancel`."""
    return not text or (text[0] == ":" and not set(text) & set("*{}"))


def _stray_star(text: str) -> str:
    raise ValueError(f"{shown(text)}: a * stands at the end, for the rest of a path; {{name}} is one segment")


def _literal(part: str, text: str) -> str:
    """Normal: escaped where a path is, and nowhere else (RFC 3986 6.2.2)."""
    if ";" in part:
        raise ValueError(f"{shown(text)} has a parameter, and rules are matched without them: write {_bare(text)}")
    encoded = "".join(char if _PCHAR.fullmatch(char) else _escaped(char) for char in part)
    return _ESCAPE.sub(lambda match: _normal_escape(match, text), encoded)


def _whole(segment: str, text: str) -> str:
    normal = _literal(segment, text)
    if normal in (".", ".."):
        raise ValueError(f"{shown(text)} has a segment of dots, and a request has none when it is matched")
    return normal


def _bare(text: str) -> str:
    return re.sub(";[^/]*", "", text) or "/"


def _escaped(char: str) -> str:
    return "".join(f"%{octet:02X}" for octet in char.encode("utf-8", "replace"))


def _normal_escape(match: re.Match[str], text: str) -> str:
    if match[1] is None:
        raise ValueError(f"{shown(text)}: a % is followed by two hex digits; write %25 for itself")
    octet = int(match[1], 16)
    if octet in _HIDDEN:
        raise ValueError(f"{shown(text)}: a request whose path has %{match[1]} is refused")
    return chr(octet) if octet in _UNRESERVED else f"%{match[1].upper()}"
