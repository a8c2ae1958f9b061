"""What came before: a store that only keeps what comes again has room for it, and costs nothing for all else."""

from __future__ import annotations

from typing import Final

PLACES: Final = 4096


class Repeats:
    """Remembers the hashes of texts it was asked about: 40 bytes for each of ``places`` at the most, whatever comes.

    A text that falls on another's place takes it. ``places``: a power of two.
    """

    __slots__ = ("_hashes", "_mask")

    def __init__(self, places: int = PLACES) -> None:
        self._hashes = [0] * places
        self._mask = places - 1

    def saw(self, text: bytes) -> bool:
        """Whether it came before, and few others since. A wrong yes takes two equal hashes, and does no harm."""
        mark = hash(text)
        place = mark & self._mask
        if self._hashes[place] == mark:
            return True
        self._hashes[place] = mark
        return False
