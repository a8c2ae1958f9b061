"""A flood on one entry: ``python -m loadtest.flood --port P --path /x --seconds S``. In a process of its own.

As many requests as come back over keep-alive connections, far past the limit, and connections that send half a head.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import uvloop

from loadtest.client import drive, get

CONNECTIONS = 64
HALF_HEADS = 200
_HALF_HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "


async def _half_head(port: int) -> None:
    """Again whenever it is thrown out, for ever."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(_HALF_HEAD)
            await reader.read()
            writer.close()
        except OSError:
            pass
        await asyncio.sleep(0.1)


async def flood(port: int, path: str, seconds: float) -> str:
    async with asyncio.TaskGroup() as tasks:
        slow = [tasks.create_task(_half_head(port), name="half a head") for _ in range(HALF_HEADS)]
        tally = await drive(port, get(path), seconds=seconds, connections=CONNECTIONS)
        for task in slow:
            task.cancel()
    return f"{tally.sent} {tally.completed[200]} {tally.completed[429]} {tally.broken}"


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--port", type=int, required=True)
    ask.add_argument("--path", required=True)
    ask.add_argument("--seconds", type=float, default=10.0)
    given = ask.parse_args()
    print(uvloop.run(flood(given.port, given.path, given.seconds)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
