"""Real processes for tests: an origin and a tollgate node, started on free ports and ended by their pids."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "test-token-0123456789"
T = TypeVar("T")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def until(ask: Callable[[], T | None], what: str, seconds: float = 20.0) -> T:
    """Asks until the answer is truthy; fails by name after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


@contextmanager
def origin() -> Iterator[int]:
    """A test origin's port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "loadtest.origin"], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


class Node:
    """A running `tollgate serve`."""

    def __init__(
        self,
        folder: Path,
        config: str,
        admin_port: int,
        *,
        command: Sequence[str] = (sys.executable, "-m", "gateway.main"),
        environ: Mapping[str, str] | None = None,
        working_dir: Path = ROOT,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """``prepare`` is run in the node's process before the node: limits, umask."""
        self._command, self._environ, self._working_dir, self._prepare = command, environ or {}, working_dir, prepare
        self.folder = folder
        self.admin = f"http://127.0.0.1:{admin_port}"
        self.config = folder / "tollgate.yaml"
        self.config.write_text(config)
        self.log = folder / "node.log"
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*self._command, "serve", "-c", str(self.config)],
                stdout=log,
                stderr=log,
                cwd=self._working_dir,
                env={**os.environ, "TOLLGATE_ADMIN_TOKEN": TOKEN, **self._environ},
                preexec_fn=self._prepare,
            )

    def wait_ready(self) -> None:
        def ready() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the node ended: {self.log.read_text()[-4000:]}")
            try:
                return self.call("GET", "/readyz")[0] == 200
            except OSError:
                return False

        try:
            until(ready, "the node is ready", 30)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log.read_text()[-4000:]}") from None

    def restart(self) -> None:
        """The control process anew, on the same data_dir."""
        self.process = self._start()
        self.wait_ready()

    def call(
        self, method: str, path: str, document: Any = None, fields: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """One admin call: status and the JSON answered (text where it is none)."""
        request = urllib.request.Request(self.admin + path, method=method)
        request.add_header("Authorization", f"Bearer {TOKEN}")
        for name, value in (fields or {}).items():
            request.add_header(name, value)
        if document is not None:
            request.data = json.dumps(document).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, body = error.code, error.read()
        try:
            return status, json.loads(body)
        except ValueError:
            return status, body.decode()

    def worker_pids(self, pool: str | None = None) -> list[int]:
        """Pids of the live workers, by their boot documents; of one pool when named."""
        pids = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                is_zombie = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue
            if b"gateway.worker" not in words or is_zombie:
                continue
            boot = json.loads(words[words.index(b"gateway.worker") + 1])
            if Path(boot["data_dir"]).resolve() == (self.folder / "data").resolve() and pool in (None, boot["pool"]):
                pids.append(int(folder.name))
        return sorted(pids)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in self.worker_pids():
            os.kill(pid, signal.SIGKILL)


@contextmanager
def node(folder: Path, config: str, admin_port: int, **how: Any) -> Iterator[Node]:
    folder.mkdir(parents=True, exist_ok=True)
    running = Node(folder, config, admin_port, **how)
    try:
        running.wait_ready()
        yield running
    finally:
        running.stop()


def totals(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Sums over usage rows: calls, websocket connections, front-end errors, and egress of each side."""
    return {
        "calls": sum(row["calls"] for row in rows),
        "websocket_connections": sum(row["websocket_connections"] for row in rows),
        "frontend_errors": sum(sum(row["frontend_errors"].values()) for row in rows),
        "ingress": sum(row["ingress"] for row in rows),
        **{
            f"egress_{side}": sum(
                item["bytes"]
                for row in rows
                for item in row["egress"]
                if item["side"] == side and item["basis"] == "application"
            )
            for side in ("client", "backend", "refused")
        },
    }
