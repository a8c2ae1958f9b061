"""What a person at the terminal is told when the node serves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from config.schema import Settings
from gateway.compiled import is_used
from gateway.control.pools import PoolSpec
from metering.clock import VirtualClock


def banner(settings: Settings, pools: Sequence[PoolSpec], clock: VirtualClock, admin_url: str) -> str:
    path = "compiled" if is_used() else "not compiled"
    lines = [
        f"tollgate {version('tollgate')}, node {settings.node.name}, data in {settings.node.data_dir}",
        f"  {'request path':<16} {path}",
    ]
    for pool in pools:
        workers = f"{pool.workers} worker{'s' if pool.workers > 1 else ''}"
        for entry in pool.entries:
            scheme = "https" if entry.tls else "http"
            address = f"[{entry.host}]:{entry.port}" if ":" in entry.host else f"{entry.host}:{entry.port}"
            lines.append(f"  {pool.pool:<16} {scheme}://{address}  {entry.network}, {workers}")
    lines.append(f"  {'admin, console':<16} {admin_url}")
    if clock.rate != 1:
        now = datetime.fromtimestamp(clock.now(), UTC)
        lines.append(f"  CLOCK x {clock.rate:g}: hours, bills and deadlines go by virtual time, now {now:%F %T}Z")
    return "\n".join(lines)
