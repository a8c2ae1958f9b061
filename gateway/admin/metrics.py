"""The node's own metrics, beside the usage metrics (DESIGN 1.6).

What there is once of a node goes by prometheus_client, on the loop. What there is of each service is written here: for
2,000 services that took prometheus_client 25 ms, in which the control process answered nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from config.money import E8
from metering.exposition import escaped, head_lines

Admitted = Mapping[tuple[str, str, str], int]  # by instance, service and level; not changed any more
TargetUp = tuple[str, str, bool]  # service, url


class NodeState(Protocol):
    """What is shown of the control process; read on the event loop, so nothing here may block."""

    @property
    def restarts(self) -> Mapping[str, int]: ...
    @property
    def workers_serving(self) -> Mapping[str, int]: ...
    @property
    def settlement_lag_s(self) -> float: ...
    @property
    def balances(self) -> Sequence[tuple[str, str, int]]: ...
    @property
    def clock_rate(self) -> float: ...
    @property
    def store_failures(self) -> int: ...
    @property
    def was_reload_good(self) -> bool: ...
    @property
    def owns_store(self) -> bool: ...
    @property
    def reconcile_findings(self) -> int: ...


class NodeMetrics(Collector):
    """Registered with prometheus_client."""

    def __init__(self, state: NodeState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        state = self._state
        restarts = CounterMetricFamily(
            "tollgate_worker_restarts", "Workers that died unasked and were replaced.", labels=["pool"]
        )
        serving = GaugeMetricFamily("tollgate_workers_serving", "Workers that serve now.", labels=["pool"])
        for pool, number in state.workers_serving.items():
            restarts.add_metric([pool], state.restarts.get(pool, 0))
            serving.add_metric([pool], number)
        # The one place where money becomes a float: a chart. Bills never read it.
        balance = GaugeMetricFamily(
            "tollgate_account_balance", "Total balance, what is held included.", labels=["account", "currency"]
        )
        for account, currency, amount_e8 in state.balances:
            balance.add_metric([account, currency], amount_e8 / E8)
        lag = GaugeMetricFamily(
            "tollgate_settlement_lag_seconds", "Since the oldest ended hour that is not settled ended."
        )
        lag.add_metric([], state.settlement_lag_s)
        rate = GaugeMetricFamily("tollgate_clock_rate", "Virtual seconds in a real one; 1 is real time.")
        rate.add_metric([], state.clock_rate)
        failures = CounterMetricFamily("tollgate_store_failures", "Times that the store could not be written.")
        failures.add_metric([], state.store_failures)
        reload = GaugeMetricFamily("tollgate_config_last_reload_good", "1: the running configuration is the file's.")
        reload.add_metric([], int(state.was_reload_good))
        owned = GaugeMetricFamily("tollgate_store_owned", "0: another node has taken the store over.")
        owned.add_metric([], int(state.owns_store))
        findings = GaugeMetricFamily(
            "tollgate_reconcile_findings", "Contradictions in the store at the last reconciliation; 0 as it should be."
        )
        findings.add_metric([], state.reconcile_findings)
        yield from (restarts, serving, balance, lag, rate, failures, reload, owned, findings)


def service_metrics(admitted: Admitted, targets: Sequence[TargetUp], *, is_openmetrics: bool = False) -> str:
    """What there is of each service's limits and targets, as text (without OpenMetrics' `# EOF`). On any thread."""
    lines = [
        *head_lines(
            "tollgate_limit_admitted",
            "counter",
            "Requests that a limit let pass, by its level; what workers hold to pass at once is in it.",
            is_openmetrics=is_openmetrics,
        )
    ]
    for (instance, service, level), number in admitted.items():
        labels = f'instance="{escaped(instance)}",level="{level}",service="{escaped(service)}"'
        lines.append(f"tollgate_limit_admitted_total{{{labels}}} {number}")
    lines += head_lines(
        "tollgate_upstream_target_up",
        "gauge",
        "1: well by its probes; one without probes: ejected by no worker.",
        is_openmetrics=is_openmetrics,
    )
    for service, target, is_up in targets:
        labels = f'service="{escaped(service)}",target="{escaped(target)}"'
        lines.append(f"tollgate_upstream_target_up{{{labels}}} {is_up:d}")
    return "\n".join(lines) + "\n"
