"""The request path in the test's own loop, so that a test can look at each turn of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.entry.entry import Entry
from gateway.limits.table import LimitTable
from gateway.proxy.core import ClientBounds, Core
from gateway.proxy.resolver import Resolver
from gateway.proxy.router_builder import RouterBuilder
from gateway.proxy.target_book import TargetBook
from gateway.snapshot_file import Piece, SnapshotFile, encode
from metering.clock import VirtualClock
from metering.meter import Meter
from tests.gateway.data_plane import instance, no_quotas


class Gateway:
    """One entry over one core. ``port`` is where it listens."""

    def __init__(self, core: Core, entry: Entry, port: int, rows: dict[str, int], book: TargetBook) -> None:
        self.core = core
        self.book = book
        self.entry = entry
        self.port = port
        self.rows = rows

    def count(self, service: str, cell: int) -> int:
        """What a service has counted; `-`: what came before routing."""
        row = self.core.anonymous_row if service == "-" else self.rows[service]
        return int(self.core.meter.cells[row + cell])


@asynccontextmanager
async def gateway(
    folder: Path,
    *services: dict[str, Any],
    bounds: ClientBounds | None = None,
    tls: dict[str, Any] | None = None,
    resolver: Resolver | None = None,
) -> AsyncIterator[Gateway]:
    core = Core(asyncio.get_running_loop(), Meter(folder, "node:w", VirtualClock()), bounds or ClientBounds(), ())
    snapshot = folder / "1.json"
    snapshot.write_bytes(encode(1, 100, {"one": instance(body_max=1 << 26)}, map(Piece.of, services)))
    book = TargetBook(lambda *_: None, resolver)
    builder = RouterBuilder(LimitTable.create(folder / "limits"), 1, core.meter.row, book, no_quotas())
    steps = builder.build(SnapshotFile(snapshot))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            core.route_by(end.value)
            break
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    port = listener.getsockname()[1]
    entry = Entry(core, {"fd": listener.detach(), "network": "internet", "tls": tls})
    await entry.open()
    rows = {service["id"]: core.meter.row("acme", "one", "ap-guangzhou", service["id"]) for service in services}
    sweeping = asyncio.get_running_loop().create_task(sweep(core), name="sweep")
    try:
        yield Gateway(core, entry, port, rows, book)
    finally:
        sweeping.cancel()
        entry.close()
        for one in list(core.clients):
            one.transport.abort()
        for other in list(core.upstreams):
            other.abort()
        await turns_until(lambda: not core.clients and not core.upstreams and entry.is_at_rest)
        core.meter.close()


async def sweep(core: Core) -> None:
    while True:
        await core.sweep()
        await asyncio.sleep(0.05)


async def turns_until(is_so: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0)


class Turns:
    """Looks at a figure in each turn of the loop: ``most`` is what one turn added to it."""

    def __init__(self, figure: Callable[[], int]) -> None:
        self._figure = figure
        self._before = figure()
        self._is_over = False
        self.most = 0
        self.number = 0

    def __enter__(self) -> Turns:
        self._turn()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True

    def _turn(self) -> None:
        now = self._figure()
        self.most = max(self.most, now - self._before)
        self._before = now
        self.number += 1
        if not self._is_over:
            asyncio.get_running_loop().call_soon(self._turn)
