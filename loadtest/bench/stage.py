"""What runs during a benchmark, and what a scenario makes of it: its targets, and what else it found out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtest.bench import node, peers
from loadtest.bench.node import Gateway
from loadtest.bench.peers import Peer
from loadtest.bench.wrk import Load
from loadtest.processes import Processes, StartFailed

if TYPE_CHECKING:
    from loadtest.bench.runner import Row

Facts = dict[str, dict[str, float]]  # target -> what, with its unit -> how much
Step = Callable[[str], AbstractContextManager[object]]


@dataclass(frozen=True)
class Run:
    """One target of a scenario: where the load goes, and whose CPU time it is.

    ``rate``: requests a second, by the paced client, which is the target's origin at ``origin_port``; None: as many as
    are answered, by wrk. ``seconds_min``: a round of it is at least so long.
    """

    target: str
    url: str
    load: Load
    pids: tuple[int, ...]
    rate: float | None = None
    origin_port: int = 0
    seconds_min: float = 0.0


def _nothing(_: Sequence[Row]) -> Facts:
    return {}


@dataclass(frozen=True)
class Plan:
    """The targets in the order in which they take turns; ``facts``: what is known once they were measured.

    ``rounds_min``: they take at least so many.
    """

    runs: Sequence[Run]
    facts: Callable[[Sequence[Row]], Facts] = _nothing
    rounds_min: int = 0


class Stage:
    """Proxies, started when a scenario first asks for them. What could not be stands in ``left_out``."""

    def __init__(
        self,
        processes: Processes,
        folder: Path,
        origin_port: int,
        *,
        builds: Sequence[str],
        peer_names: Sequence[str],
        seconds: float,
        step: Step = lambda _: nullcontext(),
    ) -> None:
        self._processes, self.folder, self._origin_port = processes, folder, origin_port
        self._builds, self._peer_names = builds, peer_names
        self._step = step
        self.seconds = seconds
        self.left_out: list[str] = []

    @cached_property
    def gateways(self) -> list[Gateway]:
        """With a service for each feature."""
        return self.start_gateways("steps", node.step_services())

    @cached_property
    def peers(self) -> list[Peer]:
        return self.start_peers(self._peer_names)

    def start_gateways(
        self, name: str, services: list[dict[str, Any]], *, origin_port: int = 0, **settings: Any
    ) -> list[Gateway]:
        """A node of each build. ``origin_port``: of another origin than all have. ``settings``: as for `node.start`."""
        started = []
        for build in self._builds:
            with self._step(f"starting tollgate {build}, {name}"):
                try:
                    started.append(
                        node.start(
                            self._processes,
                            self.folder,
                            origin_port or self._origin_port,
                            build,
                            services,
                            name=name,
                            **settings,
                        )
                    )
                except StartFailed as error:
                    self.left_out.append(f"tollgate {build}, {name}: {error}")
        return started

    def start_peers(self, names: Sequence[str], *, origin_port: int = 0) -> list[Peer]:
        """Those of ``names`` that take part in this benchmark."""
        with self._step("starting other proxies"):
            chosen = [name for name in names if name in self._peer_names or peers.kind(name) in self._peer_names]
            running, left_out = peers.start(self._processes, self.folder, origin_port or self._origin_port, chosen)
        self.left_out += left_out
        return running
