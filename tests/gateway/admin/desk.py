"""A node without workers for tests of the admin API: the real office on a real SQLite store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from config.loading import load_settings
from gateway.control.errors import StartError
from gateway.control.limit_view import LimitView
from gateway.control.office import Office
from gateway.control.snapshot import compile_snapshots
from gateway.control.snapshot_files import SnapshotFiles
from gateway.control.store import Store
from gateway.main import WIRING
from tests.gateway.control.configuration import write_config

T = TypeVar("T")
TOKEN = "a-token-for-tests"


class DeskNode:
    """Implements gateway.admin.node.Node."""

    def __init__(self, folder: Path, **values: Any) -> None:
        self.settings = load_settings(write_config(folder, **values))
        self.store = Store(self.settings, WIRING)
        self.store.take_up(self.settings)
        self.files = SnapshotFiles(Path(self.settings.node.data_dir))
        entitlements = self.store.biller.entitlements()
        self.files.write(
            compile_snapshots(
                self.settings, self.store.catalog, self.store.book.services(), entitlements, self.files.slot_of
            )
        )
        self.store.office.limit_rows = LimitView(self.files, self.store.clock, "Asia/Shanghai").rows
        self.is_up = True
        self.restarts = 0

    async def ask(self, question: Callable[[Office], T]) -> T:
        return question(self.store.office)

    async def act(self, action: Callable[[Office], T]) -> T:
        return action(self.store.office)

    async def restart(self) -> None:
        if not self.is_up:
            raise StartError("a fresh worker of shared did not start")
        self.restarts += 1

    def is_ready(self) -> bool:
        return self.is_up

    def describe(self) -> dict[str, Any]:
        clock = {"rate": 1.0, "now": "2026-01-15T09:00:00Z"}
        slot = {"slot": 0, "pid": 1, "is_serving": True, "snapshot": 1}
        return {
            "node": "node-1",
            "version": "0",
            "is_compiled": False,
            "waiting_settings": [],
            "is_ready": True,
            "clock": clock,
            "pools": {"shared": [slot]},
        }

    async def exposition(self, *, is_openmetrics: bool) -> tuple[bytes, str]:
        kind = "application/openmetrics-text; version=1.0.0" if is_openmetrics else "text/plain; version=0.0.4"
        return b"tollgate_calls_total 0\n", f"{kind}; charset=utf-8"

    def close(self) -> None:
        self.files.close()
        self.store.close()
