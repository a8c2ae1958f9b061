"""The content of a request, for as long as it may have to be sent again."""

from __future__ import annotations

from typing import Final

# Twice is as once, so they may be sent again (RFC 9110 9.2.2).
IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
# Of each exchange: most contents that are commands are smaller, and most files larger.
KEPT_BYTES_MAX: Final = 64 * 1024


class KeptContent:
    """As it goes upstream, in its framing. ``pieces`` None: there is more than is kept."""

    __slots__ = ("_bytes", "pieces")

    def __init__(self) -> None:
        self.pieces: list[bytes] | None = []
        self._bytes = 0

    def add(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > KEPT_BYTES_MAX:
            self.pieces = None
        elif self.pieces is not None:
            self.pieces.append(data)
