"""The process of an attack: ``python -m loadtest.abuse.attacker NAME --entry P --admin P --upstream P``.

Says `ready`, begins at a line on its standard input, and ends at the end of it, or after ``--seconds`` at the latest;
then prints what it has seen. It has a lower priority than those who measure, and the last CPU, where there are more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import threading
from typing import Final

import uvloop

from loadtest.abuse.attack import Attack, Ground
from loadtest.abuse.attacks import ATTACKS

NICENESS: Final = 10
PAUSE_S: Final = 0.01  # before a connection that could not be made, or was cut, is tried again


def stand_back() -> None:
    """Below those who measure, and not on the worker's CPU."""
    os.nice(NICENESS)
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) > 1:
        os.sched_setaffinity(0, {cpus[-1]})


async def attack(ground: Ground, kind: Attack, seconds: float, ends: threading.Event) -> None:
    loop = asyncio.get_running_loop()
    tasks = [
        loop.create_task(_again(ground, kind, number), name=f"{kind.name} {number}")
        for number in range(kind.connections)
    ]
    try:
        await loop.run_in_executor(None, ends.wait, seconds)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _again(ground: Ground, kind: Attack, number: int) -> None:
    while True:
        try:
            await kind.each(ground, number)
        except (OSError, EOFError):
            ground.seen.cut += 1
            await asyncio.sleep(PAUSE_S)


def _wait_for_end(ends: threading.Event) -> None:
    sys.stdin.read()
    ends.set()


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("name", choices=sorted(ATTACKS))
    for port in ("--entry", "--admin", "--upstream"):
        ask.add_argument(port, type=int, required=True)
    ask.add_argument("--seconds", type=float, default=60.0)
    given = ask.parse_args()
    stand_back()
    kind = ATTACKS[given.name]
    ground = Ground(given.entry, given.admin, given.upstream, kind.setup.is_tls)
    print("ready", flush=True)
    sys.stdin.readline()
    ends = threading.Event()
    threading.Thread(target=_wait_for_end, args=(ends,), daemon=True).start()
    uvloop.run(attack(ground, kind, given.seconds, ends))
    print(json.dumps(ground.seen.document()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
