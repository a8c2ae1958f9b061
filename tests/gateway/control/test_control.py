"""A whole node: what it takes up, what it refuses, how it ends. Real processes throughout."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.control.configuration import config_text, service
from tests.gateway.data_plane import Raw
from tests.node import Node, free_port, node, origin, until

ORDERS = "/orders/bytes/1"


class Running:
    """A node with its ports, and what its clients see."""

    def __init__(self, node: Node, ports: dict[str, int]) -> None:
        self.node = node
        self.ports = ports

    def get(self, path: str, entry: str = "shared") -> int:
        """The status; 0 when there is no answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[entry]}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def write(self, **values: Any) -> None:
        self.node.config.write_text(config_text(**self.ports, **values))

    def write_text(self, old: str, new: str, **values: Any) -> None:
        text = config_text(**self.ports, **values)
        assert old in text
        self.node.config.write_text(text.replace(old, new))

    def hang_up(self) -> None:
        self.node.process.send_signal(signal.SIGHUP)

    def log(self) -> str:
        return self.node.log.read_text()


@pytest.fixture(scope="module")
def origin_port() -> Iterator[int]:
    with origin() as port:
        yield port


@contextmanager
def start(folder: Path, origin_port: int, **values: Any) -> Iterator[Running]:
    ports = {name: free_port() for name in ("shared", "dedicated", "admin")}
    ports["origin"] = origin_port
    with node(folder, config_text(**ports, **values), ports["admin"]) as running:
        yield Running(running, ports)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, origin_port: int) -> Iterator[Running]:
    with start(tmp_path_factory.mktemp("node"), origin_port) as running:
        yield running


def extra(running: Running, id: str, **more: Any) -> dict[str, Any]:
    upstream = {"targets": [{"url": f"http://127.0.0.1:{running.ports['origin']}"}]}
    return service(id, **{"upstream": upstream, **more})


def test_a_service_added_over_the_api_is_live_when_the_answer_comes(running: Running) -> None:
    """On both workers: many connections meet both."""
    assert running.node.call("POST", "/v1/services", extra(running, "extra"))[0] == 201
    assert {running.get("/extra/head") for _ in range(20)} == {200}
    assert running.node.call("DELETE", "/v1/services/extra")[0] == 204
    assert {running.get("/extra/head") for _ in range(20)} == {404}


def test_a_good_file_is_taken_up_on_hang_up_and_api_services_stay(running: Running) -> None:
    assert running.node.call("POST", "/v1/services", extra(running, "kept"))[0] == 201
    before = running.node.worker_pids()
    running.write_text("  - id: orders\n", "  - id: orders\n    path: /renamed\n")
    running.hang_up()
    until(lambda: running.get("/renamed/bytes/1") == 200, "the new path is served", 5)
    assert running.get(ORDERS) == 404
    assert running.get("/kept/head") == 200
    assert running.node.worker_pids() == before
    running.write()
    running.hang_up()
    until(lambda: running.get(ORDERS) == 200, "the old path is served again", 5)
    running.node.call("DELETE", "/v1/services/kept")


def test_a_bad_file_changes_nothing_and_every_fault_is_logged(running: Running) -> None:
    running.write_text("  - id: orders\n", "  - id: orders\n    colour: blue\n    wait_ms_max: -1\n")
    running.hang_up()
    until(lambda: "services[0].colour: unknown key" in running.log(), "the fault is in the log", 5)
    assert "services[0].wait_ms_max" in running.log()
    assert running.get(ORDERS) == 200
    assert "tollgate_config_last_reload_good 0.0" in running.node.call("GET", "/metrics")[1]
    running.write()
    running.hang_up()
    until(lambda: "last_reload_good 1.0" in running.node.call("GET", "/metrics")[1], "the good file is taken up", 5)


@pytest.mark.parametrize("line", ["x: 2024-99-99", "? {a: 1}\n: 2", "x: " + "9" * 5000])
def test_a_file_that_cannot_be_read_at_all_changes_nothing(running: Running, line: str) -> None:
    """What YAML's reader stumbles over is no end of the node."""
    told = running.log().count("is not taken up")
    running.node.config.write_text(config_text(**running.ports) + line + "\n")
    running.hang_up()
    until(lambda: running.log().count("is not taken up") > told, "it is said", 5)
    assert running.get(ORDERS) == 200
    assert "tollgate_config_last_reload_good 0.0" in running.node.call("GET", "/metrics")[1]
    running.write()
    running.hang_up()
    until(lambda: "last_reload_good 1.0" in running.node.call("GET", "/metrics")[1], "the good file is taken up", 5)


def test_an_entry_that_is_taken_by_another_program_is_refused_on_hang_up(running: Running) -> None:
    before = running.node.worker_pids()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        running.node.config.write_text(config_text(**{**running.ports, "dedicated": port}))
        running.hang_up()
        until(lambda: f"cannot listen on 127.0.0.1:{port}" in running.log(), "the reason is logged", 5)
    running.write()
    running.hang_up()
    until(lambda: "last_reload_good 1.0" in running.node.call("GET", "/metrics")[1], "the good file is taken up", 5)
    assert running.node.worker_pids() == before
    assert running.get("/checkout/head", "dedicated") == 200


def test_a_second_node_on_the_same_data_dir_is_refused(running: Running) -> None:
    arguments = [sys.executable, "-m", "gateway.main", "serve", "-c", str(running.node.config)]
    second = subprocess.run(arguments, capture_output=True, text=True, timeout=30)
    assert second.returncode == 1
    assert f"in use by another control process (pid {running.node.process.pid})" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_dead_worker_shows_in_the_metrics_and_not_in_the_readiness(running: Running) -> None:
    os.kill(running.node.worker_pids("shared")[0], signal.SIGKILL)
    assert running.node.call("GET", "/readyz")[0] == 200
    until(
        lambda: 'tollgate_worker_restarts_total{pool="shared"} 1.0' in running.node.call("GET", "/metrics")[1],
        "the restart is counted",
        5,
    )
    until(lambda: len(running.node.worker_pids("shared")) == 2, "the pool is whole again", 5)


def test_a_restart_over_the_api_and_one_by_signal_replace_every_worker(running: Running) -> None:
    before = running.node.worker_pids()
    status, node = running.node.call("POST", "/v1/workers/restart")
    assert status == 200
    fresh = {slot["pid"] for slots in node["pools"].values() for slot in slots}
    assert len(fresh) == 3
    assert not fresh & set(before)
    until(lambda: set(running.node.worker_pids()) == fresh, "the old workers have drained", 10)
    running.node.process.send_signal(signal.SIGUSR2)
    until(
        lambda: len(running.node.worker_pids()) == 3 and not set(running.node.worker_pids()) & fresh,
        "the signal replaces them again",
        20,
    )
    assert running.get("/checkout/head", "dedicated") == 200


def test_the_admin_token_is_made_for_its_owner_only(tmp_path: Path, origin_port: int) -> None:
    environment = {**os.environ, "TOLLGATE_ADMIN_TOKEN": ""}
    ports = {name: free_port() for name in ("shared", "dedicated", "admin")}
    config = tmp_path / "tollgate.yaml"
    config.write_text(config_text(**ports, origin=origin_port))
    arguments = [sys.executable, "-m", "gateway.main"]
    with subprocess.Popen([*arguments, "serve", "-c", str(config)], env=environment, stderr=subprocess.PIPE) as process:
        token = tmp_path / "data" / "admin.token"
        until(lambda: token.exists() and token.read_text().endswith("\n"), "the token is made", 20)
        assert token.stat().st_mode & 0o777 == 0o600
        until(lambda: (tmp_path / "data" / "run" / "workers").is_dir(), "workers start", 20)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0, errors.decode()
        assert b"Traceback" not in errors


def test_an_account_that_does_not_pay_is_refused_on_every_worker_until_it_does(
    tmp_path: Path, origin_port: int
) -> None:
    """24 h of grace (B48) pass in 1.2 s: arrears with the first settled hour, suspended after it, back by a top-up."""
    with start(tmp_path, origin_port, rate=72000, cash="0.51") as running:
        until(lambda: running.get("/checkout/head", "dedicated") == 402, "the account is suspended", 20)
        assert {running.get(ORDERS) for _ in range(20)} == {402}
        state = running.node.call("GET", "/v1/accounts/acme")[1]
        assert (state["state"], state["balance"][0]) == ("suspended", "-")
        assert running.node.call("POST", "/v1/accounts/acme/top-ups", {"cash": "100000.00"})[0] == 201
        assert {running.get(ORDERS) for _ in range(20)} <= {200, 429}


def test_a_stopped_node_has_drained_and_left_nothing_running(tmp_path: Path, origin_port: int) -> None:
    with start(tmp_path, origin_port) as running:
        pids = running.node.worker_pids()
        assert len(pids) == 3
        running.get(ORDERS)
        running.node.process.send_signal(signal.SIGTERM)
        assert running.node.process.wait(10) == 0
        assert running.node.worker_pids() == []
        assert running.get(ORDERS) == 0
        assert list((running.node.folder / "data" / "run" / "workers").iterdir()) == []
        assert list((running.node.folder / "data" / "counters").glob("*.ctr")) == [], "everything is in the store"


def test_a_node_stops_though_a_client_keeps_its_connection(tmp_path: Path, origin_port: int) -> None:
    """`docker stop` waits for 10 s: one idle browser must not use up the whole `drain`."""
    with start(tmp_path, origin_port, drain="30s") as running, Raw(running.ports["shared"]) as idle:
        assert idle.send(f"GET {ORDERS} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).answer()[0] == 200
        running.node.process.send_signal(signal.SIGTERM)
        assert idle.rest() == b""
        assert running.node.process.wait(8) == 0


def test_a_node_that_cannot_start_leaves_the_orphaned_workers_serving(tmp_path: Path, origin_port: int) -> None:
    with start(tmp_path, origin_port) as running:
        orphans = running.node.worker_pids()
        running.node.process.kill()
        running.node.process.wait()
        other = tmp_path / "other.yaml"
        arguments = [sys.executable, "-m", "gateway.main", "serve", "-c", str(other)]
        with socket.create_server(("127.0.0.1", 0)) as taken:
            other.write_text(config_text(**{**running.ports, "admin": taken.getsockname()[1]}))
            failed = subprocess.run(arguments, capture_output=True, text=True, timeout=30)
        assert failed.returncode == 1
        assert "the admin API cannot listen" in failed.stderr
        assert running.node.worker_pids() == orphans
        assert running.get("/checkout/head", "dedicated") == 200

        running.node.restart()
        until(lambda: not set(orphans) & set(running.node.worker_pids()), "the orphans have drained", 10)
        assert running.get("/checkout/head", "dedicated") == 200
