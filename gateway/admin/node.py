"""What the admin API needs of the node that it speaks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from gateway.control.office import Office

T = TypeVar("T")


class Node(Protocol):
    """A running node. Both calls do the store's work off the event loop, one at a time, and raise Refusal."""

    async def ask(self, question: Callable[[Office], T]) -> T:
        """Read."""
        ...

    async def act(self, action: Callable[[Office], T]) -> T:
        """Write; what it changes is live on every worker when this returns, or a second later at most."""
        ...

    async def restart(self) -> None:
        """Replace every worker, one at a time in each pool, without losing a request. Raises StartError."""
        ...

    def is_ready(self) -> bool:
        """The store is open and every pool serves by its current snapshot."""
        ...

    def describe(self) -> dict[str, Any]:
        """Name, version, clock, pools: for people."""
        ...

    async def exposition(self, *, is_openmetrics: bool) -> tuple[bytes, str]:
        """The metrics and their content type: in OpenMetrics' format, or as Prometheus' text."""
        ...
