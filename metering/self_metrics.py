"""How metering itself fares, for alerts: what may never happen, and how much there is to follow."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as PrometheusCollector

from metering.collector import Collector
from metering.tcp_info import IS_MEASURED


class MeteringMetrics(PrometheusCollector):
    """Registered with prometheus_client."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[Metric]:
        collector = self._collector
        yield CounterMetricFamily(
            "tollgate_identity_mismatches",
            "Sealed hours of a worker in which requests received were not calls, WebSocket connections and errors.",
            collector.identity_mismatches,
        )
        yield CounterMetricFamily(
            "tollgate_clock_jumps",
            "Times that a worker met a clock more than five minutes away from the time that passed.",
            collector.clock_jumps,
        )
        yield CounterMetricFamily(
            "tollgate_usage_files_broken", "Counter files that could not be read.", collector.broken_files
        )
        yield GaugeMetricFamily(
            "tollgate_usage_files",
            "Counter files followed: one a worker and hour.",
            collector.files_followed,
        )
        yield GaugeMetricFamily(
            "tollgate_wire_bytes_measured",
            "1: the kernel tells wire bytes; 0: they count as 0.",
            int(IS_MEASURED),
        )
