"""What the admin API turned away: counted for /metrics, and logged once a minute, however often it happens."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_log = logging.getLogger(__name__)

LOG_INTERVAL_S: Final = 60.0
# Why a request was refused, or a connection ended, before anybody looked at what it wants.
REQUESTS: Final = {
    "token": "a wrong token",
    "tries": "too many wrong tokens before",
    "no_token": "no token",
    "session": "no session",
    "origin": "a page of another origin",
    "host": "a Host that is not this node's",
    "malformed": "what is no HTTP",
}
CONNECTIONS: Final = {
    "client": "too many of one client",
    "all": "too many in all",
    "deadline": "nothing, or too little, was said in time",
    "descriptors": "no descriptor for it",
}


class Watch(Collector):
    """Registered with prometheus_client. Used on the event loop."""

    def __init__(self) -> None:
        self.connections: Callable[[], int] = lambda: 0  # that are open now
        self._requests = _Told("requests to the admin API were refused", REQUESTS)
        self._connections = _Told("connections to the admin API were closed", CONNECTIONS)

    def refused(self, reason: str, client: str) -> None:
        self._requests.note(reason, client)

    def closed(self, reason: str, client: str) -> None:
        self._connections.note(reason, client)

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "tollgate_admin_refused", "Requests to the admin API refused before they were looked at.", labels=["reason"]
        )
        connections = CounterMetricFamily(
            "tollgate_admin_connections_refused", "Connections to the admin API refused or cut.", labels=["reason"]
        )
        for family, told in ((requests, self._requests), (connections, self._connections)):
            for reason in told.reasons:
                family.add_metric([reason], told.counts[reason])
        now = GaugeMetricFamily("tollgate_admin_connections", "Connections to the admin API that are open.")
        now.add_metric([], self.connections())
        yield from (requests, connections, now)


class _Told:
    """Counts by reason; the first is logged at once, what follows with its number when a minute is over."""

    def __init__(self, what: str, reasons: dict[str, str]) -> None:
        self.counts: Counter[str] = Counter()
        self.reasons = reasons
        self._what = what
        self._untold: Counter[str] = Counter()
        self._last_client = ""
        self._pause: asyncio.TimerHandle | None = None

    def note(self, reason: str, client: str) -> None:
        self.counts[reason] += 1
        self._untold[reason] += 1
        self._last_client = client
        if self._pause is None:
            self._tell()

    def _tell(self) -> None:
        self._pause = None
        if not self._untold:
            return
        reasons = ", ".join(f"{number} for {self.reasons[reason]}" for reason, number in self._untold.items())
        _log.warning("%d %s: %s; the last of %s", self._untold.total(), self._what, reasons, self._last_client)
        self._untold.clear()
        self._pause = asyncio.get_running_loop().call_later(LOG_INTERVAL_S, self._tell)
