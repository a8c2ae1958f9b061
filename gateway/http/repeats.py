"""What came before: a store that only keeps what comes again has room for it, and costs nothing for all else."""

from __future__ import annotations

from typing import Final

PLACES: Final = 4096


class Repeats:
    """Remembers the hashes of texts it was asked about: 40 bytes for each of ``places`` at the most, whatever comes.

    Of the few texts that share a place and come in turn each is seen: who has it keeps it against three others.
    ``places``: a power of two.
    """

    __slots__ = ("_marks", "_mask")

    def __init__(self, places: int = PLACES) -> None:
        self._marks = [0] * places  # a hash, its last two bits being how many others it stands against; 0: nobody's
        self._mask = places - 1

    def saw(self, text: bytes) -> bool:
        """Whether it came before, and few others since; then it is forgotten, as its keeper knows it from now on.

        A wrong yes takes two equal hashes, and does no harm.
        """
        number = hash(text)
        place = number & self._mask
        mark = number | 3
        there = self._marks[place]
        if there | 3 == mark and there:
            self._marks[place] = 0
            return True
        self._marks[place] = there - 1 if there & 3 else mark
        return False
