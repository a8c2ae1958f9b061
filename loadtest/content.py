"""Large content that differs in every piece, so that one lost, doubled or out of place changes its checksum."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

PIECE_BYTES: Final = 1 << 20
_FILLING: Final = random.Random(1).randbytes(PIECE_BYTES - 8)


def pieces(size: int) -> Iterator[bytes]:
    """``size`` bytes, a MiB at a time."""
    for number in range(0, size, PIECE_BYTES):
        piece = number.to_bytes(8, "big") + _FILLING
        yield piece if size - number >= PIECE_BYTES else piece[: size - number]
