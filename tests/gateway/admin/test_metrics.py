from prometheus_client import CollectorRegistry, generate_latest

from gateway.admin.metrics import NodeMetrics


class State:
    def __init__(self) -> None:
        self.restarts = {"shared": 2}
        self.workers_serving = {"shared": 2, "acme-dedicated": 1}
        self.settlement_lag_s = 12.5
        self.balances = [("acme", "USD", 9_326_118_164), ("zeta", "USD", -1)]
        self.limits_admitted = {("acme-shared", "orders", "route"): 7, ("acme-shared", "-", "instance"): 9}
        self.clock_rate = 3600.0
        self.targets_up = [("orders", "http://127.0.0.1:9001", True), ("orders", "http://127.0.0.1:9002", False)]
        self.store_failures = 1
        self.was_reload_good = True
        self.reconcile_findings = 3


def test_the_node_shows_its_workers_its_accounts_and_its_clock() -> None:
    registry = CollectorRegistry()
    registry.register(NodeMetrics(State()))
    lines = set(generate_latest(registry).decode().splitlines())
    assert {
        'tollgate_worker_restarts_total{pool="shared"} 2.0',
        'tollgate_worker_restarts_total{pool="acme-dedicated"} 0.0',
        'tollgate_workers_serving{pool="shared"} 2.0',
        "tollgate_settlement_lag_seconds 12.5",
        'tollgate_account_balance{account="acme",currency="USD"} 93.26118164',
        'tollgate_account_balance{account="zeta",currency="USD"} -1e-08',
        "tollgate_clock_rate 3600.0",
        'tollgate_upstream_target_up{service="orders",target="http://127.0.0.1:9001"} 1.0',
        'tollgate_upstream_target_up{service="orders",target="http://127.0.0.1:9002"} 0.0',
        'tollgate_limit_admitted_total{instance="acme-shared",level="route",service="orders"} 7.0',
        'tollgate_limit_admitted_total{instance="acme-shared",level="instance",service="-"} 9.0',
        "tollgate_store_failures_total 1.0",
        "tollgate_config_last_reload_good 1.0",
        "tollgate_reconcile_findings 3.0",
    } <= lines
