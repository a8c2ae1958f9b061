"""Active probes (L9): asks every target that has `health` how it is, and tells TargetHealth.

They come from the control process, so that their number does not grow with the workers; nothing of them is metered.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from collections.abc import Sequence
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from config.schema import Health
from gateway.control.target_health import TargetHealth, Watched
from gateway.proxy.resolver import Resolver
from gateway.proxy.upstream_tls import TlsContexts

log = logging.getLogger(__name__)

PROBES_AT_ONCE: Final = 64  # Bounds sockets and bursts of work; the others wait their turn.
# A probe takes at most its interval, within these bounds: a busy machine is not a dead target, and 5 s is long enough.
PROBE_S_MIN: Final = 1.0
PROBE_S_MAX: Final = 5.0
JITTER: Final = 0.1  # of the interval, either way: the probes of a thousand targets do not march in step
_FIELDS: Final = {"User-Agent": "tollgate-probe", "Accept": "*/*"}


class InTurn(AbstractResolver):
    """Names as the workers resolve them: each probe begins with the next address, as the traffic does."""

    def __init__(self, resolver: Resolver, egress_ip: str | None) -> None:
        self._resolver = resolver
        self._family = 0 if egress_ip is None else socket.AF_INET6 if ":" in egress_ip else socket.AF_INET

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=of, proto=0, flags=socket.AI_NUMERICHOST)
            for of, address in await self._resolver.addresses(host, self._family or family)
        ]

    async def close(self) -> None:
        """The resolver is the prober's."""


class Prober:
    """One task for each probed target. ``follow`` is synchronous; ``close`` ends everything."""

    def __init__(self, health: TargetHealth) -> None:
        self._health = health
        self._followed: Sequence[Watched] = ()
        self._tasks: dict[Watched, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._at_once = asyncio.Semaphore(PROBES_AT_ONCE)
        self._sessions: dict[str | None, aiohttp.ClientSession] = {}  # by egress address
        self._contexts = TlsContexts()
        self._resolver = Resolver()

    def follow(self, watched: Sequence[Watched]) -> None:
        """Probe these from here on; a target whose settings did not change is probed on in its rhythm."""
        if watched is self._followed:
            return
        self._followed = watched
        self._health.follow(watched)
        self._resolver.keep_only({URL(one.url).host or "" for one in watched})
        wanted = {one for one in watched if one.health is not None}
        for gone in self._tasks.keys() - wanted:
            task = self._tasks.pop(gone)
            task.cancel()
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        loop = asyncio.get_running_loop()
        for one in wanted - self._tasks.keys():
            assert one.health is not None
            self._tasks[one] = loop.create_task(self._probe_on(one, one.health), name=f"probe {one.service} {one.url}")

    async def close(self) -> None:
        tasks = [*self._tasks.values(), *self._leaving]
        self._tasks = {}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for session in self._sessions.values():
            await session.close()
        self._sessions = {}

    async def _probe_on(self, watched: Watched, health: Health) -> None:
        await asyncio.sleep(random.random() * health.interval)
        while True:
            began_s = time.monotonic()
            async with self._at_once:
                fault = await self._fault(watched, health)
            if self._health.probed(watched.key, is_good=not fault):
                state = f"down: {fault}" if fault else "up"
                log.warning("target %s of service %s is %s, say the probes", watched.url, watched.service, state)
            pause_s = health.interval * random.uniform(1 - JITTER, 1 + JITTER)
            await asyncio.sleep(max(0.0, pause_s - (time.monotonic() - began_s)))

    async def _fault(self, watched: Watched, health: Health) -> str:
        """What is wrong with the target; empty when nothing is. Redirects are not followed."""
        url = URL(watched.url.rstrip("/") + health.path, encoded=True)
        tls = watched.tls
        try:
            async with (
                asyncio.timeout(min(PROBE_S_MAX, max(PROBE_S_MIN, health.interval))),
                self._session(watched.egress_ip).get(
                    url,
                    headers={"Host": watched.host} if watched.host else None,
                    allow_redirects=False,
                    ssl=self._contexts.context(tls.model_dump(mode="json")) if url.scheme == "https" else True,
                    server_hostname=tls.server_name if url.scheme == "https" else None,
                ) as response,
            ):
                return "" if _is_well(response.status, health) else f"it answers {response.status}"
        except TimeoutError:
            return "no answer in time"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return str(error) or error.__class__.__name__

    def _session(self, egress_ip: str | None) -> aiohttp.ClientSession:
        session = self._sessions.get(egress_ip)
        if session is None:
            # A new connection for each probe: whether one can be made is part of the question.
            connector = aiohttp.TCPConnector(
                force_close=True,
                limit=PROBES_AT_ONCE,
                resolver=InTurn(self._resolver, egress_ip),
                use_dns_cache=False,
                local_addr=(egress_ip, 0) if egress_ip else None,
            )
            session = self._sessions[egress_ip] = aiohttp.ClientSession(
                connector=connector, headers=_FIELDS, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            )
        return session


def _is_well(status: int, health: Health) -> bool:
    text = str(status)
    return any(rule in (text, f"{text[0]}xx") for rule in health.status)
