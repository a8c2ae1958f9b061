"""Locust, headless, for one run: a Locust for each instance, with as many processes as its rate needs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from loadtest.compare.node import Node
from loadtest.compare.plan import Offer, Run
from loadtest.compare.recording import Recorder, read
from loadtest.processes import Processes, free_ports

LOCUSTFILE: Final = Path(__file__).resolve().parent.parent / "locustfile.py"
_BOOT_S: Final = 4.0  # Locust's start; users wait for the start of the run.
_FINISH_S: Final = 30  # How long requests in flight may take when a run is over; none is cut short.
_END_S_MAX: Final = 60.0


def drive(
    processes: Processes, folder: Path, node: Node, run: Run, progress: Callable[[float], None]
) -> tuple[int, dict[str, Recorder]]:
    """The epoch's second at which it began, and what was seen by instance. Raises StartFailed."""
    start_at = int(time.time() + _BOOT_S) + 1
    started = []
    for offer in run.offers:
        name = f"{run.name}-{offer.instance}"
        (folder / name).mkdir()
        argv = arguments(run, offer, node, start_at, folder / name, free_ports(1)[0])
        started.append((name, processes.start(name, argv)))

    def is_over() -> bool:
        progress(min(run.seconds, max(0.0, time.time() - start_at)))
        return all(process.poll() is not None for _, process in started)

    deadline = start_at + run.seconds + _END_S_MAX
    while not is_over():
        if time.time() > deadline:
            raise LoadFailed(f"{run.name} did not end in time")
        time.sleep(0.1)
    seen = {}
    for offer, (name, process) in zip(run.offers, started, strict=True):
        records = list((folder / name).glob("*.json"))
        if process.returncode != 0 or not records:
            raise LoadFailed(f"{name}: Locust ended with {process.returncode}: {processes.log(name)[-1500:]}")
        seen[offer.instance] = read(records)
    return start_at, seen


class LoadFailed(Exception):
    """Locust ended badly, or not at all. The message ends with what it printed."""


def arguments(run: Run, offer: Offer, node: Node, start_at: int, record: Path, port: int) -> list[str]:
    user = f"{offer.instance.title()}User"
    many = ["--processes", str(offer.processes), "--master-bind-port", str(port), "--master-port", str(port)]
    values = {
        "--mix": run.mix,
        "--rate": offer.user_rate,
        "--shape": offer.shape,
        "--peak": offer.users,
        "--shape-seconds": run.seconds,
        "--start-at": start_at,
        "--record": record,
        f"--{offer.instance}-url": node.url(offer.instance),
        "--stop-timeout": _FINISH_S,
        "--exit-code-on-error": 0,
        "--loglevel": "WARNING",
    }
    return [
        *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"),
        *(many if offer.processes > 1 else []),
        *(str(word) for pair in values.items() for word in pair),
        user,
    ]
