"""A large download and a large upload with their checksums: ``python -m loadtest.bodies``.

Content that differs in every place goes through a dedicated instance each way, over one connection, and is compared by
SHA-256 at both ends, and by length with what was metered.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from loadtest.content import pieces
from loadtest.node import Node, free_port, running_node

CONFIG = """\
version: 1
node: {{name: bodies, data_dir: "{{data_dir}}"}}
admin: {{bind: "{{admin}}"}}
store: {{url: "sqlite:///{{data_dir}}/tollgate.db"}}
accounts: [{{id: acme, currency: USD, activated_at: "2019-11-10T17:13:14+08:00", opening: {{cash: "1000.00"}}}}]
instances:
  - id: own
    account: acme
    type: dedicated
    spec: dedicated-2500
    region: ap-guangzhou
    charge: payg
    workers: 1
    body_max: 10GiB
    entry: [{{bind: "127.0.0.1:{port}", network: internet}}]
services:
  - {{id: large, instance: own, upstream: {{network: internet, targets: [{{url: "http://127.0.0.1:{origins[0]}"}}]}}}}
"""
DOWN, UP = "download", "upload"
RECEIVE_BYTES: Final = 1 << 18
SILENCE_S_MAX: Final = 60.0
METERED_S_MAX: Final = 20.0  # `/v1/usage` is at most 2 s behind.


@dataclass
class Bodies:
    """What both ends and the meter say. Byte counts are of the client's socket, heads included."""

    size: int
    sums: dict[str, tuple[str, str]]  # which way: SHA-256 at the client, and at the origin
    seconds: dict[str, float]
    bytes_read: int
    bytes_sent: int
    metered_egress: int
    metered_ingress: int
    grown_kib: int  # the worker's memory: the most it was, less what it was at the start

    @property
    def adds_up(self) -> bool:
        return (
            all(here == there for here, there in self.sums.values())
            and self.bytes_read == self.metered_egress
            and self.bytes_sent == self.metered_ingress
        )


class _Client:
    """One connection, and all that went over it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=SILENCE_S_MAX)
        self._rest = b""
        self.bytes_read = 0
        self.bytes_sent = 0

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)
        self.bytes_sent += len(data)

    def receive(self) -> bytes:
        data, self._rest = self._rest or self._socket.recv(RECEIVE_BYTES), b""
        if not data:
            raise RuntimeError("the gateway closed the connection before the end")
        return data

    def head(self) -> int:
        """Reads an answer's head; the length of its content. Raises RuntimeError where it is no 200."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.receive()
        head, _, self._rest = data.partition(b"\r\n\r\n")
        self.bytes_read += len(head) + 4
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"not a 200: {head[:200]!r}")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        return int(fields[b"content-length"])

    def content(self, size: int, each: Callable[[bytes], None]) -> None:
        left = size
        while left:
            data = self.receive()
            self.bytes_read += len(data)
            left -= len(data)
            each(data)

    def close(self) -> None:
        self._socket.close()


def _measure(node: Node, port: int, size: int, progressed: Callable[[str, int], None]) -> Bodies:
    (slot,) = node.call("GET", "/v1/node")["pools"]["own"]
    memory = Path(f"/proc/{slot['pid']}/status")

    def resident_kib() -> int:
        return int(memory.read_text().split("VmRSS:")[1].split()[0])

    before = most = resident_kib()

    def passed(way: str, count: int) -> None:
        nonlocal most
        most = max(most, resident_kib())
        progressed(way, count)

    client = _Client(port)
    try:
        began = time.monotonic()
        down = _download(client, size, partial(passed, DOWN))
        turned = time.monotonic()
        up = _upload(client, size, partial(passed, UP))
        ended = time.monotonic()
    finally:
        client.close()
    egress, ingress = _metered(node, client)
    return Bodies(
        size,
        {DOWN: down, UP: up},
        {DOWN: turned - began, UP: ended - turned},
        client.bytes_read,
        client.bytes_sent,
        egress,
        ingress,
        most - before,
    )


def _download(client: _Client, size: int, passed: Callable[[int], None]) -> tuple[str, str]:
    client.send(b"GET /large/large/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % size)
    digest, expected = hashlib.sha256(), hashlib.sha256()
    if client.head() != size:
        raise RuntimeError("the answer's length is not the one asked for")

    def each(data: bytes) -> None:
        digest.update(data)
        passed(len(data))

    client.content(size, each)
    for piece in pieces(size):
        expected.update(piece)
    return digest.hexdigest(), expected.hexdigest()


def _upload(client: _Client, size: int, passed: Callable[[int], None]) -> tuple[str, str]:
    client.send(b"PUT /large/sum HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size)
    digest = hashlib.sha256()
    for piece in pieces(size):
        digest.update(piece)
        client.send(piece)
        passed(len(piece))
    answer: list[bytes] = []
    client.content(client.head(), answer.append)
    said = json.loads(b"".join(answer))
    return digest.hexdigest(), said["sha256"] if said["bytes"] == size else f"of {said['bytes']} bytes"


def _metered(node: Node, client: _Client) -> tuple[int, int]:
    """Egress to the client and ingress, once they show; else what shows."""
    deadline = time.monotonic() + METERED_S_MAX
    while True:
        rows = [row for row in node.call("GET", "/v1/usage")["items"] if row["service"] == "large"]
        ingress = sum(row["ingress"] for row in rows)
        egress = sum(
            item["bytes"]
            for row in rows
            for item in row["egress"]
            if item["side"] == "client" and item["basis"] == "application"
        )
        if (egress, ingress) == (client.bytes_read, client.bytes_sent) or time.monotonic() > deadline:
            return egress, ingress
        time.sleep(0.1)


def bodies(size: int, progressed: Callable[[str, int], None] = lambda way, count: None) -> Bodies:
    """``progressed`` is told which way, and how many bytes more."""
    port = free_port()
    make: partial[str] = partial(CONFIG.format, port=port)
    with running_node(lambda origins: make(origins=origins), origins=1) as (node, _):
        return _measure(node, port, size, progressed)


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--mib", type=int, default=2048, help="of content, each way")
    size = ask.parse_args().mib << 20
    console = Console()
    columns = (TextColumn("{task.description:<9}"), BarColumn(), DownloadColumn(True), TransferSpeedColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        rows = {way: progress.add_task(way, total=size) for way in (DOWN, UP)}
        done = bodies(size, lambda way, count: progress.update(rows[way], advance=count))
    for way, (here, there) in done.sums.items():
        verdict = "the same" if here == there else f"NOT {there}"
        rate = size / done.seconds[way] / (1 << 20)
        console.print(
            f"{way}: {size:,} bytes in {done.seconds[way]:.1f} s ({rate:.0f} MiB/s), SHA-256 {here}: {verdict}"
        )
    console.print(
        f"read by the client {done.bytes_read:,}, metered as egress {done.metered_egress:,}\n"
        f"sent by the client {done.bytes_sent:,}, metered as ingress {done.metered_ingress:,}\n"
        f"the worker grew by {done.grown_kib:,} KiB at the most"
    )
    return 0 if done.adds_up else 1


if __name__ == "__main__":
    sys.exit(main())
