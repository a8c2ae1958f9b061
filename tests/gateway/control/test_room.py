"""What the tables have no room for is refused before it is kept, and a node that has too much starts all the same."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from config.catalog import load_catalog
from config.loading import load_settings, parse_service
from gateway.control import room, services
from gateway.control.errors import Refusal, StartError
from gateway.control.pools import SHARED, pool_specs
from gateway.control.room import LIMITS_MAX, QUOTAS_MAX, Need, Room
from gateway.control.snapshot import compile_snapshots, limits_in
from gateway.control.snapshot_files import SnapshotFiles
from gateway.control.worker_process import targets_message
from gateway.limits.entry import LimitEntry
from gateway.limits.quota_table import QUOTAS
from gateway.limits.table import SLOTS
from tests.gateway.control.configuration import config_text, service, write_config
from tests.node import free_port, node, until

CATALOG = load_catalog()
KEY = {"id": "k1", "sha256": "0" * 64}
QUOTA = {"calls": 5, "per": "day"}


def with_routes(id: str, number: int) -> dict[str, Any]:
    return service(id, routes=[{"id": f"r{i}", "path": f"/r{i}", "qps": 1} for i in range(number)])


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="no limit of its own"),
        pytest.param({"qps": 10}, id="its own"),
        pytest.param({"qps": 300}, id="no stricter than its instance's"),
        pytest.param({"qps": 10, "routes": [{"id": "a", "path": "/a", "qps": 5}]}, id="a route's"),
        pytest.param({"qps": 10, "routes": [{"id": "a", "path": "/a", "qps": 10}]}, id="a route's that is no stricter"),
        pytest.param({"auth": {"type": "key", "keys": [{**KEY, "qps": 5}, {**KEY, "id": "k2"}]}}, id="a key's"),
        pytest.param({"auth": {"type": "key", "keys": [{**KEY, "qps": 5, "quota": QUOTA}]}}, id="a key's, and a quota"),
    ],
)
@pytest.mark.parametrize("instance", ["acme-shared", "acme-dedicated"])
def test_what_is_counted_is_what_a_snapshot_names(tmp_path: Path, more: dict[str, Any], instance: str) -> None:
    settings = load_settings(write_config(tmp_path))
    one = parse_service({**service("one", **more), "instance": instance}, settings, ())
    of = next(found for found in settings.instances if found.id == instance)
    named: list[LimitEntry] = []
    for pool in compile_snapshots(settings, CATALOG, [one], {}, lambda pool, name: 0).values():
        named += [entry for entry in pool.limit_entries() if entry.service == "one"]
    quotas = sum(entry.is_quota for entry in named)
    assert limits_in(one, of, CATALOG) == (len(named) - quotas, quotas)


@pytest.mark.parametrize(
    ("needs", "code"),
    [
        (Need(LIMITS_MAX, QUOTAS_MAX, room.SERVICES_MAX), None),
        (Need(LIMITS_MAX + 1), "limit_slots"),
        (Need(quotas=QUOTAS_MAX + 1), "quota_slots"),
        (Need(services=room.SERVICES_MAX + 1), "service_slots"),
    ],
)
def test_a_pool_takes_so_much(needs: Need, code: str | None) -> None:
    excess = needs.excess()
    assert (excess and excess[0]) == code


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """`acme-shared`, `orders` and its route are 3 of 8."""
    monkeypatch.setattr(room, "LIMITS_MAX", 8)


@pytest.mark.usefixtures("small")
def test_a_service_that_does_not_fit_is_refused_and_not_kept(tmp_path: Path) -> None:
    settings = load_settings(write_config(tmp_path))
    book = services.ServiceBook(tmp_path / "data", settings, CATALOG)
    book.load(settings, CATALOG)
    book.add(with_routes("fits", 5))
    kept = (tmp_path / "data" / "services.json").read_bytes()
    for change in (lambda: book.add(with_routes("more", 1)), lambda: book.change("fits", with_routes("fits", 6))):
        with pytest.raises(Refusal, match=r"pool shared has room for 8 limits .* not for 9") as refused:
            change()
        assert refused.value.code == "limit_slots"
    assert (tmp_path / "data" / "services.json").read_bytes() == kept
    book.change("fits", with_routes("fits", 4))
    book.add(with_routes("more", 1))


@pytest.mark.usefixtures("small")
def test_another_pool_has_its_own_room(tmp_path: Path) -> None:
    settings = load_settings(write_config(tmp_path))
    book = services.ServiceBook(tmp_path / "data", settings, CATALOG)
    book.load(settings, CATALOG)
    book.add({**with_routes("d", 7), "instance": "acme-dedicated"})
    with pytest.raises(Refusal):
        book.add({**with_routes("e", 1), "instance": "acme-dedicated"})


@pytest.mark.usefixtures("small")
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    text = config_text().replace("  - {id: checkout", routes_of_a_file(6) + "  - {id: checkout")
    (tmp_path / "tollgate.yaml").write_text(text)
    with pytest.raises(StartError, match="pool shared has room for 8 limits"):
        Room().require_file(load_settings(tmp_path / "tollgate.yaml"), CATALOG)


def routes_of_a_file(number: int) -> str:
    return "".join(f"      - {{id: x{i}, path: /x{i}, qps: 1}}\n" for i in range(number))


def test_a_table_has_room_for_a_snapshot_the_one_before_and_the_next(
    tmp_path: Path,
) -> None:
    """Full ones without a name in common, of quotas too, which had as many slots as limits in the book."""
    assert LIMITS_MAX * 3 <= SLOTS and QUOTAS_MAX * 3 <= QUOTAS
    files = SnapshotFiles(tmp_path)
    files._quota_registry("shared")._most = 3
    assert sorted(files.slot_of("shared", f"quota:s/{number}") for number in range(3)) == [0, 1, 2]
    with pytest.raises(ValueError, match="more than 3"):
        files.slot_of("shared", "quota:s/4")
    assert files._quota_registries["shared"]._table.words.shape == (QUOTAS,)  # type: ignore[attr-defined]
    files.close()


SMALL_NODE = "import sys; from gateway.control import room; room.LIMITS_MAX = {}; from gateway.main import main; main()"


def test_a_node_refuses_what_does_not_fit_and_starts_with_what_does(tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("shared", "dedicated", "admin")}
    text = config_text(**ports)
    command = [sys.executable, "-c", SMALL_NODE.format(8)]
    with node(tmp_path, text, ports["admin"], command=command) as running:
        assert running.call("POST", "/v1/services", with_routes("fits", 3))[0] == 201
        status, problem = running.call("POST", "/v1/services", with_routes("more", 3))
        assert (status, problem["code"]) == (409, "limit_slots")
        assert "8 limits" in problem["detail"]
        assert running.call("POST", "/v1/services", with_routes("small", 1))[0] == 201
        assert running.call("GET", "/readyz")[0] == 200

        running.config.write_text(text.replace("  - {id: checkout", routes_of_a_file(6) + "  - {id: checkout"))
        running.process.send_signal(signal.SIGHUP)
        until(lambda: "is not taken up: services: pool shared has room" in running.log.read_text(), "it is said", 10)
        assert "Traceback" not in running.log.read_text()
        listed = {one["id"]: one for one in running.call("GET", "/v1/services")[1]["items"]}
        assert listed.keys() == {"orders", "checkout", "fits", "small"}
        assert len(listed["orders"]["routes"]) == 2

        # What is on the disk is over the bound: of a version that had a wider one.
        running.config.write_text(text)
        running.stop()
        running._command = [sys.executable, "-c", SMALL_NODE.format(5)]
        running.restart()
        listed = {one["id"]: one["not_served"] for one in running.call("GET", "/v1/services")[1]["items"]}
        assert {id for id, reason in listed.items() if reason is None} == {"orders", "checkout", "small"}
        assert "5 limits" in listed["fits"]
        assert "not served: services.json: fits: pool shared has room for 5 limits" in running.log.read_text()
        kept = json.loads((tmp_path / "data" / "services.json").read_bytes())["services"]
        assert {one["id"] for one in kept} == {"fits", "small"}
        assert running.call("DELETE", "/v1/services/fits")[0] == 204


def test_the_list_of_targets_that_are_down_fits_into_a_line(caplog: pytest.LogCaptureFixture) -> None:
    few = [("orders", "http://127.0.0.1:1")]
    assert targets_message(few) == {"do": "targets", "down": few}
    many = [(f"s{number}", f"http://10.0.0.1:1/{'x' * 2000}") for number in range(10_000)]
    line = json.dumps(targets_message(many), separators=(",", ":"))
    assert 15 * 1024 * 1024 < len(line) < 16 * 1024 * 1024
    assert "of the 10000 targets" in caplog.text


def test_workers_that_could_not_be_started_are_refused_before_any_is(tmp_path: Path) -> None:
    """The system passes on 128 KiB; without the check every start fails, for ever."""
    settings = load_settings(write_config(tmp_path))
    many = tuple(f"10.{number >> 8}.{number & 255}.0/24" for number in range(10_000))
    specs = pool_specs(settings.model_copy(update={"trusted_proxies": many}), {}, lambda pool: tmp_path / pool)
    with pytest.raises(StartError, match=r"workers of shared .* trusted_proxies"):
        next(spec for spec in specs if spec.pool == SHARED).require_startable()
    for spec in pool_specs(settings, {}, lambda pool: tmp_path / pool):
        spec.require_startable()
