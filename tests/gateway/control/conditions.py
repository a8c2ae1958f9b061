"""Waiting for a claim to come true, with a deadline, in place of sleeps."""

import asyncio
import socket
import time
from collections.abc import Callable

DEADLINE_S = 10.0
_STEP_S = 0.01


async def becomes(claim: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    """Return when the claim holds; fail when it does not within the deadline."""
    end = time.monotonic() + deadline_s
    while not claim():
        assert time.monotonic() < end, "the claim did not come true in time"
        await asyncio.sleep(_STEP_S)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def ask(port: int) -> tuple[int, int]:
    """(pid, snapshot version) of the fake worker that answers on this port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        pid, version = (await asyncio.wait_for(reader.read(), DEADLINE_S)).split()
    finally:
        writer.close()
    return int(pid), int(version)
