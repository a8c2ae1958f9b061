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


def calls_counted(running: Running) -> int:
    return sum(row["calls"] for row in running.node.call("GET", "/v1/usage?service=orders")[1]["items"])


def test_a_changed_data_dir_waits_for_the_next_start_and_no_call_is_lost(tmp_path: Path, origin_port: int) -> None:
    """With new workers, too: they count where the node collects."""
    with start(tmp_path, origin_port) as running:
        assert [running.get(ORDERS) for _ in range(10)] == [200] * 10
        before = running.node.worker_pids("shared")
        text = config_text(**running.ports).replace("data_dir: ./data", "data_dir: ./elsewhere")
        running.node.config.write_text(text.replace("drain: 2s", "drain: 1s"))
        running.hang_up()
        until(lambda: set(running.node.worker_pids("shared")).isdisjoint(before), "the workers are new ones", 10)
        assert [running.get(ORDERS) for _ in range(10)] == [200] * 10
        until(lambda: calls_counted(running) == 20, "every call is counted", 5)
        assert "node.data_dir is not taken up" in running.log()
        assert running.node.call("GET", "/v1/node")[1]["waiting_settings"] == ["node.data_dir"]
        assert "tollgate_config_waiting_settings 1.0" in running.node.call("GET", "/metrics")[1]
        assert not (tmp_path / "elsewhere").exists()


def test_a_data_dir_behind_a_link_is_where_the_link_led_at_the_start(tmp_path: Path, origin_port: int) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir(mode=0o700)
    (tmp_path / "data").symlink_to("one")
    with start(tmp_path, origin_port) as running:
        assert running.get(ORDERS) == 200
        (tmp_path / "data").unlink()
        (tmp_path / "data").symlink_to("two")
        running.write_text("drain: 2s", "drain: 1s")
        running.hang_up()
        until(lambda: "node.data_dir is not taken up" in running.log(), "it is said", 10)
        assert running.get(ORDERS) == 200
        until(lambda: calls_counted(running) == 2, "both calls are counted", 5)
        assert list((tmp_path / "two").iterdir()) == []
        (tmp_path / "data").unlink()
        (tmp_path / "data").symlink_to("one")


def shown(running: Running, name: str) -> float:
    """The sum of a metric's samples."""
    lines = running.node.call("GET", "/metrics")[1].splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


@pytest.mark.parametrize("name", ["tollgate_calls_total", "tollgate_request_duration_seconds_count"])
def test_metrics_go_on_where_they_were_whoever_was_killed(tmp_path: Path, origin_port: int, name: str) -> None:
    """Workers, whose files are archived then, and the control process, which begins anew with what it finds."""
    with start(tmp_path, origin_port) as running:
        for calls in (10, 20, 30):
            assert [running.get(ORDERS) for _ in range(10)] == [200] * 10
            until(lambda sent=calls: shown(running, name) == sent, f"{calls} are shown", 5)  # type: ignore[misc]
            os.kill(running.node.worker_pids("shared")[0], signal.SIGKILL)
            until(lambda: len(running.node.worker_pids("shared")) == 2, "it has a successor", 5)
            running.node.process.kill()
            running.node.process.wait()
            running.node.restart()
            assert shown(running, name) in (0.0, float(calls)), "never something in between"
            until(lambda sent=calls: shown(running, name) == sent, "as many as before", 5)  # type: ignore[misc]


def test_what_is_served_stays_served_when_the_file_leaves_it_no_place(tmp_path: Path, origin_port: int) -> None:
    """The reload fails and says why; a start lists it with the reason, until somebody acts."""
    with start(tmp_path, origin_port) as running:
        assert running.node.call("POST", "/v1/services", extra(running, "mine", qps=60))[0] == 201
        running.write_text("  - id: orders\n", "  - id: orders\n    path: /mine\n")
        running.hang_up()
        until(lambda: "services.json: mine: path" in running.log(), "the reason is in the log", 5)
        until(lambda: shown(running, "tollgate_config_last_reload_good") == 0, "the reload was not good", 5)
        assert (running.get("/mine/head"), running.get(ORDERS)) == (200, 200)

        running.node.process.send_signal(signal.SIGTERM)
        running.node.process.wait(15)
        running.node.restart()
        assert running.get("/mine/bytes/1") == 200, "the file's"
        (mine,) = [one for one in running.node.call("GET", "/v1/services")[1]["items"] if one["id"] == "mine"]
        assert "service orders" in mine["not_served"]
        assert shown(running, 'tollgate_not_served{kind="service"}') == 1

        status, changed = running.node.call("PUT", "/v1/services/mine", {**mine, "path": "/other"})
        assert (status, changed["not_served"]) == (200, None)
        assert running.get("/other/head") == 200
        assert shown(running, 'tollgate_not_served{kind="service"}') == 0
        assert running.node.call("PUT", "/v1/services/mine", changed)[0] == 200
