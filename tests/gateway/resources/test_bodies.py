"""Large content both ways at once, read slowly: it passes through the worker and does not stay there."""

from __future__ import annotations

import hashlib
import socket
import threading
from pathlib import Path

from tests.gateway.data_plane import Raw, WorkerProcess, instance, service, worker
from tests.gateway.proxy.origins import origin_of, read_head

SIZE = 300 << 20
PIECE = bytes(range(256)) * 1024  # 256 KiB
GROWTH_KIB_MAX = 32 * 1024


def both_ways(connection: socket.socket) -> None:
    """Answers with the content itself, as it comes: the answer begins with the first byte of it."""
    data = read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
    left = SIZE
    data = data.partition(b"\r\n\r\n")[2]
    while left:
        connection.sendall(data)
        left -= len(data)
        if left:
            data = connection.recv(262_144)
            if not data:
                return


class Watch:
    """The largest the worker was, asked for at each piece that is read."""

    def __init__(self, running: WorkerProcess) -> None:
        self._running = running
        self.before = self.most = running.resident_kib()

    def look(self) -> None:
        self.most = max(self.most, self._running.resident_kib())


def test_300_mib_both_ways_at_once_with_a_slow_reader_leave_memory_flat(tmp_path: Path) -> None:
    """The reader takes a piece only when the writer is stuck, or done: as slow as can be without a clock."""
    with (
        origin_of(both_ways) as origin,
        worker(tmp_path, service("s", origin.port), one=instance(body_max=1 << 30), body_timeout=60.0) as running,
        Raw(running.port) as client,
    ):
        client.send(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n").answer()
        sent = hashlib.sha256()
        stuck = threading.Semaphore(0)
        is_done = threading.Event()
        sender = socket.fromfd(client.socket.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        sender.settimeout(0.02)

        def write() -> None:
            sender.sendall(b"POST /s/x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % SIZE)
            for _ in range(SIZE // len(PIECE)):
                sent.update(PIECE)
                at = memoryview(PIECE)
                while at:
                    try:
                        at = at[sender.send(at) :]
                    except TimeoutError:
                        stuck.release()
            is_done.set()

        watch = Watch(running)
        writer = threading.Thread(target=write)
        writer.start()
        read = hashlib.sha256()
        status, _ = client.head()
        assert status == 200
        left = SIZE
        while left:
            while not is_done.is_set() and not stuck.acquire(timeout=0.1):
                pass
            # A good part of it at once, so that the whole takes seconds.
            for _ in range(64):
                piece = client.file.read(min(left, len(PIECE)))
                assert piece
                read.update(piece)
                left -= len(piece)
                if not left:
                    break
            watch.look()
        writer.join()
        sender.close()
        assert read.digest() == sent.digest()
        assert watch.most - watch.before < GROWTH_KIB_MAX
