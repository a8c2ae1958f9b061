"""Where an upstream's answer stands."""

from __future__ import annotations

from enum import IntEnum


class Phase(IntEnum):
    """What the upstream's next bytes are."""

    HEAD = 0  # none of it, or a part of its head, has come
    LENGTH = 1  # content of known length is coming
    CHUNKED = 2
    UNTIL_CLOSE = 3
    TUNNEL = 4  # after 101: bytes of another protocol, both ways


# As globals: an enum's member costs a descriptor at each use.
PHASE_HEAD, PHASE_LENGTH, PHASE_CHUNKED, PHASE_UNTIL_CLOSE, PHASE_TUNNEL = Phase
