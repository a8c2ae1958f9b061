"""Whether a TLS ClientHello is whole (RFC 8446 4.1.2, 5.1). Bytes in, a number out; no IO.

To answer one is the dear part of a handshake. Begun at its first byte, handshakes by the hundred would wait for the
last one, and all of those may come together.
"""

from __future__ import annotations

from typing import Final

# With names, tickets and keys of every kind two kilobytes; in one record.
HELLO_BYTES_MAX: Final = 16 * 1024
RECORDS_MAX: Final = 8
NO_HELLO: Final = -1
_HANDSHAKE: Final = b"\x16"
_RECORD_HEAD_BYTES: Final = 5  # type, version, length
_MESSAGE_HEAD_BYTES: Final = 4  # type, length in three


def bytes_awaited(data: bytes) -> int:
    """How many bytes there must be for another look: 0 where the hello is whole, NO_HELLO where none will be.

    What is no TLS at all counts as whole: to find out so costs nothing, and whoever reads TLS says it best.
    """
    message = b""
    at = 0
    for _ in range(RECORDS_MAX):
        if data[at : at + 1] not in (b"", _HANDSHAKE):
            return 0
        begins = at + _RECORD_HEAD_BYTES
        if len(data) < begins:
            return begins
        end = begins + int.from_bytes(data[begins - 2 : begins])
        if end > HELLO_BYTES_MAX:
            return NO_HELLO
        if len(data) < end:
            return end
        message += data[begins:end]
        length = int.from_bytes(message[1:_MESSAGE_HEAD_BYTES])
        if len(message) >= _MESSAGE_HEAD_BYTES + length:
            return 0
        at = end
    return NO_HELLO
