"""Workers that an earlier control process left behind: they went on serving, and drain once ours serve."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable

from gateway.control.run_files import Predecessor, RunFiles, is_writer, send

_log = logging.getLogger(__name__)

_POLL_INTERVAL_S = 0.1
_DRAIN_GRACE_S = 2.0


class Predecessors:
    """``writer_gone`` is called once for each, also for those that were gone already."""

    def __init__(self, run_files: RunFiles, writer_gone: Callable[[str], None]) -> None:
        self._writer_gone = writer_gone
        self._alive: list[Predecessor] = []
        for predecessor in run_files.predecessors():
            if predecessor.pid is None:
                writer_gone(predecessor.writer)
            else:
                self._alive.append(predecessor)

    def __len__(self) -> int:
        return len(self._alive)

    async def drain(self, drain_s: float) -> None:
        """Ask them to drain, wait for their end; kill what outlasts the time."""
        if self._alive:
            _log.info("%d workers of an earlier control process drain", len(self._alive))
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + drain_s + _DRAIN_GRACE_S
        while self._alive:
            await asyncio.sleep(_POLL_INTERVAL_S)
            self._forget_gone()
            if self._alive and time.monotonic() > deadline:
                _log.error("%d of them outlasted their drain and are killed", len(self._alive))
                self._signal(signal.SIGKILL)
                deadline += _DRAIN_GRACE_S

    def _signal(self, number: signal.Signals) -> None:
        for pid, writer in [(one.pid, one.writer) for one in self._alive]:
            if pid is not None:
                send(pid, writer, number)

    def _forget_gone(self) -> None:
        for one in list(self._alive):
            if one.pid is None or not is_writer(one.pid, one.writer):
                self._alive.remove(one)
                self._writer_gone(one.writer)
