"""The node that is attacked: its configuration, and what can be seen of it from outside."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from loadtest.abuse.attack import Setup
from loadtest.bench.peers import make_certificate
from loadtest.node import Child, Node
from loadtest.processes import free_ports, listens

CLOCK_RATE: Final = 600  # An hour is over in six seconds, and settled: what an attack costs is on a bill.
START_S_MAX: Final = 30.0
VICTIM, MARK = "victims", "marks"  # accounts, and their instances
CALM, ATTACKED = "calm", "mark"  # services
OPENING: Final = {"cash": "1000.00"}


class _LimitedNode(Node):
    """With so many descriptors, its workers included."""

    def __init__(self, folder: Path, text: str, descriptors: int | None) -> None:
        self._descriptors = descriptors  # Before the start, which is in the other's.
        super().__init__(folder, text)

    def start(self) -> None:
        if self._descriptors is not None:
            bounds = (self._descriptors, self._descriptors)
            self._options["preexec_fn"] = partial(resource.setrlimit, resource.RLIMIT_NOFILE, bounds)
        super().start()


@dataclass
class Stage:
    node: Node
    entry: int
    upstream: int
    worker: int  # the pid at the start
    pool: str
    data: Path

    def worker_now(self) -> int | None:
        (slot,) = self.node.call("GET", "/v1/node")["pools"][self.pool]
        return slot["pid"] if slot["is_serving"] else None

    def restarts(self) -> int:
        """`tollgate_worker_restarts_total` of the pool."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.node.admin_port}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        found = re.search(rf'^tollgate_worker_restarts_total{{pool="{self.pool}"}} (\S+)$', text, re.M)
        return int(float(found[1])) if found else 0

    def store_written_at(self) -> float:
        return max(path.stat().st_mtime for path in self.data.glob("tollgate.db*"))

    def worker_peak_kib(self) -> int:
        """The most memory that the first worker ever had; 0 when it is gone."""
        try:
            status = Path(f"/proc/{self.worker}/status").read_text()
        except OSError:
            return 0
        _, found, rest = status.partition("VmHWM:")
        return int(rest.split()[0]) if found else 0


def document(setup: Setup, ports: Mapping[str, int], folder: Path) -> dict[str, Any]:
    """The node's configuration. JSON is YAML."""
    entry: dict[str, Any] = {"bind": f"127.0.0.1:{ports['entry']}", "network": "internet"}
    account = {"currency": "USD", "activated_at": "2019-11-10T17:13:14+08:00", "opening": OPENING, "free_quota": False}
    made: dict[str, Any] = {
        "version": 1,
        "node": {"name": "abuse", "data_dir": "{data_dir}"},
        "admin": {"bind": "{admin}"},
        "store": {"url": "sqlite:///{data_dir}/tollgate.db"},
        "clock": {"rate": CLOCK_RATE},
        "drain": "1s",
        "client": dict(setup.client),
        "accounts": [{"id": name, **account} for name in (VICTIM, MARK)],
        **setup.node,
    }
    if setup.is_tls:
        tls = {"certificate": str(folder / "tls.pem"), "key": str(folder / "tls.key")}
        own = {"type": "dedicated", "spec": "dedicated-2500", "charge": "payg", "workers": 1}
        made["instances"] = [
            {"id": MARK, "account": MARK, "region": "ap-guangzhou", **own, "entry": [{**entry, "tls": tls}]}
        ]
    else:
        made["entry"], made["shared_workers"] = [entry], 1
        made["instances"] = [
            {"id": name, "account": name, "type": "shared", "region": "ap-guangzhou"} for name in (VICTIM, MARK)
        ]
    target = setup.target.format(**ports)
    made["services"] = [
        {
            "id": CALM,
            "instance": MARK if setup.is_tls else VICTIM,
            "upstream": {"network": "internet", "targets": [{"url": f"http://127.0.0.1:{ports['origin']}"}]},
        },
        {
            "id": ATTACKED,
            "instance": MARK,
            "upstream": {"network": "internet", "targets": [{"url": target}], **setup.upstream},
            **setup.service,
        },
    ]
    return made


@contextmanager
def staged(setup: Setup) -> Iterator[Stage]:
    """A ready node with one worker over a good origin, the victim's, and one that does not behave."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-")))
        if setup.is_tls:
            make_certificate(folder)
        names = ("entry", "upstream", "blackhole", "relay", "origin")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        own = {"--port": "upstream", "--blackhole": "blackhole", "--relay": "relay", "--entry": "entry"}
        rude = ["loadtest.abuse.upstream", *(text for name, port in own.items() for text in (name, str(ports[port])))]
        for arguments in (["loadtest.origin", "--port", str(ports["origin"])], rude):
            stack.callback(Child(arguments, stdout=subprocess.DEVNULL).stop)
        for name in ("origin", "upstream"):
            _wait_listening(ports[name])
        text = json.dumps(document(setup, ports, folder))
        node = _LimitedNode(folder, text, setup.descriptors)
        stack.callback(node.stop)
        node.wait_ready()
        pool = MARK if setup.is_tls else "shared"
        (slot,) = node.call("GET", "/v1/node")["pools"][pool]
        stage = Stage(node, ports["entry"], ports["upstream"], slot["pid"], pool, folder / "data")
        _pin(stage.worker)
        yield stage


def _pin(worker: int) -> None:
    """The worker has the first CPU, attackers the last."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) > 1:
        os.sched_setaffinity(worker, {cpus[0]})


def _wait_listening(port: int) -> None:
    deadline = time.monotonic() + START_S_MAX
    while not listens(port):
        if time.monotonic() > deadline:
            raise RuntimeError(f"nobody listens on {port}")
        time.sleep(0.02)
