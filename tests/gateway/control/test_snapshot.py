"""What the workers are told, from what the file says."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from config.catalog import load_catalog
from config.loading import load_settings
from gateway.control.snapshot import CompiledServices, PoolSnapshot, compile_snapshots, network_of
from tests.gateway.control.configuration import config_text


class Slots:
    """Gives slots in the order asked for, and remembers what for."""

    def __init__(self) -> None:
        self.names: list[tuple[str, str]] = []

    def __call__(self, pool: str, name: str) -> int:
        if (pool, name) not in self.names:
            self.names.append((pool, name))
        return self.names.index((pool, name))


def compile_text(
    folder: Path, text: str, serving: tuple[str, ...] = ("acme-shared", "acme-dedicated")
) -> tuple[dict[str, Any], Slots]:
    path = folder / "tollgate.yaml"
    path.write_text(text)
    settings = load_settings(path)
    slots = Slots()
    entitlements = dict.fromkeys(serving, True)
    return documents(compile_snapshots(settings, load_catalog(), settings.services, entitlements, slots)), slots


def documents(pools: dict[str, PoolSnapshot]) -> dict[str, Any]:
    """As a worker reads them."""
    return {
        pool: {"instances": one.instances, "services": [piece.document() for piece in one.services]}
        for pool, one in pools.items()
    }


def test_a_pool_gets_its_own_instances_and_services_only(tmp_path: Path) -> None:
    pools, _ = compile_text(tmp_path, config_text())
    members = {pool: (list(one["instances"]), [s["id"] for s in one["services"]]) for pool, one in pools.items()}
    assert members == {
        "shared": (["acme-shared"], ["orders"]),
        "acme-dedicated": (["acme-dedicated"], ["checkout"]),
    }


def test_limits_stand_where_they_are_stricter_than_the_one_around_them(tmp_path: Path) -> None:
    pools, slots = compile_text(tmp_path, config_text())
    (orders,), (checkout,) = pools["shared"]["services"], pools["acme-dedicated"]["services"]
    assert pools["shared"]["instances"]["acme-shared"]["limit"] == {"slot": 0, "qps": 300}
    assert orders["limit"] == {"slot": 1, "qps": 100}
    assert [route["limit"] for route in orders["routes"]] == [{"slot": 2, "qps": 50}, None]
    assert checkout["limit"] is None  # 2,500 is the instance's, and that one holds it
    assert slots.names[1:3] == [("shared", "service:orders"), ("shared", "route:orders/list")]


def test_without_an_instance_limit_in_the_catalog_each_service_has_its_own(tmp_path: Path) -> None:
    source = Path("config/catalog.yaml").resolve().read_text()
    document = yaml.safe_load(source)
    document["shared"]["qps"]["instance"] = None
    (tmp_path / "catalog.yaml").write_text(yaml.safe_dump(document))
    path = tmp_path / "tollgate.yaml"
    path.write_text(config_text().replace(", qps: 300", "").replace("    qps: 100\n", "") + "catalog: catalog.yaml\n")
    settings = load_settings(path)
    pools = documents(compile_snapshots(settings, load_catalog(settings.catalog), settings.services, {}, Slots()))
    assert pools["shared"]["instances"]["acme-shared"]["limit"] is None
    assert pools["shared"]["services"][0]["limit"]["qps"] == 500


def test_only_what_billing_entitles_is_served(tmp_path: Path) -> None:
    pools, _ = compile_text(tmp_path, config_text(), serving=("acme-dedicated",))
    assert pools["shared"]["instances"]["acme-shared"]["serving"] is False
    assert pools["acme-dedicated"]["instances"]["acme-dedicated"]["serving"] is True


def test_everything_of_a_service_reaches_the_worker(tmp_path: Path) -> None:
    digest = "AB" * 32
    text = config_text().replace(
        "    qps: 100\n",
        f"""\
    qps: 100
    hosts: ["orders.example.com", "*.orders.example.com"]
    limit_mode: shadow
    auth: {{type: key, strip: true, keys: [{{id: k1, sha256: {digest}}}]}}
    allow: ["10.0.0.0/8"]
    deny: ["10.1.0.0/16"]
""",
    )
    pools, _ = compile_text(tmp_path, text)
    (orders,) = pools["shared"]["services"]
    assert orders["hosts"] == ["orders.example.com", "*.orders.example.com"]
    assert (orders["path"], orders["strip_path"], orders["protocol"]) == ("/orders", True, "http")
    assert orders["limit_mode"] == "shadow"
    keys = [{"id": "k1", "sha256": digest.lower()}]
    assert orders["auth"] == {"in": "header", "name": "X-Api-Key", "strip": True, "keys": keys}
    assert (orders["path_escapes"], orders["merge_slashes"], orders["location"]) == ("decode", True, "keep")
    assert (orders["allow"], orders["deny"]) == (["10.0.0.0/8"], ["10.1.0.0/16"])
    assert orders["upstream"]["timeouts"] == {"connect": 3.0, "response": 30.0, "idle": 60.0}
    assert orders["upstream"]["targets"] == [{"url": "http://127.0.0.1:19001", "weight": 1, "network": "vpc"}]
    assert pools["shared"]["instances"]["acme-shared"]["body_max"] == 16 * 2**20


@pytest.mark.parametrize(
    "auth, place, name",
    [
        ("header: X-Key", "header", "X-Key"),
        ("name: X-Key", "header", "X-Key"),
        ("in: query", "query", "api_key"),
        ("in: cookie, name: session", "cookie", "session"),
        ("in: subprotocol", "subprotocol", "key"),
    ],
)
def test_how_a_service_is_asked_reaches_the_worker(tmp_path: Path, auth: str, place: str, name: str) -> None:
    more = f"""\
    qps: 100
    auth: {{type: key, {auth}, keys: [{{id: k1, sha256: {"ab" * 32}}}]}}
    path_escapes: keep
    merge_slashes: false
    location: rewrite
    protocol: any
"""
    pools, _ = compile_text(tmp_path, config_text().replace("    qps: 100\n", more))
    orders = pools["shared"]["services"][0]
    assert (orders["auth"]["in"], orders["auth"]["name"]) == (place, name)
    assert (orders["path_escapes"], orders["merge_slashes"]) == ("keep", False)
    assert (orders["location"], orders["protocol"]) == ("rewrite", "any")


@pytest.mark.parametrize(
    "url, network",
    [
        pytest.param("http://10.1.2.3:80", "vpc", id="RFC 1918, 10/8"),
        pytest.param("http://172.31.0.1", "vpc", id="RFC 1918, 172.16/12"),
        pytest.param("http://172.32.0.1", "internet", id="just outside of it"),
        pytest.param("http://192.168.0.1/base", "vpc", id="RFC 1918, 192.168/16"),
        pytest.param("http://127.0.0.1:9001", "vpc", id="loopback"),
        pytest.param("http://[::1]:9001", "vpc", id="loopback, IPv6"),
        pytest.param("http://[fd00::1]", "vpc", id="RFC 4193"),
        pytest.param("http://8.8.8.8", "internet", id="public"),
        pytest.param("http://100.64.0.1", "internet", id="shared address space is not named"),
        pytest.param("https://api.example.com", "internet", id="a name"),
        pytest.param("http://localhost:1", "vpc", id="localhost"),
    ],
)
def test_a_backend_is_inside_or_outside_by_its_address(url: str, network: str) -> None:
    assert network_of(url) == network


def test_a_configured_class_beats_the_address(tmp_path: Path) -> None:
    text = config_text().replace("upstream: {targets", "upstream: {network: internet, targets")
    pools, _ = compile_text(tmp_path, text)
    assert pools["shared"]["services"][0]["upstream"]["targets"][0]["network"] == "internet"


def test_a_service_whose_settings_are_the_same_object_is_not_compiled_again(tmp_path: Path) -> None:
    path = tmp_path / "tollgate.yaml"
    path.write_text(config_text())
    settings, catalog, compiled = load_settings(path), load_catalog(), CompiledServices()
    first = compile_snapshots(settings, catalog, settings.services, {}, Slots(), compiled)
    orders, checkout = settings.services
    changed = [orders.model_copy(update={"strip_path": False}), checkout]
    second = compile_snapshots(settings, catalog, changed, {}, Slots(), compiled)
    assert second["acme-dedicated"].services[0] is first["acme-dedicated"].services[0]
    assert second["shared"].services[0].document()["strip_path"] is False
    assert second["shared"].differs(first["shared"])
    assert not second["acme-dedicated"].differs(first["acme-dedicated"])


def test_a_service_is_compiled_again_when_its_instance_changed(tmp_path: Path) -> None:
    path = tmp_path / "tollgate.yaml"
    path.write_text(config_text())
    settings, catalog, compiled = load_settings(path), load_catalog(), CompiledServices()
    compile_snapshots(settings, catalog, settings.services, {}, Slots(), compiled)
    shared, dedicated = settings.instances
    lower = settings.model_copy(update={"instances": (shared.model_copy(update={"qps": 60}), dedicated)})
    pools = compile_snapshots(lower, catalog, settings.services, {}, Slots(), compiled)
    assert pools["shared"].services[0].document()["limit"] is None, "the instance's 60 is stricter than its 100"


def test_the_limits_of_a_pool_are_named_for_its_book_of_slots(tmp_path: Path) -> None:
    path = tmp_path / "tollgate.yaml"
    path.write_text(config_text())
    settings = load_settings(path)
    pools = compile_snapshots(settings, load_catalog(), settings.services, {}, Slots())
    assert {entry.name for entry in pools["shared"].limit_entries()} == {
        "instance:acme-shared",
        "service:orders",
        "route:orders/list",
    }
