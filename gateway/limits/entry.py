"""One limit or quota of a snapshot, as the book of slots and people see it."""

from __future__ import annotations

from typing import NamedTuple


class LimitEntry(NamedTuple):
    """``name`` is its level and what it is of: `instance:acme`, `route:orders/list`, `quota:orders/k1`."""

    name: str
    slot: int = 0
    instance: str = "-"
    service: str = "-"
    part: str = "-"  # the route's id, or the key's
    qps: int = 1  # of a quota: calls in its period
    is_shadow: bool = False
    per: str = ""  # of a quota: day or month

    @property
    def level(self) -> str:
        return self.name.partition(":")[0]

    @property
    def is_quota(self) -> bool:
        return bool(self.per)
