"""A real worker process with a snapshot of the test's making, and a raw client to talk to it."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.compiled import worker_environment
from gateway.limits.quota import QuotaHandles
from gateway.limits.table import LimitTable
from gateway.proxy.router_builder import RouterBuilder
from gateway.proxy.service import Service
from gateway.proxy.target_book import TargetBook
from gateway.routing.router import Router
from gateway.snapshot_file import Piece, SnapshotFile, encode
from metering.cells import CONNECTIONS, LIMIT_REFUSALS, METERS, SHADOW_REFUSALS, SPANS
from metering.clock import VirtualClock
from metering.counter_file import CounterFileReader, row_cells, row_key
from tests.node import ROOT, free_port


def service(id: str, port: int, **changes: Any) -> dict[str, Any]:
    """A snapshot's service forwarding to a port of this machine."""
    upstream = {
        "network": "vpc",
        "balance": "round_robin",
        "preserve_host": True,
        "on_5xx": False,
        "retries": 1,
        "pool_idle": 60.0,
        "eject": 10.0,
        "connections_max": 4096,
        "tls": {"verify": True, "ca": None, "server_name": None, "certificate": None, "key": None},
        "timeouts": {"connect": 1.0, "response": 5.0, "idle": 5.0},
        "targets": [{"url": f"http://127.0.0.1:{port}", "weight": 1, "network": "vpc"}],
    }
    upstream.update(changes.pop("upstream", {}))
    document = {
        "id": id,
        "instance": "one",
        "hosts": [],
        "path": f"/{id}",
        "strip_path": True,
        "path_case": "exact",
        "trailing_slash": "exact",
        "path_escapes": "decode",
        "merge_slashes": True,
        "location": "keep",
        "protocol": "http",
        "limit_mode": "enforce",
        "wait_ms_max": 0,
        "limit": None,
        "auth": None,
        "allow": [],
        "deny": [],
        "cors": None,
        "upstream": upstream,
        "routes": [],
    }
    return document | changes


def instance(**changes: Any) -> dict[str, Any]:
    document = {
        "account": "acme",
        "type": "shared",
        "region": "ap-guangzhou",
        "serving": True,
        "body_max": 1 << 20,
        "egress_ip": None,
        "log_share": 1.0,
        "limit": None,
    }
    return document | changes


_NAMES = {
    **METERS,
    **{cell: f"limit_refused:{level}" for level, cell in LIMIT_REFUSALS.items()},
    **{cell: f"shadow_refused:{level}" for level, cell in SHADOW_REFUSALS.items()},
    **{cell: f"spans:{outcome}" for outcome, cell in SPANS.items()},
    **{cell: f"connections:{reason}" for reason, cell in CONNECTIONS.items()},
}


def no_quotas() -> QuotaHandles:
    """For a worker none of whose keys has one."""
    return QuotaHandles(Path("/nowhere"), VirtualClock())


def router_over(*services: dict[str, Any]) -> Router[Service]:
    """A router as a worker makes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "1.json"
        path.write_bytes(encode(1, 100, {"one": instance()}, map(Piece.of, services)))
        table = LimitTable.create(Path(folder) / "limits")
        builder = RouterBuilder(table, 1, lambda *_: 0, TargetBook(lambda *_: None), no_quotas())
        steps = builder.build(SnapshotFile(path))
        while True:
            try:
                next(steps)
            except StopIteration as end:
                router: Router[Service] = end.value
                return router


class WorkerProcess:
    """The worker, its port, and the counters it leaves behind."""

    def __init__(
        self,
        folder: Path,
        services: list[dict[str, Any]],
        instances: dict[str, Any],
        *,
        entry: dict[str, Any] | None = None,
        trusted_proxies: list[str] | None = None,
        access_log: Path | None = None,
        tracing: dict[str, Any] | None = None,
        clock: dict[str, float] | None = None,
        descriptors: int | None = None,
        is_dual_stack: bool = False,
        drain_s: float = 3.0,
        **client: Any,
    ) -> None:
        """``entry``: what its listener has besides an address and a network. ``is_dual_stack``: IPv4 through IPv6.

        ``descriptors``: how many it may have.
        """
        self._descriptors = descriptors
        self.folder = folder
        self.log = folder / "worker.log"
        self._entry = {"network": "internet", "tls": None} | (entry or {})
        self._clock = clock or {"rate": 1.0, "real_anchor": 0.0, "virtual_anchor": 0.0}
        self._trusted_proxies = trusted_proxies or []
        self._drain_s = drain_s
        self._access_log = None if access_log is None else str(access_log)
        self._tracing = tracing
        self.port = free_port()
        self._version = 0
        self._limits = LimitTable.create(folder / "pool.lim")
        self._listening = (
            socket.create_server(("::", self.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
            if is_dual_stack
            else socket.create_server(("127.0.0.1", self.port), backlog=1024)
        )
        self._generation = 0
        self._client = {
            "head_timeout": 1.0,
            "body_timeout": 1.0,
            "idle_timeout": 5.0,
            "head_max": 32 * 1024,
            "fields_max": 128,
            "target_max": 8 * 1024,
            "body_rate_min": 100,
            "connections_max": None,
            "address_connections_max": None,
            "underscore_fields": "drop",
        } | client
        self.write_snapshot(services, instances)
        self.start()

    def write_snapshot(self, services: list[dict[str, Any]], instances: dict[str, Any]) -> None:
        self._version += 1
        self.snapshot = self.folder / f"snapshot-{self._version}.json"
        self.snapshot.write_bytes(encode(self._version, 100, instances, map(Piece.of, services)))

    def start(self) -> None:
        """A worker on the same listening socket: what a supervisor does after a death."""
        self._generation += 1
        self.channel, theirs = socket.socketpair()
        boot = {
            "pool": "shared",
            "slot": 0,
            "writer": f"node:boot:shared-0:{self._generation}",
            "data_dir": str(self.folder),
            "channel_fd": theirs.fileno(),
            "listeners": [{"fd": self._listening.fileno(), **self._entry}],
            "snapshot": str(self.snapshot),
            "limits": str(self.folder / "pool.lim"),
            "workers": 1,
            "clock": self._clock,
            "client": self._client,
            "trusted_proxies": self._trusted_proxies,
            "drain_s": self._drain_s,
            "access_log": self._access_log,
            "tracing": self._tracing,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway.worker", json.dumps(boot)],
                pass_fds=[self._listening.fileno(), theirs.fileno()],
                cwd=ROOT,
                env=worker_environment(),
                stderr=log,
                preexec_fn=self._limit_descriptors if self._descriptors else None,
            )
        theirs.close()
        self._news = self.channel.makefile("r")
        news = self._news.readline()
        if not news:
            self.process.wait()
            self.stop()
            raise AssertionError(f"the worker ended: {self.log.read_text()}")
        assert json.loads(news)["at"] == "ready"

    def _limit_descriptors(self) -> None:
        assert self._descriptors is not None
        resource.setrlimit(resource.RLIMIT_NOFILE, (self._descriptors, self._descriptors))

    def tell(self, message: dict[str, Any]) -> None:
        self.channel.sendall(json.dumps(message).encode() + b"\n")

    def apply(self, services: list[dict[str, Any]], instances: dict[str, Any]) -> None:
        """A new snapshot, applied."""
        self.write_snapshot(services, instances)
        self.tell({"do": "snapshot", "path": str(self.snapshot), "version": self._version})
        assert json.loads(self._news.readline()) == {"at": "applied", "version": self._version}

    def channel_line(self, seconds: float = 20.0) -> str:
        """The next message from the worker; empty when it is gone. Raises TimeoutError."""
        self.channel.settimeout(seconds)
        return self._news.readline()

    def send_bytes(self, size: int) -> None:
        """How much of an answer the kernel holds, on later connections."""
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)

    @property
    def listening_fd(self) -> int:
        return self._listening.fileno()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._close_channel()

    def _close_channel(self) -> None:
        self._news.close()
        self.channel.close()

    def drain(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._close_channel()
        self._listening.close()
        self._limits.close()

    def counts(self) -> dict[str, dict[str, int]]:
        """Meters by service, summed over the files of every worker there was; zeros left out."""
        sums: dict[str, dict[str, int]] = {}
        for path in (self.folder / "counters").iterdir():
            reader = CounterFileReader(path)
            for _, raw in reader.row_bytes():
                into = sums.setdefault(row_key(raw).service, {})
                for cell, value in enumerate(row_cells(raw)):
                    if value:
                        into[_NAMES[cell]] = into.get(_NAMES[cell], 0) + value
            reader.close()
        return sums

    def waiting(self) -> int:
        """How many connections stand in the queue of the listening socket."""
        return queued(self._listening)

    def listening_inode(self) -> int:
        return os.fstat(self._listening.fileno()).st_ino

    def resident_kib(self) -> int:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0])


@contextmanager
def worker(
    folder: Path,
    *services: dict[str, Any],
    one: dict[str, Any] | None = None,
    two: dict[str, Any] | None = None,
    **options: Any,
) -> Iterator[WorkerProcess]:
    """``one`` and ``two``: the instances, where there is more to say of them."""
    running = WorkerProcess(folder, list(services), {"one": one or instance(), "two": two or instance()}, **options)
    try:
        yield running
    finally:
        running.stop()


class Raw:
    """A raw connection: bytes out, answers in."""

    def __init__(
        self,
        port: int,
        first: bytes = b"",
        context: ssl.SSLContext | None = None,
        name: str = "",
        receive_bytes: int | None = None,
    ) -> None:
        """With a context over TLS, ``name`` being the server's; ``first`` goes before the handshake.

        ``receive_bytes``: what the kernel may hold that is not read yet; else as much as it likes.
        """
        self.socket = socket.socket()
        self.socket.settimeout(10)
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(first)
        if context is not None:
            try:
                self.socket = context.wrap_socket(self.socket, server_hostname=name or None)
            except BaseException:
                self.socket.close()
                raise
        self.file = self.socket.makefile("rb")
        self.bytes_read = 0

    def send(self, data: bytes) -> Raw:
        self.socket.sendall(data)
        return self

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and fields (names in lower case) of the next answer."""
        line = self.file.readline()
        self.bytes_read += len(line)
        if not line:
            return 0, {}
        fields = {}
        while (field := self.file.readline()) != b"\r\n":
            assert field, "the answer's head was cut short"
            self.bytes_read += len(field)
            name, _, value = field.decode("latin-1").partition(":")
            fields[name.lower()] = value.strip()
        self.bytes_read += 2
        return int(line.split()[1]), fields

    def answer(self, *, to_head: bool = False) -> tuple[int, dict[str, str], bytes]:
        """The next answer, whole."""
        status, fields = self.head()
        content = b""
        if to_head or status in (204, 304) or status == 0:
            pass
        elif fields.get("transfer-encoding") == "chunked":
            while size := int(self._line(), 16):
                content += self._exactly(size)
                assert self._exactly(2) == b"\r\n"
            assert self._exactly(2) == b"\r\n"
        elif "content-length" in fields:
            content = self._exactly(int(fields["content-length"]))
        else:
            content = self.rest()
        return status, fields, content

    def _line(self) -> bytes:
        line = self.file.readline()
        self.bytes_read += len(line)
        return line

    def _exactly(self, size: int) -> bytes:
        data = self.file.read(size)
        self.bytes_read += len(data)
        assert len(data) == size, "the answer was cut short"
        return data

    def rest(self) -> bytes:
        """Everything until the other side closes."""
        data = self.file.read()
        self.bytes_read += len(data)
        return data

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def queued(listener: socket.socket) -> int:
    """How many connections wait to be accepted (tcpi_unacked, of a listening socket)."""
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("<I", info, 24)[0])


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
