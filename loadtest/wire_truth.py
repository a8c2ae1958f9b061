"""Wire bytes against the kernel's own count of what crossed a link: ``python -m loadtest.wire_truth`` (as root).

A node in a network namespace of its own, its client and origin outside, a virtual cable between, and `tc netem` that
drops some of the packets. What the node says it sent, both sides together, is held against the transmit counter of its
end of the cable. The counter has what `TCP_INFO` has not: 14 bytes of Ethernet a frame, TCP options (12 bytes of time
stamps a segment, more in handshakes), and the segments of handshakes and closes that no connection tells of. The
first is taken off by the number of packets; the rest is the difference shown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from loadtest.client import Tally, drive, get

OUTER, INNER = "10.213.77.1", "10.213.77.2"
ETHERNET_BYTES: Final = 14
READY_S_MAX: Final = 60.0
CONFIG = """\
version: 1
node: {{name: wire, data_dir: ./data}}
entry: [{{bind: "{inner}:8080", network: internet}}]
shared_workers: 1
admin: {{bind: "{inner}:8081"}}
store: {{url: "sqlite:///./data/tollgate.db"}}
billing: {{price_book: usd, timezone: Asia/Shanghai, egress_basis: wire}}
drain: 2s
accounts: [{{id: acme, currency: USD, activated_at: "2019-11-10T17:13:14+08:00", opening: {{cash: "100.00"}}}}]
instances: [{{id: shared-1, account: acme, type: shared, region: ap-guangzhou}}]
services:
  - {{id: a, instance: shared-1, upstream: {{network: internet, targets: [{{url: "http://{outer}:{origin}"}}]}}}}
"""


class Unable(Exception):
    """This machine cannot make namespaces, or has no netem. The message says what failed."""


@dataclass(frozen=True)
class Measured:
    """Bytes that the node sent: by its metering, on both bases, and by the link."""

    loss_percent: float
    application_bytes: int
    wire_bytes: int
    link_bytes: int  # Ethernet taken off

    @property
    def difference_percent(self) -> float:
        return (self.link_bytes - self.wire_bytes) / self.link_bytes * 100


def _ip(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unable(f"{' '.join(words)}: {done.stderr.strip()}")


@contextmanager
def namespace(loss_percent: float) -> Iterator[str]:
    """A namespace with one end of a cable in it, that loses packets both ways; its name. Raises Unable."""
    name = f"tollgate-{secrets.token_hex(3)}"
    outer, inner = f"tg{name[-6:]}o", f"tg{name[-6:]}i"
    try:
        _ip("ip", "netns", "add", name)
    except FileNotFoundError as error:
        raise Unable(f"{error.filename} is not installed") from None
    try:
        _ip("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        inside = ("ip", "netns", "exec", name)
        _ip("ip", "address", "add", f"{OUTER}/30", "dev", outer)
        _ip("ip", "link", "set", outer, "up")
        _ip(*inside, "ip", "address", "add", f"{INNER}/30", "dev", inner)
        _ip(*inside, "ip", "link", "set", inner, "up")
        _ip(*inside, "ip", "link", "set", "lo", "up")
        # A packet of the counter is a segment: no segmentation in the (virtual) hardware.
        for where, device in (((), outer), (inside, inner)):
            _ip(*where, "ip", "link", "set", "dev", device, "gso_max_segs", "1")
        if loss_percent:
            for where, device in (((), outer), (inside, inner)):
                _ip(*where, "tc", "qdisc", "add", "dev", device, "root", "netem", "loss", f"{loss_percent}%")
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def _sent(name: str) -> tuple[int, int]:
    """(bytes, packets) that the namespace's end of the cable was handed, those that netem dropped included."""
    inner = f"tg{name[-6:]}i"
    shown = subprocess.run(
        ["ip", "netns", "exec", name, "tc", "-s", "-j", "qdisc", "show", "dev", inner],
        capture_output=True,
        text=True,
        check=True,
    )
    qdisc = json.loads(shown.stdout)[0]
    link = subprocess.run(
        ["ip", "netns", "exec", name, "ip", "-s", "-j", "link", "show", inner],
        capture_output=True,
        text=True,
        check=True,
    )
    sent = json.loads(link.stdout)[0]["stats64"]["tx"]
    dropped = int(qdisc.get("drops", 0)) if qdisc["kind"] == "netem" else 0
    mean = sent["bytes"] / max(1, sent["packets"])
    return int(sent["bytes"] + dropped * mean), int(sent["packets"]) + dropped


def measure(loss_percent: float, requests: int, answer_bytes: int) -> Measured:
    """One run on a link that loses so many of its packets. Raises Unable."""
    with ExitStack() as stack:
        name = stack.enter_context(namespace(loss_percent))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-wire-")))
        origin = subprocess.Popen(
            [sys.executable, "-m", "loadtest.origin", "--host", OUTER], stdout=subprocess.PIPE, text=True
        )
        stack.callback(_end, origin)
        assert origin.stdout is not None
        stack.callback(origin.stdout.close)
        port = int(origin.stdout.readline())
        (folder / "wire.yaml").write_text(CONFIG.format(inner=INNER, outer=OUTER, origin=port))
        token = secrets.token_urlsafe(24)
        log = stack.enter_context((folder / "node.log").open("w"))
        node = subprocess.Popen(
            ["ip", "netns", "exec", name, sys.executable, "-m", "gateway.main", "serve", "-c", f"{folder}/wire.yaml"],
            stdout=log,
            stderr=log,
            env={**os.environ, "TOLLGATE_ADMIN_TOKEN": token},
        )
        stack.callback(_end, node)
        _wait_ready(node, folder / "node.log")
        before = _sent(name)
        request = get(f"/a/bytes/{answer_bytes}")
        done: Tally = asyncio.run(drive(8080, request, host=INNER, count=requests, connections=4))
        # Sent only when everything is acknowledged and the connections to the client have ended.
        time.sleep(3)
        after = _sent(name)
        usage = _usage(token, done)
        frames, packets = after[0] - before[0], after[1] - before[1]
        return Measured(loss_percent, usage["application"], usage["wire"], frames - packets * ETHERNET_BYTES)


def _usage(token: str, done: Tally) -> dict[str, int]:
    """Bytes by basis, once every request is counted and the figures rest."""
    deadline = time.monotonic() + READY_S_MAX
    before: dict[str, int] = {}
    while time.monotonic() < deadline:
        rows = _ask("/v1/usage", token)["items"]
        now = {"application": 0, "wire": 0}
        for row in rows:
            for item in row["egress"]:
                now[item["basis"]] += item["bytes"]
        counted = sum(row["calls"] + sum(row["frontend_errors"].values()) for row in rows)
        if now == before and counted >= done.answered:
            return now
        before = now
        time.sleep(1.5)
    raise RuntimeError("the node's figures did not come to rest")


def _ask(path: str, token: str = "") -> Any:
    request = urllib.request.Request(f"http://{INNER}:8081{path}", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def _wait_ready(node: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S_MAX
    while True:
        try:
            _ask("/readyz")
            return
        except OSError:
            if node.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the node does not serve:\n{log.read_text()[-2000:]}") from None
            time.sleep(0.1)


def _end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(arguments: list[str] | None = None) -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--requests", type=int, default=400)
    ask.add_argument("--bytes", type=int, default=100_000, help="of each answer")
    ask.add_argument("--loss", type=float, nargs="*", default=[0, 1, 5], help="per cent of the packets, both ways")
    options = ask.parse_args(arguments)
    console = Console()
    table = Table("loss", "application", "wire", "link, without Ethernet", "wire is short by")
    try:
        for loss in options.loss:
            found = measure(loss, options.requests, options.bytes)
            table.add_row(
                f"{loss:g} %",
                f"{found.application_bytes:,}",
                f"{found.wire_bytes:,}",
                f"{found.link_bytes:,}",
                f"{found.difference_percent:.2f} %",
            )
    except Unable as error:
        console.print(f"cannot be measured here: {error}", markup=False)
        return 1
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
