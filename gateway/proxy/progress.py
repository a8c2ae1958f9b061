"""Whether the other side takes what it is sent: a slow reader is served, one that stopped reading is not waited for."""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios


def unsent_bytes(transport: asyncio.WriteTransport) -> int:
    """What the other side has not acknowledged yet, in our buffer and in the kernel's (SIOCOUTQ, tcp(7)).

    While nothing is added it only falls, and a fall is progress: a buffer's high and low marks alone do not show a
    reader of 1 KiB/s, which takes minutes from one to the other.
    """
    size = transport.get_write_buffer_size()
    socket = transport.get_extra_info("socket")
    if socket is None or socket.fileno() < 0:
        return size
    try:
        (queued,) = struct.unpack("i", fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))
    except OSError:
        return size
    return size + int(queued)
