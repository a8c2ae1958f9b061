"""The usage metrics of DESIGN 1.6, from the collector's totals. Prometheus is a view: bills never read it."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector as PrometheusCollector

from metering.cells import (
    BACKEND_ERRORS,
    BASES,
    CALLS,
    DURATION_BOUNDS_S,
    DURATION_BUCKETS,
    DURATION_SUM_US,
    FRONTEND_ERRORS,
    INGRESS,
    LIMIT_REFUSALS,
    NETWORKS,
    SHADOW_REFUSALS,
    SIDES,
    WEBSOCKET_CONNECTIONS,
    egress_cell,
)
from metering.collector import Collector

_BOUNDS = [*(f"{bound:g}" for bound in DURATION_BOUNDS_S), "+Inf"]


class MetricsCollector(PrometheusCollector):
    """Registered with prometheus_client; series exist once something was counted."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[Metric]:
        labels = ["instance", "service"]
        calls = CounterMetricFamily("tollgate_calls", "Valid calls.", labels=labels)
        sockets = CounterMetricFamily("tollgate_websocket_connections", "WebSocket connections.", labels=labels)
        ingress = CounterMetricFamily("tollgate_ingress_bytes", "Bytes received from clients.", labels=labels)
        front = CounterMetricFamily(
            "tollgate_frontend_errors", "Requests refused before an upstream; not billed.", labels=[*labels, "code"]
        )
        back = CounterMetricFamily(
            "tollgate_backend_errors", "Calls that failed behind the gateway.", labels=[*labels, "code"]
        )
        over = CounterMetricFamily(
            "tollgate_limit_refused", "Requests refused, by the limit that refused.", labels=[*labels, "level"]
        )
        shadow = CounterMetricFamily(
            "tollgate_limit_shadow_refusals",
            "Requests that a limit in shadow mode would have refused.",
            labels=[*labels, "level"],
        )
        egress = CounterMetricFamily(
            "tollgate_egress_bytes", "Bytes sent.", labels=[*labels, "side", "network", "basis"]
        )
        duration = HistogramMetricFamily(
            "tollgate_request_duration_seconds", "Calls by time from head to end of answer.", labels=labels
        )
        for (instance, service), cells in sorted(self._collector.totals.items()):
            of = [instance, service]
            for family, cell in ((calls, CALLS), (sockets, WEBSOCKET_CONNECTIONS), (ingress, INGRESS)):
                if cells[cell] or family is calls:
                    family.add_metric(of, cells[cell])
            for family, kinds in (
                (front, FRONTEND_ERRORS),
                (back, BACKEND_ERRORS),
                (over, LIMIT_REFUSALS),
                (shadow, SHADOW_REFUSALS),
            ):
                for kind, cell in kinds.items():
                    if cells[cell]:
                        family.add_metric([*of, kind], cells[cell])
            for side in SIDES:
                for network in NETWORKS:
                    for basis in BASES:
                        amount = cells[egress_cell(side, network, basis)]
                        if amount:
                            egress.add_metric([*of, side, network, basis], amount)
            if cells[CALLS]:
                counts, sum_so_far = [], 0
                for index, bound in enumerate(_BOUNDS):
                    sum_so_far += cells[DURATION_BUCKETS + index]
                    counts.append((bound, sum_so_far))
                duration.add_metric(of, buckets=counts, sum_value=cells[DURATION_SUM_US] / 1e6)
        yield from (calls, sockets, front, back, over, shadow, egress, ingress, duration)
