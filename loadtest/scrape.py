"""What a scrape takes: ``python -m loadtest.scrape``, a node of 2,000 services that were all called, over HTTP.

Each service is called over two networks, refuses once and fails once, so that it has every series it can have. Then:
the time of a scrape, how long the control process answers nobody else meanwhile, its CPU time; and a scrape while
every worker is stopped, for it has to need none of them. Exit code 1 when a series is missing or a sum is not what
the client counted, or, when asked with ``--strict``, when the median scrape takes 300 ms or more.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import re
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from loadtest.node import Node, free_port, running_node

CONNECTIONS: Final = 16
SHOWN_S_MAX: Final = 30.0
SCRAPE_MS_MAX: Final = 300.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_SAMPLE = re.compile(rb"^(tollgate_\w+)(?:\{([^}]*)\})? (\S+)$", re.M)

_CONFIG = """\
version: 1
node: {{name: scrape, data_dir: "{{data_dir}}"}}
admin: {{bind: "{{admin}}"}}
store: {{url: "sqlite:///{{data_dir}}/tollgate.db"}}
drain: 1s
accounts: [{{id: acme, currency: USD, activated_at: "2019-11-10T17:13:14+08:00", opening: {{cash: "1000000.00"}}}}]
instances:
  - id: own
    account: acme
    type: dedicated
    spec: dedicated-50000
    region: ap-guangzhou
    charge: payg
    workers: 2
    entry:
      - {{bind: "127.0.0.1:{internet}", network: internet}}
      - {{bind: "127.0.0.1:{vpc}", network: vpc}}
services:
"""
_SERVICE = """\
  - id: s{number}
    instance: own
    qps: 40000
    upstream: {{network: {network}, targets: [{{url: "http://127.0.0.1:{origin}"}}]}}
    routes: [{{id: all, methods: [GET], path: /*, qps: 30000}}]
"""
# Of each service, over each network: a call, a backend's error, a refusal.
_REQUESTS: Final = ("GET /s{}/bytes/100", "GET /s{}/status/404", "PUT /s{}/bytes/100")
# Families that have so many series of a service by then: bytes to clients, answers to them that refuse, and one
# backend's network, each of two networks and on two bases.
_SERIES: Final = {
    "tollgate_calls_total": 1,
    "tollgate_frontend_errors_total": 1,
    "tollgate_backend_errors_total": 1,
    "tollgate_ingress_bytes_total": 1,
    "tollgate_egress_bytes_total": 10,
    "tollgate_request_duration_seconds_bucket": 16,
    "tollgate_request_duration_seconds_count": 1,
    "tollgate_request_duration_seconds_sum": 1,
    "tollgate_limit_admitted_total": 2,
    "tollgate_upstream_target_up": 1,
}


@dataclass
class Scraped:
    """What was measured. Milliseconds."""

    services: int
    series: int = 0
    size_bytes: int = 0
    taken_ms: list[float] = field(default_factory=list)
    cpu_ms: float = 0.0  # of the control process, for each scrape
    others_ms: list[float] = field(default_factory=list)  # of another question to it, while it is scraped
    rest_ms: list[float] = field(default_factory=list)  # the same while it is not
    faults: list[str] = field(default_factory=list)


class _Admin:
    """One kept connection to the admin API."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def get(self, path: str) -> bytes:
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} was answered {answer.status}")
        return content

    def timed(self, path: str) -> tuple[float, bytes]:
        """Milliseconds, and the content."""
        begun = time.perf_counter()
        content = self.get(path)
        return (time.perf_counter() - begun) * 1000, content

    def close(self) -> None:
        self._connection.close()


def measure(services: int, scrapes: int) -> Scraped:
    """One node, one run."""
    entries = free_port(), free_port()

    def text(origins: list[int]) -> str:
        parts = [_CONFIG.format(internet=entries[0], vpc=entries[1])]
        for number in range(services):
            parts.append(_SERVICE.format(number=number, network=("internet", "vpc")[number % 2], origin=origins[0]))
        return "".join(parts)

    done = Scraped(services)
    with running_node(text, 1) as (node, _):
        asyncio.run(_call_all(entries, services))
        admin = _Admin(node.admin_port)
        content = _shown(admin, services)
        done.series, done.size_bytes = len(_SAMPLE.findall(content)), len(content)
        done.faults += _missing(content, services)
        done.rest_ms = _others(node.admin_port, lambda: time.sleep(1.0))
        cpu_before = _cpu_ms(node.process.pid)
        done.others_ms = _others(
            node.admin_port, lambda: done.taken_ms.extend(admin.timed("/metrics")[0] for _ in range(scrapes))
        )
        done.cpu_ms = (_cpu_ms(node.process.pid) - cpu_before) / scrapes
        with _stopped(node):
            if len(_SAMPLE.findall(admin.get("/metrics"))) != done.series:
                done.faults.append("a scrape is another while the workers are stopped")
        admin.close()
    return done


async def _call_all(ports: tuple[int, int], services: int) -> None:
    """Every request of every service, over both entries."""
    for port in ports:
        texts = (
            f"{line.format(number)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            for number in range(services)
            for line in _REQUESTS
        )
        async with asyncio.TaskGroup() as tasks:
            for number in range(CONNECTIONS):
                tasks.create_task(_call(port, texts), name=f"connection {number}")


async def _call(port: int, texts: Iterator[bytes]) -> None:
    """One connection: takes the next request once it has its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for text in texts:
        writer.write(text)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        at = head.index(b"\r\ncontent-length:") + 17
        await reader.readexactly(int(head[at : head.index(b"\r", at)]))
    writer.close()


def _shown(admin: _Admin, services: int) -> bytes:
    """The metrics, once all is in them that was done: wire bytes are up to a second late."""
    deadline = time.monotonic() + SHOWN_S_MAX
    while True:
        content = admin.get("/metrics")
        if not _missing(content, services) or time.monotonic() > deadline:
            return content
        time.sleep(0.1)


def _sum(content: bytes, name: bytes) -> float:
    return sum(float(value) for found, _, value in _SAMPLE.findall(content) if found == name)


def _missing(content: bytes, services: int) -> list[str]:
    """What is not as it should be: series of services by family, and what was counted."""
    found: dict[str, int] = {}
    for name, labels, _ in _SAMPLE.findall(content):
        if b'service="s' in labels:
            found[name.decode()] = found.get(name.decode(), 0) + 1
    faults = [
        f"{name}: {found.get(name, 0)} series, not {number * services}"
        for name, number in _SERIES.items()
        if found.get(name) != number * services
    ]
    for name, number in (("tollgate_calls_total", 4), ("tollgate_frontend_errors_total", 2)):
        if (counted := _sum(content, name.encode())) != number * services:
            faults.append(f"{name}: {counted:.0f} in all, not {number * services}")
    return faults


def _others(port: int, meanwhile: Callable[[], None]) -> list[float]:
    """Milliseconds of a small question, asked over and over from another connection while ``meanwhile`` runs."""
    taken: list[float] = []
    ends = threading.Event()

    def ask() -> None:
        admin = _Admin(port)
        while not ends.is_set():
            taken.append(admin.timed("/healthz")[0])
            ends.wait(0.002)
        admin.close()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        meanwhile()
    finally:
        ends.set()
        asking.join()
    return taken


def _cpu_ms(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / _TICKS


@contextmanager
def _stopped(node: Node) -> Iterator[None]:
    """Every worker stands still."""
    pids = [slot["pid"] for slots in node.call("GET", "/v1/node")["pools"].values() for slot in slots]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _spread(taken_ms: list[float]) -> str:
    ordered = sorted(taken_ms)
    p95_ms = ordered[int(0.95 * len(ordered))]
    return f"median {statistics.median(ordered):.1f}, p95 {p95_ms:.1f}, worst {ordered[-1]:.1f} ms"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=2000)
    parser.add_argument("--scrapes", type=int, default=30)
    parser.add_argument("--strict", action="store_true", help=f"fail from {SCRAPE_MS_MAX:.0f} ms on")
    arguments = parser.parse_args()
    done = measure(arguments.services, arguments.scrapes)
    print(f"{done.services:,} services, {done.series:,} series, {done.size_bytes / 1e6:.1f} MB")
    print(f"a scrape: {_spread(done.taken_ms)}")
    print(f"CPU of the control process: {done.cpu_ms:.0f} ms a scrape")
    print(f"another question to it: {_spread(done.others_ms)}; while it is not scraped: {_spread(done.rest_ms)}")
    for fault in done.faults:
        print(fault)
    is_slow = arguments.strict and statistics.median(done.taken_ms) >= SCRAPE_MS_MAX
    return int(bool(done.faults) or is_slow)


if __name__ == "__main__":
    sys.exit(main())
