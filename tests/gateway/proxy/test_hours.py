"""Long exchanges over hour turns: what flows is counted in the hour in which it flows. An hour is two seconds here."""

from __future__ import annotations

import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from metering.cells import CALLS, INGRESS, METERS, WEBSOCKET_CONNECTIONS, counted_and_ended, egress_cell
from metering.clock import VirtualClock
from metering.counter_file import CounterFileError, CounterFileReader, row_cells, row_key
from metering.tcp_info import IS_MEASURED
from tests.gateway.data_plane import Raw, WorkerProcess, instance, service, worker
from tests.node import origin, until

RATE = 1800
BEGIN_HOUR = 472_222
TO_CLIENT = egress_cell("client", "internet", "application")
TO_CLIENT_WIRE = egress_cell("client", "internet", "wire")
TO_BACKEND = egress_cell("backend", "vpc", "application")
CONTENT = bytes(range(200)) * 5
FRAME = b"\x82\xfe\x03\xe8" + bytes(4) + CONTENT  # masked, binary
UPGRADE = (
    b"GET /socket/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Drip:
    """An upstream that answers with events, one at each call of `send`, as server-sent events are."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._connection: socket.socket | None = None
        self._accepted = threading.Event()
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            connection, _ = self._listening.accept()
            while b"\r\n\r\n" not in connection.recv(65_536):
                pass
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
            self._connection = connection
            self._accepted.set()

    def send(self, data: bytes) -> None:
        assert self._accepted.wait(10)
        assert self._connection is not None
        self._connection.sendall(data)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._listening.close()
        self._thread.join()


@pytest.fixture
def drip() -> Iterator[Drip]:
    made = Drip()
    yield made
    made.close()


@pytest.fixture
def running(tmp_path: Path, drip: Drip) -> Iterator[WorkerProcess]:
    clock = VirtualClock(RATE, time.time(), BEGIN_HOUR * 3600.0)
    with (
        origin() as upstream,
        worker(
            tmp_path,
            service("socket", upstream, protocol="websocket"),
            service("files", upstream),
            service("events", drip.port),
            clock=clock.parameters(),
            body_timeout=10.0,
        ) as made,
    ):
        yield made


def by_hour(running: WorkerProcess, service: str) -> dict[int, list[int]]:
    """A service's cells in each hour's file."""
    found = {}
    for path in (running.folder / "counters").glob("*.ctr"):
        with suppress(CounterFileError):  # One that is being made at this instant.
            reader = CounterFileReader(path)
            for _, raw in reader.row_bytes():
                if row_key(raw).service == service:
                    found[reader.hour] = row_cells(raw)
            reader.close()
    return found


def test_bytes_are_in_the_hours_in_which_they_flow(running: WorkerProcess, drip: Drip) -> None:
    """A WebSocket, an upload, a download and an event stream, each open over two hour turns and more."""
    size = 40_000_000
    with (
        Raw(running.port) as tunnel,
        Raw(running.port) as upload,
        Raw(running.port) as download,
        Raw(running.port) as events,
    ):
        assert tunnel.send(UPGRADE).head()[0] == 101
        upload.send(b"POST /files/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        download.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        download.send(b"GET /files/bytes/%d HTTP/1.1\r\nHost: x\r\n\r\n" % size)
        assert download.head()[0] == 200
        events.send(b"GET /events/ HTTP/1.1\r\nHost: x\r\n\r\n").head()
        uploaded = downloaded = frames = told = 0
        while not (len(by_hour(running, "socket")) >= 4 and frames >= 40):
            upload.send(bytes(1000))
            uploaded += 1000
            downloaded += len(download.file.read(100_000))
            tunnel.send(FRAME)
            assert tunnel.file.read(len(CONTENT) + 4)[4:] == CONTENT
            frames += 1
            drip.send(b"data: %060d\n\n" % told)
            assert b"data: %060d" % told in b"".join(events.file.readline() for _ in range(4))
            told += 1
            time.sleep(0.02)  # A pace, so that every hour has some of each.
            assert downloaded < size and uploaded < 1_000_000
        assert tunnel.send(b"\x88\x80" + bytes(4)).rest() != b"", "closed by a close frame"
        upload.send(bytes(1_000_000 - uploaded))
        assert len(upload.answer()[2]) == 1_000_000
        downloaded += len(download.file.read(size - downloaded))
        assert downloaded == size
        drip.close()
        events.rest()
    assert running.drain() == 0

    tunnel_hours, files_hours, event_hours = (by_hour(running, name) for name in ("socket", "files", "events"))
    inner = sorted(tunnel_hours)[:3]  # The hour of the last turn may be too young to have seen anything.
    for cell in (TO_CLIENT, TO_BACKEND, INGRESS, *([TO_CLIENT_WIRE] if IS_MEASURED else [])):
        for hours in (tunnel_hours, files_hours):
            assert all(hours[hour][cell] > 0 for hour in inner), METERS[cell]
    assert all(event_hours[hour][TO_CLIENT] > 0 for hour in inner)

    # Sums over the hours are what the client sent and read; each request is one, in the hour in which it was taken.
    assert sum(cells[WEBSOCKET_CONNECTIONS] for cells in tunnel_hours.values()) == 1
    assert sum(cells[INGRESS] for cells in tunnel_hours.values()) == len(UPGRADE) + frames * len(FRAME) + 6
    assert sum(cells[TO_CLIENT] for cells in files_hours.values()) == upload.bytes_read + download.bytes_read + size
    assert sum(cells[CALLS] for cells in files_hours.values()) == 2
    assert event_hours[inner[0]][CALLS] == sum(cells[CALLS] for cells in event_hours.values()) == 1
    if IS_MEASURED:
        for hours in (tunnel_hours, files_hours, event_hours):
            assert all(cells[TO_CLIENT_WIRE] >= cells[TO_CLIENT] for cells in hours.values()), "in each hour"

    # DESIGN 1.6, for each hour: what was counted and what ended differ by what was under way at its turns.
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    under_way = {}
    for path in (running.folder / "counters").glob("*.ctr"):
        reader = CounterFileReader(path)
        assert reader.is_sealed
        under_way[path.name] = reader.under_way
        for _, raw in reader.row_bytes():
            counted, ended = counted_and_ended(row_cells(raw))
            sums[path.name][0] += counted
            sums[path.name][1] += ended
        reader.close()
    for name, (counted, ended) in sums.items():
        assert counted + under_way[name][0] == ended + under_way[name][1], name
    assert max(after for _, after in under_way.values()) == 3, "the upload is no call before it is whole"


def newest_hour(running: WorkerProcess) -> int:
    return max(int(path.name.partition("-")[0]) for path in (running.folder / "counters").glob("*.ctr"))


def rows_now(running: WorkerProcess) -> dict[str, int]:
    """The numbers of the rows in the open hour's file, by service."""
    (newest,) = (running.folder / "counters").glob(f"{newest_hour(running)}-*.ctr")
    with suppress(CounterFileError):  # One that is being made at this instant.
        reader = CounterFileReader(newest)
        found = {row_key(raw).service: number for number, raw in reader.row_bytes()}
        reader.close()
        return found
    return {}


def test_a_service_that_is_gone_leaves_its_row_at_the_turn_once_nothing_of_it_is_under_way(tmp_path: Path) -> None:
    """Two services go, one with an answer under way: its bytes stay its own, and the other's row is a new one's."""
    clock = VirtualClock(RATE * 4, time.time(), BEGIN_HOUR * 3600.0)
    drip = Drip()
    with origin() as upstream, closing(drip):
        events = service("events", drip.port)
        b, c, d = (service(name, upstream) for name in "bcd")
        with worker(tmp_path, events, b, clock=clock.parameters(), drain_s=30.0) as running:
            with Raw(running.port) as listener, Raw(running.port) as client:
                listener.send(b"GET /events/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert listener.head()[0] == 200
                assert client.send(b"GET /b/bytes/1 HTTP/1.1\r\nHost: x\r\n\r\n").answer()[0] == 200
                before = until(lambda: rows_now(running), "an hour's rows")
                running.apply([c], {"one": instance()})
                after = until(lambda: (now := rows_now(running)).keys() == {"-", "events", "c"} and now, "a free row")
                assert after["events"] == before["events"]
                running.apply([c, d], {"one": instance()})
                assert rows_now(running)["d"] == before["b"]
                assert client.send(b"GET /d/bytes/1 HTTP/1.1\r\nHost: x\r\n\r\n").answer()[0] == 200
                drip.send(CONTENT)
                drip.close()
                assert CONTENT in listener.rest()
                hour = newest_hour(running)
                until(lambda: newest_hour(running) > hour, "one more turn")
                assert client.send(b"GET /c/bytes/1 HTTP/1.1\r\nHost: x\r\n\r\n").answer()[0] == 200
            assert running.drain() == 0
            counts = running.counts()
    assert counts["events"]["egress:client:internet:application"] > len(CONTENT)
    assert [counts[name]["calls"] for name in ("events", "b", "c", "d")] == [1] * 4
