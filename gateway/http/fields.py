"""Field sections as bytes: whole lines, each ``name:value`` with CRLF (RFC 9112 5)."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from gateway.http.forwarding_names import usual_spelling


def without_fields(fields: bytes, names: AbstractSet[bytes]) -> bytes:
    """The section without the lines of these names, which are in lower case.

    One pass whatever the number of names: `Connection` may list thousands, and a pass for each took a worker
    seconds for a single head.
    """
    return b"\n".join([line for line in fields.split(b"\n") if line.partition(b":")[0].lower() not in names])


def without_lookalikes(fields: bytes, name: bytes) -> bytes:
    """The section without the fields that some upstreams would take for the one of that name, in lower case."""
    usual = usual_spelling(name)
    kept = []
    for line in fields.split(b"\n"):
        named = line.partition(b":")[0].lower()
        if named == name or usual_spelling(named) != usual:
            kept.append(line)
    return b"\n".join(kept)
