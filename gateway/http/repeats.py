"""What came before: a store that only keeps what comes again has room for it, and costs nothing for all else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mypy_extensions import i64  # a machine's integer where this is compiled, an `int` where it runs as it stands

PLACES: Final = 4096
_MARK_SHIFT: Final = 24  # The bits of a hash that tell texts of one place apart begin above those that say the place.


class Repeats:
    """Remembers texts it was asked about by 14 bits of their hashes: 2 bytes for each of ``places``, whatever comes.

    So little stays in the CPU's cache, and a text that never comes again is asked about with each message that has it.
    Of the few texts that share a place and come in turn each is seen: who has it keeps it against three others
    (one text in 64 against two).
    ``places``: a power of two, 2**24 at the most.
    """

    __slots__ = ("_marks", "_mask")
    _mask: i64

    def __init__(self, places: int = PLACES) -> None:
        # Of a place two bytes: six bits of its hash and, below them, how many others it stands against yet, nobody's
        # being 0; then eight bits more.
        self._marks = bytearray(2 * places)
        self._mask = places - 1

    def saw(self, text: bytes) -> bool:
        """Whether it came before, and few others since; then it is forgotten, as its keeper knows it from now on.

        One text in 16,384 that shares a place gets a wrong yes, which does no harm.
        """
        number: i64 = hash(text)
        at = (number & self._mask) * 2
        low = (number >> _MARK_SHIFT) & 0xFC | 3
        high = (number >> (_MARK_SHIFT + 8)) & 0xFF
        marks = self._marks
        there: i64 = marks[at]
        if there != 0 and there | 3 == low and marks[at + 1] == high:
            marks[at] = 0
            return True
        if there & 3 != 0:
            marks[at] = there - 1
        else:
            marks[at] = low
            marks[at + 1] = high
        return False
