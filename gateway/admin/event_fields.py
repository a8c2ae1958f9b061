"""Attributes of a CloudEvent from HTTP fields, as the binary mode spells them.

CloudEvents HTTP binding 3.1.3.2: a value is unescaped as a quoted string (RFC 9110 5.6.4) where it is one, then
percent-decoded, once; what comes out is UTF-8. So an event has one id in all modes, however its sender spelt it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from config.errors import Fault
from gateway.control.errors import Refusal

_PREFIX: Final = "ce-"
# quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE, of ASCII: obs-text would be a second spelling.
_QUOTED: Final = re.compile(r'"((?:[\t !#-\[\]-~]|\\[\t -~])*)"')
_ESCAPED: Final = re.compile(r"\\(.)")
# Any run of text and of escapes that are whole (RFC 3986 2.1).
_ENCODED: Final = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*", re.DOTALL)
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")


def attributes_of(fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """By name, in lower case. Raises Refusal `invalid` with every attribute that is spelt wrong, or comes twice."""
    attributes: dict[str, Any] = {}
    faults: list[Fault] = []
    for field, value in fields:
        if not field.lower().startswith(_PREFIX):
            continue
        name = field[len(_PREFIX) :].lower()
        if name in attributes:
            faults.append(Fault(name, "is there twice"))
            continue
        try:
            attributes[name] = decoded(value)
        except ValueError as error:
            attributes[name] = None
            faults.append(Fault(name, str(error)))
    if faults:
        raise Refusal("invalid", "the event's fields are not valid", faults)
    return attributes


def decoded(value: str) -> str:
    """What a field's value says. Raises ValueError where it says nothing."""
    if not value.isascii():
        raise ValueError("has to have its characters outside of ASCII percent-encoded")
    if value.startswith('"'):
        quoted = _QUOTED.fullmatch(value)
        if quoted is None:
            raise ValueError("has a quote that does not end, or ends too early")
        value = _ESCAPED.sub(r"\1", quoted[1])
    if _ENCODED.fullmatch(value) is None:
        raise ValueError("has a % without two hex digits: a percent sign itself is %25")
    try:
        return _ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), value.encode()).decode()
    except UnicodeDecodeError:
        raise ValueError("is percent-encoded, and not of UTF-8") from None
