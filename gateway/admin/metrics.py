"""The node's own metrics, beside the usage metrics (DESIGN 1.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from config.money import E8


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
    def targets_up(self) -> Iterable[tuple[str, str, bool]]: ...
    @property
    def limits_admitted(self) -> Mapping[tuple[str, str, str], int]: ...
    @property
    def clock_rate(self) -> float: ...
    @property
    def store_failures(self) -> int: ...
    @property
    def was_reload_good(self) -> bool: ...
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
        admitted = CounterMetricFamily(
            "tollgate_limit_admitted",
            "Requests that a limit let pass, by its level; what workers hold to pass at once is in it.",
            labels=["instance", "service", "level"],
        )
        for labels, number in state.limits_admitted.items():
            admitted.add_metric(labels, number)
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
        target_up = GaugeMetricFamily(
            "tollgate_upstream_target_up",
            "1: well by its probes; one without probes: ejected by no worker.",
            labels=["service", "target"],
        )
        for service, target, is_up in state.targets_up:
            target_up.add_metric([service, target], int(is_up))
        findings = GaugeMetricFamily(
            "tollgate_reconcile_findings", "Contradictions in the store at the last reconciliation; 0 as it should be."
        )
        findings.add_metric([], state.reconcile_findings)
        yield from (restarts, serving, balance, admitted, lag, rate, failures, reload, target_up, findings)
