"""The request path without a kernel, timed in this process: `python -m loadtest.bench.path_probe`, JSON on stdout.

Real connections between fake transports: a request's bytes go in, what it writes upstream is taken as sent, the
answer's bytes go in, what it writes to the client is counted. So it is the Python of a request, and nothing else.
Run by `path.py`, once for each build.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import uvloop

from gateway.limits.admission import LimitSet
from gateway.limits.limit import Limit
from gateway.limits.quota import QuotaHandles
from gateway.limits.table import LimitTable
from gateway.proxy.client import ClientConnection
from gateway.proxy.core import ClientBounds, Core
from gateway.proxy.matching import Matcher
from gateway.proxy.router_builder import RouterBuilder
from gateway.proxy.target_book import TargetBook
from gateway.proxy.upstream import UpstreamConnection
from gateway.snapshot_file import Piece, SnapshotFile, encode
from loadtest.bench.heads import DISTINCT, KEY, heads
from metering.cells import CALLS
from metering.clock import VirtualClock
from metering.meter import Meter

REPEATS: Final = 12
QPS: Final = 5_000_000  # Never reached here; its lease is the same 64 tokens as that of 50,000.
ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\nServer: origin/1.0\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 35\r\nConnection: keep-alive\r\n\r\nan answer of some thirty-five bytes"
)
# Each adds to the one before; the first has no limit at any level, which no instance that is sold has.
STEPS: Final = ("open", "instance", "service", "routes", "key", "addresses", "shadow")


class _Transport:
    """Takes everything at once."""

    def __init__(self) -> None:
        self.written = 0
        self.last = b""

    def write(self, data: bytes) -> None:
        self.written += 1
        self.last = data

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 50_000) if name == "peername" else default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


def snapshot(step: str) -> dict[str, Any]:
    """A pool's snapshot with the features up to ``step``."""
    features = set(STEPS[: STEPS.index(step) + 1])
    digest = hashlib.sha256(KEY.encode()).hexdigest()

    def limit(name: str, slot: int) -> dict[str, int] | None:
        return {"slot": slot, "qps": QPS - slot} if name in features else None

    def route(id: str, methods: list[str]) -> dict[str, Any]:
        return {"id": id, "methods": methods, "path": "/*", "limit": limit("routes", 2)}

    return {
        "instances": {
            "i": {
                "account": "a",
                "type": "dedicated",
                "region": "r",
                "serving": True,
                "body_max": 1 << 24,
                "egress_ip": None,
                "log_share": 0.0,
                "limit": limit("instance", 0),
            }
        },
        "services": [
            {
                "id": "s",
                "instance": "i",
                "hosts": [],
                "path": "/s",
                "strip_path": True,
                "path_case": "exact",
                "trailing_slash": "exact",
                "path_escapes": "decode",
                "merge_slashes": True,
                "location": "keep",
                "protocol": "http",
                "limit_mode": "shadow" if "shadow" in features else "enforce",
                "wait_ms_max": 0,
                "limit": limit("service", 1),
                "auth": {"header": "Authorization", "strip": False, "keys": [{"id": "k1", "sha256": digest}]}
                if "key" in features
                else None,
                "allow": ["127.0.0.0/8", "10.0.0.0/8"] if "addresses" in features else [],
                "deny": ["10.9.0.0/16"] if "addresses" in features else [],
                "cors": None,
                "upstream": {
                    "network": "vpc",
                    "balance": "round_robin",
                    "preserve_host": True,
                    "on_5xx": False,
                    "retries": 1,
                    "pool_idle": 60.0,
                    "eject": 10.0,
                    "connections_max": 4096,
                    "tls": {"verify": True, "ca": None, "server_name": None, "certificate": None, "key": None},
                    "timeouts": {"connect": 5.0, "response": 30.0, "idle": 60.0},
                    "targets": [{"url": "http://127.0.0.1:9", "weight": 1, "network": "vpc"}],
                },
                "routes": [route("get", ["GET"]), route("put", ["PUT"])] if "routes" in features else [],
            }
        ],
    }


class _Path:
    """One client connection and one upstream connection, ready for requests."""

    def __init__(self, folder: Path, step: str, loop: asyncio.AbstractEventLoop) -> None:
        limits, clock = folder / f"limits-{step}", VirtualClock()
        table = LimitTable.create(limits)
        meter = Meter(folder / f"counters-{step}", f"bench:{step}:0", clock)
        self.core = Core(loop, meter, ClientBounds(), ())
        file, document = folder / f"{step}.snapshot", snapshot(step)
        file.write_bytes(encode(1, 100, document["instances"], map(Piece.of, document["services"])))
        book, quotas = TargetBook(lambda *_: None), QuotaHandles(limits, clock)
        steps = RouterBuilder(table, 1, meter.row, book, quotas).build(SnapshotFile(file))
        while True:
            try:
                next(steps)
            except StopIteration as end:
                router = end.value
                break
        self.core.matcher = Matcher(router)
        service = router.find(b"127.0.0.1", b"/s")
        assert service is not None
        target, self.row = service.targets.targets[0], service.row
        self.client, self.to_client = ClientConnection(self.core, "internet", "http"), _Transport()
        self.client.connection_made(cast(asyncio.Transport, self.to_client))
        self.upstream, self.to_upstream = UpstreamConnection(self.core, target, target.addresses[0]), _Transport()
        self.upstream.connection_made(cast(asyncio.Transport, self.to_upstream))
        self.upstream.is_reused = True
        target.pool.idle[self.upstream] = None

    def exchanges(self, heads: list[bytes]) -> float:
        """Microseconds for each exchange."""
        asked, answered = self.client.data_received, self.upstream.data_received
        begun = time.perf_counter_ns()
        for head in heads:
            asked(head)
            answered(ANSWER)
        self.core.outbox.flush()
        taken_ns = time.perf_counter_ns() - begun
        self.core.now_s = time.monotonic()  # what the sweep does for what is measured here
        return taken_ns / len(heads) / 1000

    def calls(self) -> int:
        """Counted so far."""
        return int(self.core.meter.cells[self.row + CALLS])


def measure_steps(folder: Path, repeats: int) -> tuple[dict[str, float], int, int]:
    """By step, the median microseconds of an exchange; the steps take turns. Exchanges, and calls counted."""
    loop = uvloop.new_event_loop()
    asked = heads("/s/hello", "127.0.0.1:8443")
    paths = {step: _Path(folder, step, loop) for step in STEPS}
    samples: dict[str, list[float]] = {step: [] for step in STEPS}
    gc.freeze()
    for turn in range(repeats + 1):
        for step, path in paths.items():
            taken = path.exchanges(asked)
            if turn:
                samples[step].append(taken)
    for step, path in paths.items():
        sent = len(asked) * (repeats + 1)
        if (path.to_client.written, path.to_upstream.written) != (sent, sent) or not path.to_client.last.startswith(
            b"HTTP/1.1 200 "
        ):
            raise RuntimeError(f"{step}: {sent} requests, {path.to_client.written} answers: {path.to_client.last!r}")
    calls = sum(path.calls() for path in paths.values())
    medians = {step: statistics.median(taken) for step, taken in samples.items()}
    return medians, len(asked) * (repeats + 1) * len(STEPS), calls


def measure_admission(folder: Path, repeats: int) -> dict[str, float]:
    """Microseconds of one admission by levels of 50,000 a second, at just that pace, so that none is refused."""
    table = LimitTable.create(folder / "admission")
    taken = {}
    for levels in (1, 3):
        limits = tuple(
            Limit(table, 10 * levels + at, 50_000 - at, level, level, burst_ms=100, workers=1)
            for at, level in enumerate(("instance", "service", "route")[:levels])
        )
        admit = LimitSet(limits).admit
        samples = [_admissions(admit, time.monotonic_ns() + turn * 10**9) for turn in range(repeats)]
        taken[f"{levels} level{'s' if levels > 1 else ''}"] = statistics.median(samples)
    return taken


def _admissions(admit: Callable[[int], object], now_ns: int) -> float:
    interval_ns = 20_010
    nows = range(now_ns, now_ns + DISTINCT * interval_ns, interval_ns)
    begun = time.perf_counter_ns()
    for now in nows:
        if admit(now) is not None:
            raise RuntimeError("refused at the limit's own pace")
    return (time.perf_counter_ns() - begun) / DISTINCT / 1000


def main() -> int:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else REPEATS
    with tempfile.TemporaryDirectory(prefix="tollgate-path-") as folder:
        steps, exchanges, calls = measure_steps(Path(folder), repeats)
        admission = measure_admission(Path(folder), repeats)
    suffix = Path(cast(str, sys.modules["gateway.proxy.client"].__file__)).suffix
    counts = {"exchanges": exchanges, "calls": calls}
    json.dump({"is_compiled": suffix != ".py", **counts, "steps": steps, "admission": admission}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
