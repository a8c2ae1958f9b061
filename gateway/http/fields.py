"""Field sections as bytes: whole lines, each ``name:value`` with CRLF (RFC 9112 5)."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

from gateway.http.errors import ProtocolError
from gateway.http.forwarding_names import usual_spelling

# Of a list that a hop acts on. Nobody sends more than a few, and to look at 30 KB of commas took 2 ms.
LIST_MEMBERS_MAX: Final = 64


def without_fields(fields: bytes, names: AbstractSet[bytes]) -> bytes:
    """The section without the lines of these names, which are in lower case.

    One pass whatever the number of names: `Connection` may list thousands, and a pass for each took a worker
    seconds for a single head.
    """
    return b"\n".join([line for line in fields.split(b"\n") if line.partition(b":")[0].lower() not in names])


def members(value: bytes, code: str = "head_too_large") -> list[bytes]:
    """The members of a list (RFC 9110 5.6.1), empty ones too, without the white space around them.

    Raises ProtocolError (``code``) for more than LIST_MEMBERS_MAX.
    """
    if value.count(b",") >= LIST_MEMBERS_MAX:
        raise ProtocolError(code, f"a list in a field has more than {LIST_MEMBERS_MAX} members")
    return [member.strip(b" \t") for member in value.split(b",")]


def without_lookalikes(fields: bytes, name: bytes) -> bytes:
    """The section without the fields that some upstreams would take for the one of that name, in lower case."""
    usual = usual_spelling(name)
    kept = []
    for line in fields.split(b"\n"):
        named = line.partition(b":")[0].lower()
        if named == name or usual_spelling(named) != usual:
            kept.append(line)
    return b"\n".join(kept)
