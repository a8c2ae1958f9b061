"""The gateway under test: configurations made here, one dedicated instance with one worker, plain or compiled."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loadtest.bench.heads import KEY
from loadtest.bench.machine import LOAD_CPU, pin, proxy_cpu
from loadtest.processes import Processes, free_ports

BUILDS: Final = {"plain": "0", "compiled": "1"}  # values of TOLLGATE_COMPILED
SPEC: Final = "dedicated-50000"
QPS: Final = 50_000
CONNECTIONS_MAX: Final = 8192  # to the origin: above the most that a scenario has in flight
BODY_MAX: Final = "16MiB"
# Each adds to the one before. A limit is only checked where it is stricter than the one around it.
STEPS: Final = {
    "bare": "one route, the instance's limit",
    "service": "+ the service's limit",
    "routes": "+ routes, each with a limit",
    "key": "+ an API key",
    "addresses": "+ allow and deny lists",
    "shadow": "the same, limits in shadow mode",
}
FULL: Final = "key"  # What "the gateway" means elsewhere: three limits, a key; metering and request ids are always on.
_START_S_MAX: Final = 240.0  # 200,000 routes are a YAML file of 20 MB.


@dataclass(frozen=True)
class Gateway:
    """A running node. ``pids``: its workers, which is what a request costs."""

    build: str
    url: str
    tls_url: str
    pids: tuple[int, ...]
    start_s: float
    admin_url: str
    token: str
    control_pid: int
    config: Path

    @property
    def name(self) -> str:
        return f"tollgate {self.build}"


def configuration(
    folder: Path,
    origin_port: int,
    ports: tuple[int, int, int],
    services: list[dict[str, Any]],
    *,
    workers: int = 1,
    has_log: bool = False,
) -> str:
    """A node's configuration, as YAML (of which JSON is a part). ``ports``: http, https, admin."""
    http, https, admin = ports
    tls = {"certificate": str(folder / "tls.pem"), "key": str(folder / "tls.key")}
    upstream = {
        "targets": [{"url": f"http://127.0.0.1:{origin_port}"}],
        "timeouts": {"connect": "5s"},
        "connections_max": CONNECTIONS_MAX,
    }
    document = {
        "version": 1,
        "node": {"name": "bench", "data_dir": "./data"},
        "admin": {"bind": f"127.0.0.1:{admin}"},
        "store": {"url": "sqlite:///./data/tollgate.db"},
        "drain": "1s",
        **({"access_log": {"file": "./data/access.log"}} if has_log else {}),
        # A run of some seconds at 10 % above the limit is then still admitted: what is measured is calls, not refusals.
        "limits": {"burst_ms": 1000},
        "accounts": [{"id": "bench", "activated_at": "2026-01-15T09:00:00+08:00", "opening": {"cash": "1000.00"}}],
        "instances": [
            {
                "id": "bench",
                "account": "bench",
                "type": "dedicated",
                "spec": SPEC,
                "region": "ap-guangzhou",
                "charge": "payg",
                "workers": workers,
                "body_max": BODY_MAX,
                "entry": [{"bind": f"127.0.0.1:{http}"}, {"bind": f"127.0.0.1:{https}", "tls": tls}],
            }
        ],
        "services": [{"instance": "bench", **service, "upstream": upstream} for service in services],
    }
    return json.dumps(document, indent=1)


def step_services() -> list[dict[str, Any]]:
    """A service for each of STEPS, at the path of its name."""
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    features: dict[str, dict[str, Any]] = {
        "bare": {},
        "service": {"qps": QPS - 1},
        "routes": {"routes": [_route("get", ["GET"]), _route("put", ["POST", "PUT"])]},
        "key": {"auth": {"type": "key", "header": "Authorization", "keys": [{"id": "k1", "sha256": digest}]}},
        "addresses": {"allow": ["127.0.0.0/8", "10.0.0.0/8"], "deny": ["10.9.0.0/16"]},
        "shadow": {"limit_mode": "shadow"},
    }
    services: list[dict[str, Any]] = []
    switched_on: dict[str, Any] = {}
    for step in STEPS:
        switched_on = {**switched_on, **features[step]}
        services.append({"id": step, **switched_on})
    return services


def _route(name: str, methods: list[str]) -> dict[str, Any]:
    return {"id": name, "methods": methods, "path": "/*", "qps": QPS - 2}


def build() -> str | None:
    """Compiles these sources; what went wrong, or None."""
    done = subprocess.run([sys.executable, "-m", "gateway.compiled"], capture_output=True, text=True)
    return None if done.returncode == 0 else done.stderr.strip()[-500:]


def start(
    processes: Processes,
    folder: Path,
    origin_port: int,
    build: str,
    services: list[dict[str, Any]],
    *,
    name: str = "steps",
    **settings: Any,
) -> Gateway:
    """A ready node: its worker on the proxies' CPU, a second one on the next, its control process on the load's.

    ``settings``: as `configuration` takes them. Raises StartFailed.
    """
    home = folder / f"gateway-{name}-{build}"
    home.mkdir()
    http, https, admin = free_ports(3)
    config = home / "tollgate.yaml"
    config.write_text(configuration(folder, origin_port, (http, https, admin), services, **settings))
    token = secrets.token_urlsafe(24)
    env = {"TOLLGATE_COMPILED": BUILDS[build], "TOLLGATE_ADMIN_TOKEN": token}
    begun = time.monotonic()
    argv = [sys.executable, "-m", "gateway.main", "serve", "-c", str(config), "--log-level", "warning"]
    process = processes.start(f"gateway-{name}-{build}", argv, cpu=LOAD_CPU, env=env)
    processes.wait_until(f"gateway-{name}-{build}", process, lambda: _is_ready(admin), seconds=_START_S_MAX)
    start_s = time.monotonic() - begun
    pids = _workers(home)
    for at, pid in enumerate(pids):
        pin(pid, proxy_cpu(at))
    processes.afterwards(lambda: _kill(_workers(home)))
    urls = f"http://127.0.0.1:{http}", f"https://127.0.0.1:{https}"
    return Gateway(build, *urls, pids, start_s, f"http://127.0.0.1:{admin}", token, process.pid, config)


def _is_ready(admin: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _workers(home: Path) -> tuple[int, ...]:
    """Workers that run from this node's folder, by what they were started with."""
    mark = str(home / "data").encode()
    pids = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"gateway.worker" in words and mark in words:
                pids.append(int(folder.name))
    return tuple(pids)


def _kill(pids: tuple[int, ...]) -> None:
    """Workers outlive a control process that did not end in order."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
