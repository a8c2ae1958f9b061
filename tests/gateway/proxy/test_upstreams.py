"""Several targets behind a real worker: one dies, nobody sees it, it returns by itself (L9, L10, L11)."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.data_plane import Raw, WorkerProcess, instance, service, worker
from tests.gateway.proxy.origins import OK, Origin, answering, naming, origin_of, read_head, silent_after
from tests.node import free_port, until


def targets(*ports: int, weights: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    return [
        {"url": f"http://127.0.0.1:{port}", "weight": weights[at] if weights else 1, "network": "vpc"}
        for at, port in enumerate(ports)
    ]


def group(id: str, *ports: int, weights: tuple[int, ...] = (), **upstream: Any) -> dict[str, Any]:
    return service(id, 0, upstream={"targets": targets(*ports, weights=weights), **upstream})


def request(path: str, method: str = "GET") -> bytes:
    content = b"Content-Length: 0\r\n" if method == "POST" else b""
    return b"%b %b HTTP/1.1\r\nHost: x\r\n%b\r\n" % (method.encode(), path.encode(), content)


def get(running: WorkerProcess, path: str, method: str = "GET") -> tuple[int, bytes]:
    with Raw(running.port) as client:
        status, _, content = client.send(request(path, method)).answer()
    return status, content


@pytest.fixture
def three() -> Iterator[list[Origin]]:
    with ExitStack() as stack:
        yield [stack.enter_context(origin_of(naming(name))) for name in "abc"]


def test_each_target_gets_its_weight_exactly(tmp_path: Path, three: list[Origin]) -> None:
    ports = [origin.port for origin in three]
    with worker(tmp_path, group("s", *ports, weights=(5, 2, 1))) as running, Raw(running.port) as client:
        names = [client.send(request("/s/x")).answer()[2] for _ in range(8 * 40)]
    assert Counter(names) == {b"a": 200, b"b": 80, b"c": 40}


def test_one_client_stays_with_one_target_over_workers_and_restarts(tmp_path: Path, three: list[Origin]) -> None:
    ports = [origin.port for origin in three]
    with worker(tmp_path, group("s", *ports, balance="client_hash")) as running:
        before = {get(running, "/s/x")[1] for _ in range(20)}
        running.kill()
        running.start()
        assert {get(running, "/s/x")[1] for _ in range(20)} == before
        assert len(before) == 1


def test_the_least_busy_target_is_taken(tmp_path: Path) -> None:
    gate = threading.Event()

    def slow(connection: socket.socket) -> None:
        while read_head(connection):
            gate.wait(20)
            connection.sendall(OK)

    with (
        origin_of(slow) as busy,
        origin_of(naming("free")) as free,
        worker(tmp_path, group("s", busy.port, free.port, balance="least_outstanding")) as running,
        ExitStack() as clients,
    ):
        waiting = [clients.enter_context(Raw(running.port)).send(request("/s/x")) for _ in range(2)]
        until(lambda: busy.connections, "one of them is at the busy target")
        assert {get(running, "/s/x")[1] for _ in range(10)} == {b"free"}
        gate.set()
        assert {client.answer()[0] for client in waiting} == {200}


class Load:
    """Clients that send requests until told to stop; every answer is kept."""

    def __init__(self, port: int, path: str, clients: int, pause_s: float = 0.0) -> None:
        self._pause_s = pause_s
        self.statuses: Counter[int] = Counter()
        self.names: Counter[bytes] = Counter()
        self._port, self._path = port, path
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def _run(self) -> None:
        while not self._stop.is_set():
            with Raw(self._port) as client:
                for _ in range(50):
                    status, _, content = client.send(request(self._path)).answer()
                    self.statuses[status] += 1
                    self.names[content] += 1
                    if self._stop.wait(self._pause_s) or status == 0:
                        break

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def answered(self, more: int) -> None:
        """Waits for so many answers from here on."""
        goal = self.statuses.total() + more
        until(lambda: self.statuses.total() >= goal, f"{more} more answers")


@pytest.mark.parametrize("balance", ["round_robin", "least_outstanding"])
def test_a_target_that_dies_under_load_costs_no_request_and_returns_by_itself(
    tmp_path: Path, three: list[Origin], balance: str
) -> None:
    """It dies with connections at rest and under way, stays away, and comes back at the same address."""
    ports = [origin.port for origin in three]
    with (
        worker(tmp_path, group("s", *ports, balance=balance, eject=0.5)) as running,
        Load(running.port, "/s/x", clients=6) as load,
    ):
        load.answered(300)
        three[1].stop()
        news = json.loads(running.channel_line())
        assert news == {"at": "ejected", "service": "s", "target": f"http://127.0.0.1:{ports[1]}"}
        load.names.clear()
        load.answered(300)
        assert load.names[b"b"] == 0
        three[1].start()
        assert json.loads(running.channel_line())["at"] == "returned"
        load.names.clear()
        load.answered(300)
        assert load.names[b"b"] > 50
    assert set(load.statuses) == {200}


def test_a_connect_failure_is_retried_for_any_method(tmp_path: Path) -> None:
    with (
        origin_of(answering()) as origin,
        worker(tmp_path, group("s", free_port(), origin.port)) as running,
    ):
        assert {get(running, "/s/x", method)[0] for method in ["GET", "POST"] * 10} == {200}


def test_what_was_sent_is_sent_again_only_where_that_is_safe(tmp_path: Path) -> None:
    def hang_up(connection: socket.socket) -> None:
        read_head(connection)

    with (
        origin_of(hang_up) as rude,
        origin_of(naming("good")) as good,
        # Five failures in a row would eject: three of each are below that.
        worker(tmp_path, group("safe", rude.port, good.port), group("unsafe", rude.port, good.port)) as running,
    ):
        assert [get(running, "/safe/x")[0] for _ in range(6)] == [200] * 6
        assert sorted(get(running, "/unsafe/x", "POST")[0] for _ in range(6)) == [200, 200, 200, 502, 502, 502]


def test_an_answer_that_is_late_is_not_asked_for_again(tmp_path: Path) -> None:
    timeouts = {"connect": 1.0, "response": 0.3, "idle": 5.0}
    with (
        origin_of(silent_after(b"")) as one,
        origin_of(silent_after(b"")) as other,
        worker(tmp_path, group("s", one.port, other.port, timeouts=timeouts)) as running,
    ):
        assert get(running, "/s/x")[0] == 504
        assert len(one.peers) + len(other.peers) == 1


def test_a_target_that_takes_no_connection_in_time_is_passed_over(tmp_path: Path) -> None:
    """A full accept queue swallows dials: the connect deadline is retried elsewhere, and 504 when there is none."""
    with socket.socket() as full, ExitStack() as fillers:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        for _ in range(8):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        timeouts = {"connect": 0.6, "response": 5.0, "idle": 5.0}
        with (
            origin_of(answering()) as good,
            worker(
                tmp_path,
                group("both", port, good.port, timeouts=timeouts),
                group("alone", port, timeouts=timeouts, retries=0),
            ) as running,
        ):
            assert [get(running, "/both/x", method)[0] for method in ("GET", "POST", "GET", "POST")] == [200] * 4
            assert get(running, "/alone/x")[0] == 504


def test_a_dead_service_gets_no_more_retries_than_its_budget(tmp_path: Path) -> None:
    """Each answer is 502; dials at the target are the requests and a bounded number of retries on top."""
    accepted = 0

    def hang_up(connection: socket.socket) -> None:
        nonlocal accepted
        if read_head(connection):
            accepted += 1

    sent = 600
    with (
        origin_of(hang_up) as origin,
        worker(tmp_path, group("s", origin.port, retries=3)) as running,
        Raw(running.port) as client,
    ):
        for _ in range(sent):
            assert client.send(request("/s/x")).answer()[0] == 502
        until(lambda: accepted == len(origin.peers), "the origin has seen what was sent")
        assert running.counts()["s"]["calls"] == sent
    assert sent + 100 <= accepted <= sent + 0.2 * sent + 100 + 1


def test_probes_may_take_all_and_the_answer_is_503(tmp_path: Path, three: list[Origin]) -> None:
    ports = [origin.port for origin in three[:2]]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    with worker(tmp_path, group("s", *ports)) as running:
        running.tell({"do": "targets", "down": [["s", urls[0]]]})
        until(lambda: {get(running, "/s/x")[1] for _ in range(6)} == {b"b"}, "one is left")
        running.tell({"do": "targets", "down": [["s", url] for url in urls]})
        until(lambda: get(running, "/s/x")[0] == 503, "none is left")
        # A snapshot that changes a target does not forget what the probes found.
        changed = [{"url": url, "weight": 2, "network": "internet"} for url in urls]
        running.apply([service("s", 0, upstream={"targets": changed})], {"one": instance()})
        status, content = get(running, "/s/x")
        assert (status, json.loads(content)["type"]) == (503, "urn:tollgate:no_healthy_target")
        running.tell({"do": "targets", "down": []})
        until(lambda: get(running, "/s/x")[0] == 200, "all are back")


def test_the_only_target_is_not_asked_while_the_probes_find_it_down(tmp_path: Path, three: list[Origin]) -> None:
    """Neither by requests known by heart, where nothing is chosen any more, nor by one that waited meanwhile."""
    port = three[0].port
    down = [[id, f"http://127.0.0.1:{port}"] for id in ("s", "waits")]
    waits = service("waits", port, limit={"slot": 1, "qps": 1}, wait_ms_max=60_000)
    with worker(tmp_path, group("s", port), waits) as running, Raw(running.port) as client, ExitStack() as stack:
        assert {client.send(request("/s/x")).answer()[0] for _ in range(8)} == {200}
        waiting = [stack.enter_context(Raw(running.port)).send(request("/waits/x")) for _ in range(5)]
        running.tell({"do": "targets", "down": down})
        until(lambda: client.send(request("/s/x")).answer()[0] == 503, "the news is heard")
        assert 503 in [one.answer()[0] for one in waiting]
        running.tell({"do": "targets", "down": []})
        until(lambda: client.send(request("/s/x")).answer()[0] == 200, "it is back")


def test_a_worker_can_be_told_that_many_targets_are_down(tmp_path: Path, three: list[Origin]) -> None:
    ports = [origin.port for origin in three[:2]]
    with worker(tmp_path, group("s", *ports)) as running:
        many = [["another", f"http://192.0.2.1:{port}/{'x' * 80}"] for port in range(3000)]
        running.tell({"do": "targets", "down": [*many, ["s", f"http://127.0.0.1:{ports[0]}"]]})
        until(lambda: {get(running, "/s/x")[1] for _ in range(4)} == {b"b"}, "the list is heard")


def test_a_target_has_a_bound_on_its_connections(tmp_path: Path) -> None:
    gate = threading.Event()

    def slow(connection: socket.socket) -> None:
        while read_head(connection):
            gate.wait(20)
            connection.sendall(OK)

    with (
        origin_of(slow) as origin,
        worker(tmp_path, group("s", origin.port, connections_max=2)) as running,
        ExitStack() as clients,
    ):
        waiting = [clients.enter_context(Raw(running.port)).send(request("/s/x")) for _ in range(2)]
        until(lambda: len(origin.connections) == 2, "both are under way")
        status, content = get(running, "/s/x")
        assert (status, json.loads(content)["detail"]) == (503, "the target has 2 connections, its most")
        gate.set()
        assert {client.answer()[0] for client in waiting} == {200}
        assert get(running, "/s/x")[0] == 200
        assert len(origin.peers) == 2


def test_connections_at_rest_expire(tmp_path: Path) -> None:
    with origin_of(answering()) as origin, worker(tmp_path, group("s", origin.port, pool_idle=0.5)) as running:
        for _ in range(10):
            assert get(running, "/s/x")[0] == 200
        assert len(origin.peers) == 1
        until(lambda: not origin.connections, "the resting connection has expired", 5)
        assert get(running, "/s/x")[0] == 200
        assert len(origin.peers) == 2


def test_the_connection_that_rests_for_the_shortest_time_is_taken_first(tmp_path: Path) -> None:
    """So those that a burst left behind expire, and the upstream is least likely to have closed the one in use."""
    numbers = iter(range(10))
    gates = [threading.Event() for _ in range(3)]

    def numbered(connection: socket.socket) -> None:
        number = next(numbers)
        while read_head(connection):
            gates[number].wait(20)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)

    with (
        origin_of(numbered) as origin,
        worker(tmp_path, group("s", origin.port)) as running,
        ExitStack() as clients,
    ):
        waiting = []
        for count in range(1, 4):
            waiting.append(clients.enter_context(Raw(running.port)).send(request("/s/x")))
            until(lambda count=count: len(origin.connections) == count, "one more connection")
        for number in (2, 0, 1):  # 1 is the last to come to rest
            gates[number].set()
            assert waiting[number].answer()[2] == b"%d" % number
        assert [get(running, "/s/x")[1] for _ in range(5)] == [b"1"] * 5


def test_a_burst_finds_its_connections_again(tmp_path: Path) -> None:
    """However many were in use together rest: a pool that kept fewer would dial anew for each burst."""
    burst = 520
    together = threading.Barrier(burst)

    def at_once(connection: socket.socket) -> None:
        while read_head(connection):
            together.wait(20)
            connection.sendall(OK)

    with origin_of(at_once) as origin, worker(tmp_path, group("s", origin.port)) as running, ExitStack() as clients:
        asking = [clients.enter_context(Raw(running.port)) for _ in range(burst)]
        for _ in range(3):
            for client in asking:
                client.send(request("/s/x"))
            assert {client.answer()[0] for client in asking} == {200}
        assert len(origin.peers) == burst


def test_a_target_that_leaves_the_configuration_keeps_no_connection(tmp_path: Path, three: list[Origin]) -> None:
    old, new = three[0], three[1]
    with worker(tmp_path, group("s", old.port)) as running:
        assert get(running, "/s/x")[1] == b"a"
        running.apply([group("s", new.port)], {"one": instance()})
        until(lambda: not old.connections, "the resting connection is closed", 5)
        assert get(running, "/s/x")[1] == b"b"


def test_a_name_stands_for_all_its_addresses(tmp_path: Path) -> None:
    """localhost is 127.0.0.1, and ::1 where there is IPv6; only the former answers here."""
    with origin_of(answering()) as origin:
        item = {"url": f"http://localhost:{origin.port}", "weight": 1, "network": "vpc"}
        unknown = {"url": "http://nowhere.invalid", "weight": 1, "network": "internet"}
        with worker(
            tmp_path,
            service("s", 0, upstream={"targets": [item]}),
            service(
                "unknown", 0, upstream={"targets": [unknown], "timeouts": {"connect": 8.0, "response": 1, "idle": 1}}
            ),
        ) as running:
            assert get(running, "/s/x")[0] == 200
            assert get(running, "/unknown/x")[0] in (502, 504)  # 504 where the resolver itself is away


def test_upstreams_see_the_egress_address(tmp_path: Path) -> None:
    """L11. By address and by name."""
    with origin_of(answering()) as origin:
        named = {"url": f"http://localhost:{origin.port}", "weight": 1, "network": "vpc"}
        with worker(
            tmp_path,
            group("s", origin.port),
            service("named", 0, upstream={"targets": [named]}),
            one=instance(egress_ip="127.0.0.2"),
        ) as running:
            assert get(running, "/s/x")[0] == 200
            assert get(running, "/named/x")[0] == 200
    assert origin.peers == ["127.0.0.2", "127.0.0.2"]


def test_an_egress_address_that_is_not_ours_is_no_fault_of_the_target(tmp_path: Path) -> None:
    with (
        origin_of(answering()) as origin,
        worker(tmp_path, group("s", origin.port), one=instance(egress_ip="192.0.2.1")) as running,
    ):
        assert {get(running, "/s/x")[0] for _ in range(8)} == {502}
        assert origin.peers == []
