import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from gateway.admin.metrics import NodeMetrics, service_metrics


class State:
    def __init__(self) -> None:
        self.restarts = {"shared": 2}
        self.workers_serving = {"shared": 2, "acme-dedicated": 1}
        self.settlement_lag_s = 12.5
        self.balances = [("acme", "USD", 9_326_118_164), ("zeta", "USD", -1)]
        self.clock_rate = 3600.0
        self.store_failures = 1
        self.was_reload_good = True
        self.reconcile_findings = 3
        self.owns_store = False


def test_the_node_shows_its_workers_its_accounts_and_its_clock() -> None:
    registry = CollectorRegistry()
    registry.register(NodeMetrics(State()))
    text = generate_latest(registry).decode()
    assert "service=" not in text, "made on the loop: what there is of each service is not"
    lines = set(text.splitlines())
    assert {
        'tollgate_worker_restarts_total{pool="shared"} 2.0',
        'tollgate_worker_restarts_total{pool="acme-dedicated"} 0.0',
        'tollgate_workers_serving{pool="shared"} 2.0',
        "tollgate_settlement_lag_seconds 12.5",
        'tollgate_account_balance{account="acme",currency="USD"} 93.26118164',
        'tollgate_account_balance{account="zeta",currency="USD"} -1e-08',
        "tollgate_clock_rate 3600.0",
        "tollgate_store_failures_total 1.0",
        "tollgate_config_last_reload_good 1.0",
        "tollgate_store_owned 0.0",
        "tollgate_reconcile_findings 3.0",
    } <= lines


@pytest.mark.parametrize("is_openmetrics", [False, True])
def test_each_service_shows_its_limits_and_its_targets(is_openmetrics: bool) -> None:
    admitted = {("acme-shared", "orders", "route"): 7, ("acme-shared", "-", "instance"): 2**60 + 1}
    targets = [("orders", "http://127.0.0.1:9001", True), ('or"d\\ers', "http://127.0.0.1:9002", False)]
    text = service_metrics(admitted, targets, is_openmetrics=is_openmetrics)
    assert f'{{instance="acme-shared",level="instance",service="-"}} {2**60 + 1}\n' in text, "a whole number"
    families = openmetrics_families(text + "# EOF\n") if is_openmetrics else text_string_to_metric_families(text)
    found = {
        (family.name, family.type, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }
    limit, target = ("tollgate_limit_admitted", "counter"), ("tollgate_upstream_target_up", "gauge")
    assert found == {
        (*limit, ("instance", "acme-shared"), ("level", "route"), ("service", "orders")): 7,
        (*limit, ("instance", "acme-shared"), ("level", "instance"), ("service", "-")): 2**60 + 1,
        (*target, ("service", "orders"), ("target", "http://127.0.0.1:9001")): 1,
        (*target, ("service", 'or"d\\ers'), ("target", "http://127.0.0.1:9002")): 0,
    }
