"""A segment of a route's path that is in part literal: `{sid}.json`, `{name}:cancel`, `{base}...{head}`."""

from __future__ import annotations

import re
from typing import Final

_PARAMETER: Final = re.compile(rb"\{[^{}]*\}")


class SegmentPattern:
    """Literal pieces with a parameter between each two of them. A parameter is one character or more."""

    __slots__ = ("_bytes_min", "_middles", "_prefix", "_suffix", "order", "pieces")

    def __init__(self, segment: bytes) -> None:
        pieces = _PARAMETER.split(segment)
        self.pieces: tuple[bytes, ...] = tuple(pieces)  # what two patterns have in common that fit the same
        self._prefix: bytes = pieces[0]
        self._middles: tuple[bytes, ...] = tuple(pieces[1:-1])
        self._suffix: bytes = pieces[-1]
        literal_bytes = sum(len(piece) for piece in pieces)
        self._bytes_min = literal_bytes + len(pieces) - 1
        # Of two that fit, the one with more literal bytes is first, then the one that begins with more of them.
        self.order: tuple[int, int, tuple[bytes, ...]] = (-literal_bytes, -len(pieces[0]), self.pieces)

    def fits(self, segment: bytes) -> bool:
        """In one pass: a piece that is taken where it first occurs leaves the most to those behind it."""
        if len(segment) < self._bytes_min or not segment.startswith(self._prefix) or not segment.endswith(self._suffix):
            return False
        at = len(self._prefix)
        end = len(segment) - len(self._suffix)
        for middle in self._middles:
            found = segment.find(middle, at + 1, end)
            if found < 0:
                return False
            at = found + len(middle)
        return at < end
