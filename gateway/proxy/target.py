"""An upstream's addresses: which one is next, which is out, and its connections at rest (L9, L10)."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from metering.cells import egress_cell

if TYPE_CHECKING:
    from gateway.proxy.upstream import UpstreamConnection

FAILURES_TO_EJECT: Final = 5
EJECT_S: Final = 10.0
IDLE_CONNECTIONS_MAX: Final = 512  # For each target and worker; more than a burst's worth only holds memory.


class Target:
    """One address. ``failures`` in a row eject it for a while; then one trial decides (DESIGN 1.7)."""

    __slots__ = (
        "base_path",
        "egress_offset",
        "ejected_until_s",
        "failures",
        "host",
        "host_field",
        "idle",
        "is_probed_down",
        "is_trial",
        "local_address",
        "outstanding",
        "port",
        "tls",
        "url",
        "weight",
    )

    def __init__(self, url: str, weight: int, network: str, egress_ip: str | None) -> None:
        parts = urlsplit(url)
        self.url = url
        self.weight = weight
        self.host = parts.hostname or ""
        self.tls = ssl.create_default_context() if parts.scheme == "https" else None
        self.port = parts.port or (443 if self.tls else 80)
        self.host_field = parts.netloc.rpartition("@")[2].encode()
        self.base_path = parts.path.rstrip("/").encode()
        self.local_address = (egress_ip, 0) if egress_ip else None
        self.egress_offset = egress_cell("backend", network, "application")
        self.idle: list[UpstreamConnection] = []
        self.outstanding = 0
        self.failures = 0
        self.ejected_until_s = 0.0
        self.is_trial = False
        self.is_probed_down = False

    def succeeded(self) -> None:
        self.failures = 0
        self.is_trial = False
        self.ejected_until_s = 0.0

    def failed(self, now_s: float) -> None:
        """One failure: refused, reset, timed out or malformed."""
        self.failures += 1
        if self.failures >= FAILURES_TO_EJECT or self.is_trial:
            self.ejected_until_s = now_s + EJECT_S
            self.is_trial = False

    def is_out(self, now_s: float) -> bool:
        return self.ejected_until_s > now_s


class TargetGroup:
    """A service's targets, smooth weighted round robin or least outstanding."""

    __slots__ = ("_at", "_by_least", "_turns", "base_path", "targets")

    def __init__(self, targets: Sequence[Target], balance: str) -> None:
        self.targets = tuple(targets)
        base_paths = {target.base_path for target in targets}
        self.base_path = base_paths.pop() if len(base_paths) == 1 else None  # the one all share, if they do
        self._by_least = balance == "least_outstanding"
        self._turns = _turns(targets)
        self._at = 0

    def pick(self, now_s: float, avoid: Target | None = None) -> Target | None:
        """The next target; ejected ones only when nothing else is left, probed-down ones never."""
        turns = self._turns
        if len(turns) == 1 and avoid is None:
            only = turns[0]
            return None if only.is_probed_down else only
        if self._by_least:
            usable = [t for t in self.targets if not t.is_probed_down and not t.is_out(now_s) and t is not avoid]
            if usable:
                return min(usable, key=lambda t: t.outstanding / t.weight)
        fallback = None
        for _ in turns:
            self._at = at = (self._at + 1) % len(turns)
            target = turns[at]
            if target.is_probed_down:
                continue
            if target is avoid or target.is_out(now_s):
                fallback = fallback or target
                continue
            if target.ejected_until_s:  # Back from ejection: one trial, the rest waits for its outcome.
                if target.is_trial:
                    fallback = fallback or target
                    continue
                target.is_trial = True
            return target
        return fallback


def _turns(targets: Sequence[Target]) -> tuple[Target, ...]:
    """One round of smooth weighted round robin, laid out beforehand so that a pick is an index."""
    total = sum(target.weight for target in targets)
    current = [0] * len(targets)
    turns = []
    for _ in range(total):
        for index, target in enumerate(targets):
            current[index] += target.weight
        best = max(range(len(targets)), key=current.__getitem__)
        current[best] -= total
        turns.append(targets[best])
    return tuple(turns)
