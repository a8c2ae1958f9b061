"""Two nodes and one store, as real processes: the second is refused, and who lost the store writes it no more."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from sqlalchemy import Engine, text

from gateway.control.node_id import data_id
from metering.database import open_engine, transaction
from tests.gateway.control.configuration import config_text, service
from tests.node import ROOT, Node, free_port, node, origin, until

TAKE_OVER = [sys.executable, "-c", "import sys; sys.argv.append('--take-over'); from gateway.main import main; main()"]


def configuration(url: str, name: str, **values: Any) -> tuple[str, dict[str, int]]:
    ports = {port: free_port() for port in ("shared", "dedicated", "admin")}
    text = config_text(**ports, **{"store": url, **values}).replace("name: node-1", f"name: {name}")
    return text, ports


@pytest.fixture
def store(url: str) -> Iterator[Engine]:
    engine = open_engine(url)
    yield engine
    engine.dispose()


def rows(store: Engine, query: str) -> list[Any]:
    with transaction(store) as connection:
        return list(connection.execute(text(query)).all())


def end(running: Node) -> None:
    """kill -9, the workers too."""
    running.process.kill()
    running.process.wait()
    for pid in running.worker_pids():
        os.kill(pid, signal.SIGKILL)


def refused(folder: Path, configuration: str, *arguments: str) -> str:
    """What a command says that ends with 1."""
    folder.mkdir(exist_ok=True)
    (folder / "tollgate.yaml").write_text(configuration)
    done = subprocess.run(
        [sys.executable, "-m", "gateway.main", *arguments, "-c", str(folder / "tollgate.yaml")],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_second_node_and_its_commands_are_refused_and_change_nothing(url: str, store: Engine, tmp_path: Path) -> None:
    first, ports = configuration(url, "n1")
    second, _ = configuration(url, "n2")
    # It has no dedicated instance: it would release the other's.
    second = second[: second.index("  - id: acme-dedicated")] + "services: []\n"
    with node(tmp_path / "one", first, ports["admin"]) as running:
        for arguments in (["serve"], ["usage"], ["bill"], ["top-up", "5.00"]):
            said = refused(tmp_path / "two", second, *arguments)
            assert "the store is another node's, which is alive: node n1 on " in said, arguments
            assert f"(pid {running.process.pid})" in said and "--take-over" in said
        assert running.call("GET", "/readyz")[0] == 200
        states = {one["id"]: one["serving"] for one in running.call("GET", "/v1/instances")[1]["items"]}
        assert states == {"acme-shared": True, "acme-dedicated": True}
        # Killed, it starts again at once: its data_dir's lock says that the one before is dead.
        end(running)
        running.restart()
        assert rows(store, "SELECT node, released_at FROM owner") == [("n1", None)]
    # It ended in order: whoever comes next need not wait.
    assert rows(store, "SELECT released_at IS NULL FROM owner")[0][0] in (0, False)
    third, ports = configuration(url, "n3")
    with node(tmp_path / "three", third, ports["admin"]) as running:
        assert running.call("GET", "/readyz")[0] == 200


def test_who_lost_the_store_writes_it_no_more_and_says_so(url: str, store: Engine, tmp_path: Path) -> None:
    with origin() as port, contextlib.ExitStack() as stack:
        first, ports = configuration(url, "n1", origin=port)
        one = stack.enter_context(node(tmp_path / "one", first, ports["admin"]))
        second, other_ports = configuration(url, "n2", origin=port)
        two = stack.enter_context(node(tmp_path / "two", second, other_ports["admin"], command=TAKE_OVER))
        until(lambda: one.call("GET", "/readyz")[0] == 503, "it is not ready")
        assert rows(store, "SELECT node FROM owner") == [("n2",)]
        log = one.log.read_text()
        assert log.count("the store was taken over by node n2 on ") == 1
        assert "tollgate_store_owned 0.0" in one.call("GET", "/metrics")[1]
        assert "tollgate_store_owned 1.0" in two.call("GET", "/metrics")[1]
        kept = (tmp_path / "one" / "data" / "services.json").exists()
        for method, path, document in (
            ("POST", "/v1/accounts/acme/top-ups", {"cash": "5.00"}),
            ("POST", "/v1/services", service("more")),
            ("GET", "/v1/usage", None),
        ):
            status, problem = one.call(method, path, document)
            assert (status, problem["code"]) == (503, "store_lost"), path
        assert (tmp_path / "one" / "data" / "services.json").exists() == kept
        # It serves on; what it counts is not lost, and does not go to the store.
        with urlopen(f"http://127.0.0.1:{ports['shared']}/orders/bytes/1", timeout=5) as answer:
            assert answer.status == 200
        one.stop()
        assert rows(store, "SELECT count(*) FROM counter WHERE writer LIKE 'n1:%' AND meter = 'calls'") == [(0,)]
        assert "what was counted last stays in" in one.log.read_text()
        assert one.log.read_text().count("Traceback") == 0
        assert two.call("GET", "/readyz")[0] == 200
        two.stop()
        # Once the other has ended, it starts, and what it counted is in the bill.
        one.restart()

        def is_counted() -> bool:
            found = one.call("GET", "/v1/usage")[1]["items"]
            return sum(row["calls"] for row in found) == 1

        until(is_counted, "what it counted meanwhile is collected")


def test_a_node_that_slept_finds_the_store_taken_and_commits_nothing(url: str, store: Engine, tmp_path: Path) -> None:
    first, ports = configuration(url, "n1")
    with node(tmp_path / "one", first, ports["admin"]) as one:
        one.process.send_signal(signal.SIGSTOP)
        # Long ago by the store's clock.
        with transaction(store) as connection:
            connection.execute(text("UPDATE owner SET beat_at = beat_at - 100"))
        second, other_ports = configuration(url, "n2")
        try:
            with node(tmp_path / "two", second, other_ports["admin"]):
                before = rows(store, "SELECT node, since, beat_at >= since FROM owner")
                assert before[0][0] == "n2"
                one.process.send_signal(signal.SIGCONT)
                until(lambda: "the store was taken over by node n2" in one.log.read_text(), "it noticed")
                assert rows(store, "SELECT node, since, beat_at >= since FROM owner") == before
        finally:
            one.process.send_signal(signal.SIGCONT)


def test_a_copy_of_a_data_dir_is_another_node(tmp_path: Path) -> None:
    made = data_id(tmp_path)
    assert data_id(tmp_path) == made
    shutil.copytree(tmp_path, tmp_path / "copy")
    assert data_id(tmp_path / "copy") != made
    assert data_id(tmp_path) == made
    for broken in (b"", b"[]", b'{"id": "x"}'):
        (tmp_path / "node.json").write_bytes(broken)
        assert data_id(tmp_path) == data_id(tmp_path) != made
