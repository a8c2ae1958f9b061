"""A pool: the worker processes that share entry addresses and a routing snapshot (L8, DESIGN 2.1)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from config import schema
from config.schema import Settings
from gateway.control.errors import StartError
from gateway.control.listeners import Place
from gateway.entry.tls import TlsSettings

SHARED: Final = "shared"
# Linux takes one argument of 128 KiB (MAX_ARG_STRLEN); some is for paths and the writer's name.
_BOOT_BYTES_MAX: Final = 120 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One address of a pool."""

    host: str
    port: int
    network: str
    tls: TlsSettings | None = None
    proxy_protocol: bool = False
    proxy_protocol_from: tuple[str, ...] = ()


@dataclass(frozen=True)
class PoolSpec:
    """What a pool's workers are started with. Where two differ, the workers have to be replaced."""

    pool: str
    entries: tuple[Entry, ...]
    workers: int
    data_dir: Path
    limits: Path
    clock: dict[str, Any]
    client: dict[str, Any]
    trusted_proxies: tuple[str, ...]
    drain_s: float
    access_log: str | None = None
    tracing: dict[str, Any] | None = None

    def places(self, slot: int) -> list[Place]:
        """Where the worker in this slot listens, in the order of the entries."""
        return [Place(entry.host, entry.port, slot) for entry in self.entries]

    def boot(
        self,
        slot: int,
        writer: str,
        channel_fd: int,
        listener_fds: Sequence[int],
        snapshot: Path,
        handover_fd: int | None = None,
    ) -> dict[str, Any]:
        """The document that a worker is started with."""
        return {
            "pool": self.pool,
            "slot": slot,
            "writer": writer,
            "data_dir": str(self.data_dir),
            "channel_fd": channel_fd,
            "handover_fd": handover_fd,
            "listeners": [
                {
                    "fd": fd,
                    "network": entry.network,
                    "tls": None if entry.tls is None else asdict(entry.tls),
                    "proxy_protocol": entry.proxy_protocol,
                    "proxy_protocol_from": list(entry.proxy_protocol_from),
                }
                for fd, entry in zip(listener_fds, self.entries, strict=True)
            ],
            "snapshot": str(snapshot),
            "limits": str(self.limits),
            "workers": self.workers,
            "clock": self.clock,
            "client": self.client,
            "trusted_proxies": list(self.trusted_proxies),
            "drain_s": self.drain_s,
            "access_log": self.access_log,
            "tracing": self.tracing,
        }

    def require_startable(self) -> None:
        """Raises StartError where a worker's document is longer than the system passes on to a process."""
        document = self.boot(0, "", 0, [0] * len(self.entries), Path())
        if (size := len(orjson.dumps(document))) > _BOOT_BYTES_MAX:
            raise StartError(
                f"what workers of {self.pool} are started with takes {size} bytes, of {_BOOT_BYTES_MAX}: fewer "
                "trusted_proxies, entries, certificates, or addresses in proxy_protocol_from are possible"
            )


def pool_specs(settings: Settings, clock: dict[str, Any], limit_table: Callable[[str], Path]) -> list[PoolSpec]:
    """The shared pool, and one for each dedicated instance."""
    common: dict[str, Any] = {
        "data_dir": Path(settings.node.data_dir),
        "clock": clock,
        "client": settings.client.model_dump(),
        "trusted_proxies": tuple(str(cidr) for cidr in settings.trusted_proxies),
        "drain_s": settings.drain,
        "access_log": None if settings.access_log is None else str(settings.access_log.file),
        "tracing": None if settings.tracing is None else {"node": settings.node.name} | settings.tracing.model_dump(),
    }
    specs = []
    if settings.entry:
        entries = tuple(_entry(entry) for entry in settings.entry)
        specs.append(PoolSpec(SHARED, entries, workers_of(settings, SHARED), limits=limit_table(SHARED), **common))
    for instance in settings.instances:
        if instance.type == "dedicated":
            entries = tuple(_entry(entry) for entry in instance.entry or ())
            workers = workers_of(settings, instance.id)
            specs.append(PoolSpec(instance.id, entries, workers, limits=limit_table(instance.id), **common))
    return specs


def workers_of(settings: Settings, pool: str) -> int:
    """How many workers a pool has."""
    if pool == SHARED:
        return settings.shared_workers or len(os.sched_getaffinity(0))
    return next((one.workers for one in settings.instances if one.id == pool), None) or 1


def _entry(entry: schema.Entry) -> Entry:
    bind = entry.bind
    tls = None if entry.tls is None else _tls(entry.tls)
    return Entry(bind.host, bind.port, entry.network, tls, entry.proxy_protocol, entry.proxy_protocol_from)


def _tls(tls: schema.Tls) -> TlsSettings:
    pairs = [(str(pair.certificate), str(pair.key)) for pair in tls.certificates]
    if tls.certificate is not None:
        pairs.insert(0, (str(tls.certificate), str(tls.key)))
    if tls.client_ca is None:
        return TlsSettings(tuple(pairs), tls.min_version, tls.max_version)
    return TlsSettings(
        tuple(pairs),
        tls.min_version,
        tls.max_version,
        str(tls.client_ca),
        tls.client_auth or "required",
        tls.client_cert,
    )
