"""What is open does not outlive what allowed it: a snapshot that takes something away ends it, and nothing else."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.data_plane import Raw, WorkerProcess, instance, service, worker
from tests.gateway.proxy.origins import Origin, origin_of, read_head
from tests.node import until

APP = "https://app.example.com"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
CORS = {"methods": [], "headers": [], "expose": [], "credentials": False, "max_age": 1}
UPLOAD = 50_000
MORE = 100_000  # bytes of a download that come when the test says so
PATIENT = {"timeouts": {"connect": 5.0, "response": 60.0, "idle": 60.0}}  # so that nothing ends by itself
GRACE_S = 0.5  # the worker's `drain`, where a test waits for its end
Document = dict[str, Any]
Change = Callable[[Document, Document], None]  # of the service and its instance


def auth(*values: str, **changes: Any) -> Document:
    keys = [{"id": f"k{at}", "sha256": hashlib.sha256(value.encode()).hexdigest()} for at, value in enumerate(values)]
    return {"header": "X-Api-Key", "strip": True, "keys": keys} | changes


def base(id: str, port: int, **changes: Any) -> Document:
    """A service with every kind of check, all of which the client passes."""
    routes = [{"id": "all", "methods": ["GET", "POST"], "path": "/*", "limit": None}]
    return service(
        id,
        port,
        hosts=["api.test"],
        auth=auth("mine", "other"),
        allow=["127.0.0.0/8"],
        deny=["10.0.0.0/8"],
        cors=CORS | {"origins": [APP]},
        routes=routes,
        upstream=PATIENT,
        **changes,
    )


class Upstream:
    """Echoes in tunnels; begins downloads and goes on with them when told; answers `/never` never."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.silent = 0  # requests that wait for an answer

    def serve(self, connection: socket.socket) -> None:
        while head := read_head(connection):
            if b"Upgrade: websocket" in head:
                connection.sendall(SWITCH)
                while data := connection.recv(65_536):
                    connection.sendall(data)
                return
            if b"/never" in head:
                self.silent += 1
                connection.recv(1)
                return
            if b"/upload" in head:
                left = UPLOAD - len(head.partition(b"\r\n\r\n")[2])
                while left > 0:
                    left -= len(connection.recv(65_536))
            if b"/download" in head:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nbegin" % (5 + MORE))
                self.goes_on.wait(30)
                connection.sendall(bytes(MORE))
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class Scene:
    """A worker with a WebSocket service `ws` and an HTTP service `api`, both of instance `one`."""

    def __init__(self, running: WorkerProcess, upstream: Upstream, origin: Origin) -> None:
        self.running, self.upstream, self.origin = running, upstream, origin
        self.services = {
            "ws": base("ws", origin.port, protocol="websocket"),
            "api": base("api", origin.port),
            "beside": service("beside", origin.port, instance="two", upstream=PATIENT),
        }
        self.instances = {"one": instance(), "two": instance()}

    def apply(self) -> None:
        self.running.apply(list(self.services.values()), self.instances)

    def change(self, change: Change) -> None:
        for id in ("ws", "api"):
            change(self.services[id], self.instances["one"])
        self.services = {id: one for id, one in self.services.items() if one["path"] != "gone"}
        self.instances = {id: one for id, one in self.instances.items() if one["account"] != "gone"}
        self.apply()

    def client(self) -> Raw:
        return Raw(self.running.port)

    def open(self, client: Raw) -> Raw:
        """A tunnel that works."""
        assert client.send(request("/ws/x", "Connection: Upgrade", "Upgrade: websocket")).head()[0] == 101
        return self.echo(client)

    def echo(self, client: Raw) -> Raw:
        client.send(b"hello")
        assert client.file.read(5) == b"hello"
        return client

    def begin(self, client: Raw) -> Raw:
        """A download that is under way."""
        assert client.send(request("/api/download")).head()[0] == 200
        assert client.file.read(5) == b"begin"
        return client


def request(path: str, *fields: str, method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: api.test", "X-Api-Key: mine", f"Origin: {APP}", *fields, "", ""]
    return "\r\n".join(lines).encode()


@contextmanager
def scene(folder: Path, **options: Any) -> Iterator[Scene]:
    upstream = Upstream()
    with origin_of(upstream.serve) as origin, worker(folder, **options) as running:
        made = Scene(running, upstream, origin)
        made.apply()
        try:
            yield made
        finally:
            upstream.goes_on.set()


@pytest.fixture
def set_up(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path, drain_s=30.0) as made:
        yield made


@pytest.fixture
def hurried(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path, drain_s=GRACE_S) as made:
        yield made


def in_service(**changes: Any) -> Change:
    return lambda service, instance: service.update(changes)


def in_instance(**changes: Any) -> Change:
    return lambda service, instance: instance.update(changes)


def protocol_swapped(service: Document, instance: Document) -> None:
    service["protocol"] = "http" if service["protocol"] == "websocket" else "websocket"


def released(service: Document, instance: Document) -> None:
    """With its services, as billing and the file have it."""
    service["path"] = instance["account"] = "gone"


TAKEN = [
    pytest.param(in_service(auth=auth("other")), "unauthorized", id="the key is removed"),
    pytest.param(in_service(auth=auth("new", "other")), "unauthorized", id="the key is changed"),
    pytest.param(in_service(auth=auth("mine", header="X-Other")), "unauthorized", id="keys come in another field"),
    pytest.param(in_service(path="gone"), "no_route", id="the service is deleted"),
    pytest.param(in_service(path="/elsewhere"), "no_route", id="the service is at another path"),
    pytest.param(in_service(hosts=["other.test"]), "no_route", id="the service is at another host"),
    pytest.param(in_service(instance="two"), "no_route", id="the service is of another instance"),
    pytest.param(
        in_service(routes=[{"id": "all", "methods": [], "path": "/other", "limit": None}]),
        "no_route",
        id="the route is deleted",
    ),
    pytest.param(
        in_service(routes=[{"id": "all", "methods": ["PUT"], "path": "/*", "limit": None}]),
        "method_not_allowed",
        id="the method is no longer taken",
    ),
    pytest.param(in_service(deny=["127.0.0.1/32"]), "forbidden", id="the address is denied"),
    pytest.param(in_service(allow=["10.0.0.0/8"]), "forbidden", id="the address is no longer allowed"),
    pytest.param(in_instance(serving=False), "account_suspended", id="the account is suspended"),
    pytest.param(in_instance(account="other"), "no_route", id="the instance is another account's"),
    pytest.param(released, "no_route", id="the instance is released"),
]
ORIGIN = pytest.param(in_service(cors=CORS | {"origins": ["https://o.test"]}), "forbidden", id="the origin goes")
PROTOCOL = pytest.param(protocol_swapped, "no_route", id="the protocol is another")
KEPT = [
    pytest.param(lambda service, instance: None, id="nothing"),
    pytest.param(in_service(auth=auth("mine")), id="another's key"),
    pytest.param(in_service(auth=auth("other", "more", "mine")), id="a key more, and other ids"),
    pytest.param(in_service(auth=None), id="no key is asked for"),
    pytest.param(in_service(allow=[], deny=["192.0.2.0/24"]), id="other addresses"),
    pytest.param(in_service(cors=None), id="no origin is asked for"),
    pytest.param(in_service(routes=[]), id="other routes"),
    pytest.param(in_service(hosts=[]), id="any host"),
    pytest.param(in_service(limit={"slot": 0, "qps": 1}), id="a limit"),
    pytest.param(in_instance(body_max=1, log_share=0.5), id="the instance"),
]


@pytest.mark.parametrize("change, code", [*TAKEN, ORIGIN, PROTOCOL])
def test_a_tunnel_ends_at_once_with_what_allowed_it(set_up: Scene, change: Change, code: str) -> None:
    with set_up.client() as client:
        set_up.open(client)
        set_up.change(change)
        assert client.rest() == b""
    until(lambda: not set_up.origin.connections, "the upstream's side is closed")
    assert set_up.running.counts()["ws"]["websocket_connections"] == 1


@pytest.mark.parametrize("change, code", TAKEN)
def test_an_answer_under_way_is_cut_after_its_time(hurried: Scene, change: Change, code: str) -> None:
    with hurried.client() as client, hurried.client() as asking:
        hurried.begin(client)
        asking.send(request("/api/never"))
        until(lambda: hurried.upstream.silent, "both are upstream")
        hurried.change(change)
        _, fields, content = asking.answer()  # It was not answered yet, so it can be told.
        assert json.loads(content)["type"] == f"urn:tollgate:{code}"
        assert (fields["connection"], asking.rest()) == ("close", b"")
        assert client.rest() == b"", "less than its length says: cut short, visibly"
    until(lambda: len(hurried.origin.connections) == 1, "the upstream's side is closed")
    counts = hurried.running.counts()
    # Each was counted once, when it was let in.
    assert counts["api"]["calls"] == 2
    assert not any(name.startswith("frontend_error") for row in counts.values() for name in row)


@pytest.mark.parametrize("change, code", TAKEN[:1])
def test_an_exchange_that_ends_in_its_time_is_whole(set_up: Scene, change: Change, code: str) -> None:
    with set_up.client() as client:
        set_up.begin(client)
        set_up.change(change)
        set_up.upstream.goes_on.set()
        assert len(client.file.read(MORE)) == MORE
        # At rest it meets the rules of now.
        _, _, content = client.send(request("/api/x")).answer()
        assert json.loads(content)["type"] == f"urn:tollgate:{code}"


@pytest.mark.parametrize("change", KEPT)
def test_what_is_still_allowed_goes_on(hurried: Scene, change: Change) -> None:
    with hurried.client() as client, hurried.client() as download, hurried.client() as resting:
        assert resting.send(request("/api/x")).answer()[0] == 200
        hurried.open(client)
        hurried.begin(download)
        hurried.change(change)
        hurried.echo(client)
        # By a change that takes away what others have, which comes after the time of whatever was to be ended.
        with hurried.client() as other:
            other.send(request("/beside/never"))
            until(lambda: hurried.upstream.silent, "it is upstream")
            del hurried.services["beside"]
            hurried.apply()
            assert other.answer()[0] == 404
        hurried.echo(client)
        hurried.upstream.goes_on.set()
        assert len(download.file.read(MORE)) == MORE
        assert resting.send(request("/api/x")).answer()[0] in (200, 429)


def test_what_is_allowed_again_in_its_time_goes_on(hurried: Scene) -> None:
    with hurried.client() as download:
        hurried.begin(download)
        hurried.change(in_service(deny=["127.0.0.0/8"]))
        hurried.change(in_service(deny=[]))
        with hurried.client() as other:
            other.send(request("/beside/never"))
            until(lambda: hurried.upstream.silent, "it is upstream")
            del hurried.services["beside"]
            hurried.apply()
            assert other.answer()[0] == 404
        hurried.upstream.goes_on.set()
        assert len(download.file.read(MORE)) == MORE


@pytest.mark.parametrize("change", [in_instance(serving=False), released])
def test_nothing_is_billed_from_when_the_instance_may_not_serve(set_up: Scene, change: Change) -> None:
    """X15: an exchange that began before ends in its time, and its bytes are nobody's."""
    with set_up.client() as download, set_up.client() as upload:
        set_up.begin(download)
        upload.send(request("/api/upload", f"Content-Length: {UPLOAD}", method="POST") + bytes(10_000))
        until(lambda: set_up.running.counts()["api"].get("ingress", 0) > 10_000, "a part of it has come")
        set_up.change(change)
        before = set_up.running.counts()
        set_up.upstream.goes_on.set()
        assert len(download.file.read(MORE)) == MORE
        assert upload.send(bytes(UPLOAD - 10_000)).answer()[0] == 200
    after = set_up.running.counts()
    billed = [name for name in after["api"] if not name.startswith("duration") and not name.endswith(":wire")]
    assert {name: after["api"][name] for name in billed} == {name: before["api"].get(name, 0) for name in billed}
    assert after["api"]["egress:client:internet:application"] < MORE
    assert after["-"]["egress:client:internet:application"] >= MORE
    assert after["-"]["egress:backend:vpc:application"] >= UPLOAD - 10_000
    assert after["-"]["ingress"] >= UPLOAD - 10_000


def test_who_waits_for_capacity_is_told_at_once(tmp_path: Path) -> None:
    with scene(tmp_path) as made:
        made.services["api"] |= {"limit": {"slot": 0, "qps": 1}, "wait_ms_max": 20_000}
        made.apply()
        with made.client() as first, made.client() as second, made.client() as third:
            waiting = [client.send(request("/api/x")) for client in (first, second, third)]
            assert waiting[0].answer()[0] == 200
            until(lambda: made.running.counts()["api"].get("ingress", 0) > 200, "all have come")
            made.change(in_service(deny=["127.0.0.0/8"]))
            assert third.answer()[0] == 403


def test_a_handshake_under_way_is_no_tunnel_later(set_up: Scene) -> None:
    with set_up.client() as client:
        client.send(
            request("/ws/never", "Connection: Upgrade", "Upgrade: websocket").replace(b"websocket", b"WebSocket")
        )
        until(lambda: set_up.upstream.silent, "it is upstream")
        set_up.change(in_service(auth=auth("other")))
        assert client.answer()[0] == 401
    until(lambda: not set_up.origin.connections, "the upstream's side is closed")


def test_many_tunnels_end_and_others_are_served_meanwhile(set_up: Scene) -> None:
    clients = [set_up.client() for _ in range(200)]
    try:
        for client in clients:
            set_up.open(client)
        with set_up.client() as kept:
            kept.send(request("/ws/x", "Connection: Upgrade", "Upgrade: websocket").replace(b"mine", b"other"))
            assert kept.head()[0] == 101
            set_up.change(in_service(auth=auth("other")))
            assert all(client.rest() == b"" for client in clients)
            set_up.echo(kept)
    finally:
        for client in clients:
            client.close()


def test_the_log_says_why_a_tunnel_ended(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with scene(tmp_path, access_log=log) as made, made.client() as client:
        made.open(client)
        made.change(in_service(deny=["127.0.0.0/8"]))
        assert client.rest() == b""
        until(lambda: log.exists() and b"forbidden" in log.read_bytes(), "the line is written")
        assert json.loads(log.read_text().splitlines()[-1])["status"] == 101
