"""What came before: a store that only keeps what comes again has room for it, and costs nothing for all else."""

from __future__ import annotations

from typing import Final

# A place for each of so many texts, by their hashes; one that falls on another's place takes it.
PLACES: Final = 4096


class Repeats:
    """Remembers the hashes of texts it was asked about: 160 KiB at the most, whatever comes."""

    __slots__ = ("_hashes",)

    def __init__(self) -> None:
        self._hashes = [0] * PLACES

    def saw(self, text: bytes) -> bool:
        """Whether it came before, and few others since. A wrong yes takes two equal hashes, and does no harm."""
        mark = hash(text)
        place = mark & (PLACES - 1)
        if self._hashes[place] == mark:
            return True
        self._hashes[place] = mark
        return False
