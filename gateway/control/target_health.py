"""What the control process knows of every target: what its probes found, and what workers said (L9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from config.schema import Health, InstanceSettings, ServiceSettings, UpstreamTls

Key = tuple[str, str]  # service, url


class Watched(NamedTuple):
    """One configured target. ``health`` None: it is not probed, and known by its ejections only.

    ``host``: the Host field of its probes, where it is not the target's own.
    """

    service: str
    url: str
    egress_ip: str | None
    tls: UpstreamTls
    health: Health | None
    host: str | None = None

    @property
    def key(self) -> Key:
        return self.service, self.url


def watched_targets(
    services: Sequence[ServiceSettings], instances: Mapping[str, InstanceSettings]
) -> tuple[Watched, ...]:
    return tuple(
        Watched(
            service.id,
            target.url,
            instances[service.instance].egress_ip,
            upstream.tls,
            upstream.health,
            _probed_host(service),
        )
        for service in services
        if service.instance in instances
        for upstream in [service.upstream]
        for target in upstream.targets
    )


def _probed_host(service: ServiceSettings) -> str | None:
    """As its traffic has it: a virtual host that is asked for another name may well answer 404."""
    upstream = service.upstream
    if upstream.health is not None and upstream.health.host is not None:
        return upstream.health.host
    exact = [host for host in service.hosts if not host.startswith("*")]
    return exact[0] if upstream.preserve_host and exact else None


class _Probed:
    """A probed target: up until so many probes in a row say otherwise."""

    __slots__ = ("in_a_row", "is_down")

    def __init__(self) -> None:
        self.is_down = False
        self.in_a_row = 0  # results that speak against how it stands

    def result(self, health: Health, *, is_good: bool) -> bool:
        """Counts one probe. True: it changed sides."""
        if is_good != self.is_down:
            self.in_a_row = 0
            return False
        self.in_a_row += 1
        if self.in_a_row < (health.successes if is_good else health.failures):
            return False
        self.is_down = not is_good
        self.in_a_row = 0
        return True


class TargetHealth:
    """``publish`` gets the whole list of what is down, at every change. Used on the event loop only."""

    def __init__(self, publish: Callable[[Sequence[Key]], None]) -> None:
        self._publish = publish
        self._watched: dict[Key, Watched] = {}
        self._probed: dict[Key, _Probed] = {}
        self._ejected: dict[str, set[Key]] = {}  # by writer

    def follow(self, watched: Sequence[Watched]) -> None:
        """The configured targets are these from here on. What is still probed keeps its state."""
        down_before = self._down()
        self._watched = {one.key: one for one in watched}
        self._probed = {one.key: self._probed.get(one.key) or _Probed() for one in watched if one.health is not None}
        if self._down() != down_before:
            self._publish(self._down())

    def probed(self, key: Key, *, is_good: bool) -> bool:
        """One probe's result. True: the target went down or came up, and the workers were told."""
        watched, state = self._watched.get(key), self._probed.get(key)
        if watched is None or state is None or watched.health is None:
            return False  # It left the configuration while the probe was under way.
        has_changed = state.result(watched.health, is_good=is_good)
        if has_changed:
            self._publish(self._down())
        return has_changed

    def told(self, writer: str, at: str, service: str, url: str) -> None:
        """A worker ejected a target, or took it back."""
        ejected = self._ejected.setdefault(writer, set())
        if at == "ejected":
            ejected.add((service, url))
        else:
            ejected.discard((service, url))

    def forget(self, writer: str) -> None:
        """The worker is gone, and what it held against a target with it."""
        self._ejected.pop(writer, None)

    def states(self) -> Iterator[tuple[str, str, bool]]:
        """(service, url, is up) of every configured target. One that is not probed is down while a worker ejects it."""
        ejected = set().union(*self._ejected.values())
        for key in self._watched:
            state = self._probed.get(key)
            is_down = state.is_down if state is not None else key in ejected
            yield *key, not is_down

    def _down(self) -> list[Key]:
        return [key for key, state in self._probed.items() if state.is_down]
