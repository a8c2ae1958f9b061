"""The text of the usage metrics: what its readers make of it, in both formats, however many series there are."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from metering.cells import (
    BACKEND_ERRORS,
    CALLS,
    CELLS,
    DURATION_BUCKETS,
    DURATION_SUM_US,
    FRONTEND_ERRORS,
    INGRESS,
    SPANS,
    WEBSOCKET_CONNECTIONS,
    egress_cell,
)
from metering.collector import Collector
from metering.exposition import usage_metrics
from metering.self_metrics import MeteringMetrics


def row(cells: dict[int, int]) -> list[int]:
    return [cells.get(cell, 0) for cell in range(CELLS)]


TOTALS = {
    ("one", "orders"): row(
        {
            CALLS: 3,
            WEBSOCKET_CONNECTIONS: 2,
            INGRESS: 99,
            DURATION_BUCKETS: 2,
            DURATION_BUCKETS + 3: 1,
            DURATION_SUM_US: 9000,
            FRONTEND_ERRORS["rate_limited"]: 4,
            BACKEND_ERRORS["bad_gateway"]: 1,
            egress_cell("backend", "vpc", "wire"): 2**60 + 1,
            egress_cell("refused", "internet", "application"): 8,
        }
    ),
    ("-", "-"): row({FRONTEND_ERRORS["no_route"]: 5, SPANS["exported"]: 7, SPANS["dropped"]: 6}),
    ('a"b\\', "x\ny"): row({CALLS: 1}),
}
ONE = {"instance": "one", "service": "orders"}
SAMPLES = {
    ("tollgate_calls_total", frozenset(ONE.items())): 3,
    ("tollgate_websocket_connections_total", frozenset(ONE.items())): 2,
    ("tollgate_ingress_bytes_total", frozenset(ONE.items())): 99,
    ("tollgate_frontend_errors_total", frozenset({**ONE, "code": "rate_limited"}.items())): 4,
    (
        "tollgate_egress_bytes_total",
        frozenset({**ONE, "side": "refused", "network": "internet", "basis": "application"}.items()),
    ): 8,
    ("tollgate_backend_errors_total", frozenset({**ONE, "code": "bad_gateway"}.items())): 1,
    ("tollgate_request_duration_seconds_bucket", frozenset({**ONE, "le": "0.001"}.items())): 2,
    ("tollgate_request_duration_seconds_bucket", frozenset({**ONE, "le": "0.01"}.items())): 3,
    ("tollgate_request_duration_seconds_bucket", frozenset({**ONE, "le": "+Inf"}.items())): 3,
    ("tollgate_request_duration_seconds_count", frozenset(ONE.items())): 3,
    ("tollgate_request_duration_seconds_sum", frozenset(ONE.items())): 0.009,
    ("tollgate_calls_total", frozenset({"instance": "-", "service": "-"}.items())): 0,
    ("tollgate_trace_spans_total", frozenset({"instance": "-", "service": "-", "outcome": "exported"}.items())): 7,
    ("tollgate_trace_spans_total", frozenset({"instance": "-", "service": "-", "outcome": "dropped"}.items())): 6,
    ("tollgate_calls_total", frozenset({"instance": 'a"b\\', "service": "x\ny"}.items())): 1,
}


def read(is_openmetrics: bool) -> list[Metric]:
    text = usage_metrics(TOTALS, is_openmetrics=is_openmetrics)
    return list(openmetrics_families(text + "# EOF\n") if is_openmetrics else text_string_to_metric_families(text))


@pytest.mark.parametrize("is_openmetrics", [False, True])
def test_a_reader_of_the_format_finds_the_totals(is_openmetrics: bool) -> None:
    found = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in read(is_openmetrics)
        for sample in family.samples
    }
    assert SAMPLES.items() <= found.items()
    types = {family.name: family.type for family in read(is_openmetrics)}
    assert types.pop("tollgate_request_duration_seconds") == "histogram"
    assert set(types.values()) == {"counter"}
    assert all(family.documentation for family in read(is_openmetrics))


def test_bytes_are_whole_numbers_beyond_what_a_float_holds() -> None:
    line = f'side="backend",network="vpc",basis="wire"}} {2**60 + 1}'
    assert any(found.endswith(line) for found in usage_metrics(TOTALS).splitlines())


def test_series_are_as_many_as_were_met() -> None:
    """Bounded by services and codes: 2,000 idle services are 2,000 series and no more."""
    idle = {("one", f"s{number}"): row({}) for number in range(2000)}
    assert len([line for line in usage_metrics(idle).splitlines() if not line.startswith("#")]) == 2000


def test_the_state_of_metering_is_shown() -> None:
    class State(Collector):
        def __init__(self) -> None:
            self.identity_mismatches, self.broken_files, self._files = 1, 4, {}

        @property
        def clock_jumps(self) -> int:
            return 5

    registry = CollectorRegistry()
    registry.register(MeteringMetrics(State()))
    lines = generate_latest(registry).decode().splitlines()
    assert "tollgate_identity_mismatches_total 1.0" in lines
    assert "tollgate_clock_jumps_total 5.0" in lines
    assert "tollgate_usage_files_broken_total 4.0" in lines
    assert "tollgate_usage_files 0.0" in lines
