"""How the node stands: for its own metrics, for `GET /v1/node`, and the exposition of both. Read on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from gateway.admin.metrics import NodeMetrics, service_metrics
from gateway.admin.watch import Watch
from gateway.compiled import is_used
from gateway.control.bookkeeper import Bookkeeper
from gateway.control.supervisor import Supervisor
from gateway.control.target_health import TargetHealth
from metering.exposition import is_openmetrics_type, usage_metrics
from metering.self_metrics import MeteringMetrics


class NodeView:
    """``store_failures``, ``was_reload_good`` and ``owns_store`` are the control process's to set."""

    def __init__(self, node: str, books: Bookkeeper, supervisor: Supervisor, targets: TargetHealth) -> None:
        self.store_failures = 0
        self.was_reload_good = True
        self.owns_store = True
        self.watch = Watch()
        self._node = node
        self._books = books
        self._supervisor = supervisor
        self._targets = targets
        self._registry = CollectorRegistry()
        self._registry.register(MeteringMetrics(books.store.collector))
        self._registry.register(NodeMetrics(self))
        self._registry.register(self.watch)

    @property
    def restarts(self) -> Mapping[str, int]:
        return self._supervisor.restarts

    @property
    def workers_serving(self) -> Mapping[str, int]:
        pools = self._supervisor.pools()
        return {pool: sum(slot["is_serving"] for slot in slots) for pool, slots in pools.items()}

    @property
    def balances(self) -> Sequence[tuple[str, str, int]]:
        return self._books.balances

    @property
    def settlement_lag_s(self) -> float:
        return self._books.lag_s

    @property
    def reconcile_findings(self) -> int:
        return len(self._books.findings)

    @property
    def clock_rate(self) -> float:
        return self._books.store.clock.rate

    def describe(self, *, is_ready: bool) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._books.store.clock.now(), UTC)
        return {
            "node": self._node,
            "version": version("tollgate"),
            "is_compiled": is_used(),
            "is_ready": is_ready,
            "clock": {"rate": self.clock_rate, "now": now.strftime("%Y-%m-%dT%H:%M:%SZ")},
            "pools": self._supervisor.pools(),
        }

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        encode, content_type = choose_encoder(accept)
        node = encode(self._registry)
        is_openmetrics = is_openmetrics_type(content_type)
        totals, admitted = self._books.store.collector.totals, self._books.limits.admitted
        targets = list(self._targets.states())

        def of_services() -> bytes:
            usage = usage_metrics(totals, is_openmetrics=is_openmetrics)
            return (usage + service_metrics(admitted, targets, is_openmetrics=is_openmetrics)).encode()

        # The many series on a thread: the loop goes on meanwhile.
        return await asyncio.to_thread(of_services) + node, content_type
