"""Processes that a measurement starts, each on a CPU of its choice, and always ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

START_S_MAX: Final = 30.0
STOP_S_MAX: Final = 10.0
_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StartFailed(Exception):
    """A process that ended or did not listen in time. The message ends with what it printed."""


class Processes:
    """``with Processes(folder) as processes``: what was started is gone afterwards."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []
        self._afterwards: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop(*self._running)
        for act in self._afterwards:
            act()

    def afterwards(self, act: Callable[[], None]) -> None:
        """Done when every process has ended."""
        self._afterwards.append(act)

    def start(
        self, name: str, argv: Sequence[str], *, cpu: int | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Runs ``argv``; what it prints goes to ``name``.log in the folder."""
        pinned = ["taskset", "-c", str(cpu)] if cpu is not None else []
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*pinned, *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                start_new_session=True,  # Ctrl-C comes to us, and we end them in order.
            )
        self._running.append(process)
        return process

    def wait_until(
        self,
        name: str,
        process: subprocess.Popen[bytes],
        is_ready: Callable[[], bool],
        *,
        seconds: float = START_S_MAX,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Raises StartFailed."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                fate = "ended" if process.poll() is not None else f"was not ready within {seconds:.0f} s"
                raise StartFailed(f"{name} {fate}: {self.log(name)[-1500:].strip()}")
            tick()
            time.sleep(0.05)

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def stop(self, *processes: subprocess.Popen[bytes]) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process in self._running:
                self._running.remove(process)


def stop_in_order() -> None:
    """SIGTERM, and a terminal that is closed, end us as Ctrl-C does, also where a shell had them ignored: what was
    started is ended. Once: a second one would end what ends the others."""

    def stop(*_: object) -> None:
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in _ENDING:
        signal.signal(number, stop)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on; all are held until the last is found, so that no two are the same."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
