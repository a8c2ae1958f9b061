"""One worker and one origin for all clients here, and a wire for each test that counts its client's bytes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.clients.counting import CountingWire
from tests.gateway.clients.origin import Origin
from tests.gateway.data_plane import WorkerProcess, instance, service, worker
from tests.node import until

BODY_MAX = 1 << 30


class Gateway:
    """A worker as one test's client sees it: over a wire of its own."""

    def __init__(self, running: WorkerProcess, wire: CountingWire) -> None:
        self._running = running
        self._wire = wire
        self.url = f"http://127.0.0.1:{wire.port}"
        self.direct_url = f"http://127.0.0.1:{running.port}"
        self._before = self._sums()

    @property
    def connections(self) -> int:
        return self._wire.connections

    def counted(self, meter: str) -> int:
        """What this test's client added to a meter, over all services."""
        return self._sums().get(meter, 0) - self._before.get(meter, 0)

    def adds_up(self, *, is_chunked: bool = False) -> None:
        """Metered is what the client read, to the byte; and what it sent, less the framing of chunks."""
        wire = self._wire
        until(lambda: self._egress() == wire.to_client, "bytes to the client = egress", 10)
        assert wire.to_client > 0
        sent = self.counted("ingress")
        assert sent < wire.to_gateway if is_chunked else sent == wire.to_gateway

    def _egress(self) -> int:
        return sum(self.counted(f"egress:{side}:internet:application") for side in ("client", "refused"))

    def _sums(self) -> dict[str, int]:
        sums: dict[str, int] = {}
        for meters in self._running.counts().values():
            for meter, value in meters.items():
                sums[meter] = sums.get(meter, 0) + value
        return sums


@pytest.fixture(scope="package")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    running = Origin(tmp_path_factory.mktemp("git"))
    yield running
    running.stop()


@pytest.fixture(scope="package")
def shared_worker(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    with worker(
        tmp_path_factory.mktemp("clients"),
        service("a", origin.port),
        service("live", origin.port, protocol="websocket"),
        service("gone", 1, upstream={"retries": 0}),
        one=instance(body_max=BODY_MAX),
        head_timeout=20.0,
        body_timeout=20.0,
        idle_timeout=60.0,
    ) as running:
        yield running


@pytest.fixture
def gateway(shared_worker: WorkerProcess) -> Iterator[Gateway]:
    wire = CountingWire(shared_worker.port)
    yield Gateway(shared_worker, wire)
    wire.stop()
