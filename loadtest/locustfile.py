"""Locust users for a shared and a dedicated instance; `tollgate loadtest compare` runs them, and so can you.

    locust -f loadtest/locustfile.py SharedUser DedicatedUser        then http://localhost:8089

Each user sends at a fixed pace, whatever the answers: what is offered does not fall because something is refused.
A refusal (429) has a line of its own and is no failure. How to start a node for it: loadtest/README.md.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import gevent
import websocket
from locust import FastHttpUser, LoadTestShape, constant_throughput, events, task

from loadtest.compare.counting import CountingPool, counting_socket
from loadtest.compare.recording import Recorder
from loadtest.compare.shapes import SHAPES, users_at

MIXES: Final = ("json", "mixed")
UPLOAD: Final = b"x" * (16 << 20)  # the cap of a shared instance, to the byte
DOWNLOAD_BYTES: Final = 10 << 20
MESSAGES, MESSAGE_BYTES = 5, 1024
SPAWN_RATE: Final = 1000.0  # users a second: a step is a step
_JSON, _LARGE, _SOCKET = 30, 1, 4  # of the mix, by weight
recorder = Recorder()


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _arguments(parser: Any) -> None:
    parser.add_argument("--shared-url", default="http://127.0.0.1:8080", help="entry of the shared instance")
    parser.add_argument("--dedicated-url", default="http://127.0.0.1:8443", help="entry of the dedicated instance")
    parser.add_argument("--mix", choices=MIXES, default="json", help="JSON only, or large ones and WebSockets too")
    parser.add_argument("--rate", type=float, default=10, help="requests a second of each user")
    parser.add_argument("--shape", choices=SHAPES, default="flat", help="how the number of users goes over time")
    parser.add_argument("--peak", type=int, default=0, help="users at the peak; 0: what is set as number of users")
    parser.add_argument("--shape-seconds", type=float, default=60, help="length of the shape")
    parser.add_argument("--start-at", type=float, default=0, include_in_web_ui=False, help="seconds of the epoch")
    parser.add_argument("--record", default="", include_in_web_ui=False, help="folder for what each process saw")


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def _write(environment: Any, **_: Any) -> None:
    folder = environment.parsed_options.record
    if folder and recorder.seconds:
        recorder.write(Path(folder) / f"{os.getpid()}.json")


class InstanceUser(FastHttpUser):
    """Sends to one instance, at its pace."""

    abstract = True
    instance = ""

    def __init__(self, environment: Any) -> None:
        self.host = getattr(environment.parsed_options, f"{self.instance}_url")
        self.client_pool = CountingPool(recorder, network_timeout=60.0, connection_timeout=60.0)
        super().__init__(environment)
        self._options = environment.parsed_options

    def wait_time(self) -> float:
        return float(constant_throughput(self._options.rate)(self))

    def on_start(self) -> None:
        # Users that are out of step offer an even rate; in step they would offer bursts.
        gevent.sleep(max(0.0, self._options.start_at - time.time()) + random.random() / self._options.rate)

    @task(_JSON)
    def small(self) -> None:
        self._request("json", "GET", "/json")

    @task(_LARGE)
    def upload(self) -> None:
        if self._options.mix == "mixed":
            self._request("upload 16 MiB", "POST", "/sink", UPLOAD)
        else:
            self.small()

    @task(_LARGE)
    def download(self) -> None:
        if self._options.mix == "mixed":
            self._request("download 10 MiB", "GET", f"/bytes/{DOWNLOAD_BYTES}")
        else:
            self.small()

    @task(_SOCKET)
    def talk(self) -> None:
        if self._options.mix == "mixed":
            self._talk()
        else:
            self.small()

    def _request(self, kind: str, method: str, path: str, content: Any = None) -> None:
        started_at = time.time()
        began = time.perf_counter()
        with self.client.request(
            method, f"/{self.instance}-api{path}", name=f"{self.instance} {kind}", data=content, catch_response=True
        ) as answer:
            taken_ms = (time.perf_counter() - began) * 1000
            recorder.add(kind, answer.status_code, started_at, taken_ms, getattr(answer, "error", None))
            if answer.status_code == 429:
                answer.request_meta["name"] += " refused"
                answer.success()

    def _talk(self) -> None:
        """A WebSocket: five messages there and back. What counts as its time is the handshake."""
        place = urlsplit(str(self.host))
        url = f"ws://{place.netloc}/{self.instance}-live/ws"
        started_at, began, status, fault = time.time(), time.perf_counter(), 0, None
        taken_ms = 0.0
        try:
            connected = counting_socket(recorder)
            connected.settimeout(30)
            connected.connect((place.hostname, place.port))
            talking = websocket.create_connection(url, socket=connected)
            status, taken_ms = talking.getstatus() or 0, (time.perf_counter() - began) * 1000
            for _ in range(MESSAGES):
                talking.send("m" * MESSAGE_BYTES)
                talking.recv()
            talking.close()
        except websocket.WebSocketBadStatusException as error:
            status = error.status_code
            connected.close()
        except (OSError, websocket.WebSocketException) as error:
            fault = error
        taken_ms = taken_ms or (time.perf_counter() - began) * 1000
        recorder.add("websocket", status if fault is None else 0, started_at, taken_ms, fault)
        name = f"{self.instance} websocket" + (" refused" if status == 429 else "")
        self.environment.events.request.fire(
            request_type="WS", name=name, response_time=taken_ms, response_length=0, exception=fault, context={}
        )


class SharedUser(InstanceUser):
    instance = "shared"


class DedicatedUser(InstanceUser):
    instance = "dedicated"


class Shape(LoadTestShape):
    """Users over time, by ``--shape``; in the web UI the number of users set there is its peak."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        assert self.runner is not None
        options: Any = self.runner.environment.parsed_options
        start_at = options.start_at
        passed_s = time.time() - start_at if start_at else time.perf_counter() - self.start_time
        users = users_at(options.shape, options.peak or options.num_users or 1, passed_s, options.shape_seconds)
        return None if users is None else (users, SPAWN_RATE)
