"""A tollgate node and its origins as child processes, seen from outside: admin API, worker pids, their connections."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

READY_S_MAX = 30.0
END_S_MAX = 15.0
_ESTABLISHED = "01"  # in /proc/net/tcp


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


class Child:
    """A module run as a process; ended by its pid."""

    def __init__(self, arguments: list[str], **options: Any) -> None:
        self._arguments, self._options = arguments, options
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", *self._arguments], **self._options)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(END_S_MAX)
            except subprocess.TimeoutExpired:
                self.kill()


class Node(Child):
    """``text`` is the configuration with the places {admin} and {data_dir} left open."""

    def __init__(self, folder: Path, text: str) -> None:
        self.config = folder / "node.yaml"
        self.log_path = folder / "node.log"
        self._data_dir = folder / "data"
        self.admin_port = free_port()
        self._token = secrets.token_urlsafe(24)
        self.write(text)
        with self.log_path.open("ab") as log:
            environment = {**os.environ, "TOLLGATE_ADMIN_TOKEN": self._token}
            super().__init__(["gateway.main", "serve", "-c", str(self.config)], stdout=log, stderr=log, env=environment)

    def write(self, text: str) -> None:
        self.config.write_text(text.replace("{admin}", f"127.0.0.1:{self.admin_port}").replace("{data_dir}", "./data"))

    def call(self, method: str, path: str) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin_port}{path}", method=method)
        request.add_header("Authorization", f"Bearer {self._token}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    async def ask(self, method: str, path: str) -> Any:
        return await asyncio.to_thread(self.call, method, path)

    async def workers(self, pool: str) -> list[dict[str, Any]]:
        slots: list[dict[str, Any]] = (await self.ask("GET", "/v1/node"))["pools"][pool]
        return slots

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_S_MAX
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.call("GET", "/readyz")
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"the node is not ready: {self.log_path.read_text()[-2000:]}")


@contextmanager
def running_node(make_text: Callable[[list[int]], str], origins: int) -> Iterator[tuple[Node, list[Child]]]:
    """A ready node over fresh origins; ``make_text`` is given their ports."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-")))
        ports = [free_port() for _ in range(origins)]
        children = [Child(["loadtest.origin", "--port", str(port)], stdout=subprocess.DEVNULL) for port in ports]
        for child in children:
            stack.callback(child.stop)
        for port in ports:
            _wait_listening(port)
        node = Node(folder, make_text(ports))
        stack.callback(node.stop)
        node.wait_ready()
        yield node, children


def _wait_listening(port: int) -> None:
    deadline = time.monotonic() + READY_S_MAX
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def client_ports(pid: int, entry_port: int) -> set[int]:
    """The clients' ports of the connections that a worker has accepted on an entry; for IPv4."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            name = str(fd.readlink())
        except OSError:
            continue
        if name.startswith("socket:["):
            inodes.add(name[8:-1])
    ports = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        here, there = fields[1], fields[2]
        if fields[3] == _ESTABLISHED and fields[9] in inodes and int(here.rpartition(":")[2], 16) == entry_port:
            ports.add(int(there.rpartition(":")[2], 16))
    return ports


def kill_worker(pid: int, entry_port: int) -> set[int]:
    """`kill -9` of a worker; the clients' ports of the connections that were its own at that instant."""
    os.kill(pid, signal.SIGSTOP)  # So that what is looked at is what dies.
    try:
        return client_ports(pid, entry_port)
    finally:
        os.kill(pid, signal.SIGKILL)
