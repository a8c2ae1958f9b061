"""The node that is compared on: one shared and one dedicated instance, each with an origin of its own."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from loadtest.compare.plan import DEDICATED, SHARED
from loadtest.processes import Processes, free_ports, listens

CLOCK_RATE: Final = 720  # An hour in 5 s, so that the bill is there soon after the load.
START_S, COUNT_S, SETTLE_S = 30.0, 20.0, 45.0


def configuration(ports: dict[str, int], clock_rate: float = CLOCK_RATE) -> str:
    """``ports``: of the entries, the admin API, and the origins. YAML (of which JSON is a part)."""

    def services(instance: str) -> list[dict[str, Any]]:
        target = {"targets": [{"url": f"http://127.0.0.1:{ports[f'{instance}_origin']}"}], "network": "internet"}
        api = {"id": f"{instance}-api", "instance": instance, "upstream": target}
        return [api, {**api, "id": f"{instance}-live", "protocol": "websocket"}]

    document = {
        "version": 1,
        "node": {"name": "compare", "data_dir": "./data"},
        "entry": [{"bind": f"127.0.0.1:{ports[SHARED]}"}],
        "shared_workers": 1,
        "admin": {"bind": f"127.0.0.1:{ports['admin']}"},
        "store": {"url": "sqlite:///./data/tollgate.db"},
        "clock": {"rate": clock_rate},
        "drain": "3s",
        # Activated years ago: its free months are over, so that every call and byte costs something.
        "accounts": [{"id": "acme", "activated_at": "2019-11-10T17:13:14+08:00", "opening": {"cash": "1000.00"}}],
        "instances": [
            {"id": SHARED, "account": "acme", "type": "shared", "region": "ap-guangzhou"},
            {
                "id": DEDICATED,
                "account": "acme",
                "type": "dedicated",
                "spec": "dedicated-2500",
                "region": "ap-guangzhou",
                "charge": "payg",
                "workers": 1,
                "entry": [{"bind": f"127.0.0.1:{ports[DEDICATED]}"}],
            },
        ],
        "services": [*services(SHARED), *services(DEDICATED)],
    }
    return json.dumps(document, indent=1)


class NotInTime(Exception):
    """Something that was waited for did not come."""


class Node:
    """A running node with its origins. Its processes are those of ``processes``."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        names = (SHARED, DEDICATED, "admin", f"{SHARED}_origin", f"{DEDICATED}_origin")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._token = secrets.token_urlsafe(24)
        for instance in (SHARED, DEDICATED):
            port = self.ports[f"{instance}_origin"]
            origin = processes.start(
                f"{instance}-origin", [sys.executable, "-m", "loadtest.origin", "--port", str(port)]
            )
            processes.wait_until(f"{instance}-origin", origin, lambda port=port: listens(port))  # type: ignore[misc]
        config = folder / "compare.yaml"
        config.write_text(configuration(self.ports))
        self._process: subprocess.Popen[bytes] = processes.start(
            "node",
            [sys.executable, "-m", "gateway.main", "serve", "-c", str(config)],
            env={"TOLLGATE_ADMIN_TOKEN": self._token},
        )
        processes.wait_until("node", self._process, self._is_ready, seconds=START_S)

    def url(self, instance: str) -> str:
        return f"http://127.0.0.1:{self.ports[instance]}"

    @property
    def console(self) -> str:
        """For people: where the console is, and its token."""
        return f"console http://127.0.0.1:{self.ports['admin']}/ (token: {self._token})"

    def wait(self) -> None:
        """Until the node ends."""
        self._process.wait()

    def _get(self, path: str) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports['admin']}{path}")
        request.add_header("Authorization", f"Bearer {self._token}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def _is_ready(self) -> bool:
        try:
            return bool(self._get("/readyz")["status"] == "ready")
        except OSError:
            return False

    def usage(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._get("/v1/usage")["items"]
        return items

    def usage_of(self, sent: int) -> list[dict[str, Any]]:
        """The usage once it has as many requests as were sent, or what there is when that does not come about."""

        def counted() -> int:
            return sum(
                row["calls"] + row["websocket_connections"] + sum(row["frontend_errors"].values())
                for row in self.usage()
            )

        try:
            _until(lambda: counted() >= sent, "every request in the usage", COUNT_S)
        except NotInTime:
            pass  # The audit shows by how much.
        return self.usage()

    def settle(self) -> None:
        """Until every hour with usage is settled. Raises NotInTime."""

        def settled() -> bool:
            hours = {item["hour"] for item in self._get("/v1/settlements?account=acme")["items"]}
            return {row["hour"] for row in self.usage() if row["account"] == "acme"} <= hours

        _until(settled, "every hour is settled", SETTLE_S)

    def bill_lines(self) -> list[dict[str, Any]]:
        """The hourly lines, each with its month."""
        bills = self._get("/v1/bills?account=acme")["bills"]
        return [{**line, "month": month} for month, bill in bills.items() for line in bill["lines"]]


def _until(ask: Callable[[], bool], what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not ask():
        if time.monotonic() > deadline:
            raise NotInTime(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.1)
