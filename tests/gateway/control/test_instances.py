"""Instances bought over the API with an entry: checked before they are paid, kept until they end."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from config.loading import load_settings
from gateway.control.errors import Refusal
from gateway.control.filter import Filter
from gateway.control.pools import pool_specs
from tests.gateway.admin.desk import DeskNode
from tests.gateway.control.configuration import config_text, service
from tests.node import free_port


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DeskNode]:
    made = DeskNode(tmp_path)
    yield made
    made.close()


def wish(port: int, id: str = "mine", **more: Any) -> dict[str, Any]:
    entry = [{"bind": f"127.0.0.1:{port}", "network": "vpc"}]
    where = {"spec": "dedicated-2500", "region": "ap-guangzhou", "entry": entry}
    return {"account": "acme", "id": id, **where, "price": "0.0001", **more}


def pools(node: DeskNode) -> dict[str, list[int]]:
    specs = pool_specs(node.store.follow_instances(), {}, node.files.limit_table)
    return {spec.pool: [entry.port for entry in spec.entries] for spec in specs}


def cash(node: DeskNode) -> str:
    return str(node.store.office.account("acme")["wallet"]["cash"])


def test_it_serves_with_an_entry_and_takes_services(node: DeskNode) -> None:
    port = free_port()
    assert node.store.office.buy_instance(wish(port), "k") == {"account": "acme", "id": "mine", "serving": True}
    assert pools(node)["mine"] == [port]
    node.store.office.add_service(service("own", instance="mine", qps=2500))
    [shown] = node.store.office.instances(Filter(instance="mine"))
    assert (shown["serving"], shown["entries"], shown["services"]) == (True, [f"127.0.0.1:{port}"], 1)


def test_it_is_there_after_a_restart_with_its_services(tmp_path: Path) -> None:
    port = free_port()
    with closing(DeskNode(tmp_path)) as node:
        node.store.office.buy_instance(wish(port), None)
        node.store.follow_instances()
        node.store.office.add_service(service("own", instance="mine"))
    with closing(DeskNode(tmp_path)) as node:
        assert pools(node)["mine"] == [port]
        assert [one.id for one in node.store.book.services()] == ["orders", "checkout", "own"]


def test_a_purchase_asked_twice_is_one(node: DeskNode) -> None:
    port = free_port()
    first = node.store.office.buy_instance(wish(port), "k")
    before = cash(node)
    assert node.store.office.buy_instance(wish(port), "k") == first
    assert cash(node) == before


def test_one_that_was_paid_and_not_written_down_is_served_when_asked_for_again(tmp_path: Path) -> None:
    """A crash between the two: the same request, with its key, ends what it began."""
    port = free_port()
    with closing(DeskNode(tmp_path)) as node:
        node.store.office.buy_instance(wish(port), "k")
    (tmp_path / "data" / "instances.json").unlink()
    with closing(DeskNode(tmp_path)) as node:
        assert "mine" not in pools(node)
        assert node.store.office.buy_instance(wish(port), "k")["serving"]
        assert pools(node)["mine"] == [port]


@pytest.mark.parametrize(
    ("change", "places"),
    [
        ({"entry": [{"bind": "127.0.0.1:18443"}]}, ["entry[0].bind"]),  # the file's dedicated instance has it
        ({"entry": [{"bind": "127.0.0.1:18081"}]}, ["entry[0].bind"]),  # the admin API
        ({"entry": [{"bind": "nowhere"}]}, ["entry[0].bind"]),
        ({"entry": []}, ["entry"]),
        ({"entry": [{"bind": "127.0.0.1:9", "tls": {"certificate": "no.pem", "key": "no.key"}}]},
         ["entry[0].tls.certificate"]),
        ({"qps": 2501}, ["qps"]),
        ({"body_max": "11GiB"}, ["body_max"]),
        ({"id": "acme-shared"}, ["id"]),
        ({"spec": "huge"}, ["spec"]),
        ({"entry": None, "qps": 5}, ["qps"]),
    ],
)  # fmt: skip
def test_what_could_not_be_served_is_not_paid(node: DeskNode, change: dict[str, Any], places: list[str]) -> None:
    before = cash(node)
    with pytest.raises(Refusal) as refusal:
        node.store.office.buy_instance(wish(free_port()) | change, None)
    assert refusal.value.code == "invalid"
    assert [fault.path for fault in refusal.value.faults] == places
    assert (cash(node), "mine" in pools(node)) == (before, False)


def test_an_address_that_another_program_has_is_named(node: DeskNode) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(Refusal) as refusal:
        node.store.office.buy_instance(wish(other.getsockname()[1]), None)
    [fault] = refusal.value.faults
    assert (fault.path, "in use" in fault.message) == ("entry[0].bind", True)


def test_what_cannot_be_paid_takes_no_address(node: DeskNode, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="needs a hold"):
        node.store.office.buy_instance(wish(free_port(), price="1.00"), None)
    assert "mine" not in pools(node)
    assert not (tmp_path / "data" / "instances.json").exists()


def test_a_released_one_leaves_its_address_and_its_services_wait(node: DeskNode) -> None:
    port = free_port()
    node.store.office.buy_instance(wish(port), None)
    pools(node)
    node.store.office.add_service(service("own", instance="mine"))
    node.store.office.release_instance("mine", None)
    assert "mine" not in pools(node)
    assert [one.id for one in node.store.book.services()] == ["orders", "checkout"]
    node.store.office.buy_instance(wish(port), None)
    assert pools(node)["mine"] == [port]
    assert [one.id for one in node.store.book.services()] == ["orders", "checkout", "own"]


def test_one_that_the_file_has_too_follows_the_file(node: DeskNode, tmp_path: Path) -> None:
    ours, files = free_port(), free_port()
    node.store.office.buy_instance(wish(ours), None)
    assert pools(node)["mine"] == [ours]
    entry = f'entry: [{{bind: "127.0.0.1:{files}"}}]'
    kind = "type: dedicated, spec: dedicated-2500, region: ap-guangzhou, charge: payg"
    line = f"  - {{id: mine, account: acme, {kind}, {entry}}}"
    (tmp_path / "tollgate.yaml").write_text(config_text().replace("services:\n", f"{line}\nservices:\n", 1))
    node.store.take_up(load_settings(tmp_path / "tollgate.yaml"))
    assert pools(node)["mine"] == [files]
    node.store.take_up(node.settings)
    assert pools(node)["mine"] == [ours]


def test_without_an_entry_it_waits_for_the_file_and_the_answer_says_so(node: DeskNode) -> None:
    asked = wish(0)
    del asked["entry"]
    assert node.store.office.buy_instance(asked, None)["serving"] is False
    assert "mine" not in pools(node)
