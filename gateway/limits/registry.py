"""Which slot of the table belongs to which limit: the control process's book, kept over restarts."""

from __future__ import annotations

import os
from collections.abc import Set
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import Protocol

import orjson

from gateway.limits.table import SLOTS


class Table(Protocol):
    """What slots are of."""

    def reset(self, slot: int) -> None: ...


class SlotRegistry:
    """Names (`instance:acme`, `service:orders`, `route:orders/list`) to slot numbers."""

    def __init__(self, path: Path, table: Table, slots: int = SLOTS) -> None:
        """``slots``: how many the table has."""
        self._most = slots
        self._path = path
        self._table = table
        self._slots: dict[str, int] = orjson.loads(path.read_bytes()) if path.exists() else {}
        self._is_written = path.exists()
        taken = set(self._slots.values())
        self._next = max(taken, default=-1) + 1  # From here on every slot is free.
        self._free = [slot for slot in range(self._next) if slot not in taken]
        heapify(self._free)

    def slot(self, name: str) -> int:
        """The name's slot, the lowest free one where it had none. Raises ValueError when all are taken."""
        slot = self._slots.get(name)
        if slot is None:
            if self._free:
                slot = heappop(self._free)
            elif self._next < self._most:
                slot = self._next
                self._next += 1
            else:
                raise ValueError(f"more than {self._most} limits in one pool")
            self._table.reset(slot)
            self._slots[name] = slot
            self._is_written = False
        return slot

    @property
    def names(self) -> Set[str]:
        return self._slots.keys()

    def keep_only(self, names: Set[str]) -> None:
        """Forgets the limits that no snapshot has any more, and writes the book where it changed."""
        for name in self._slots.keys() - names:
            heappush(self._free, self._slots.pop(name))
            self._is_written = False
        if self._is_written:
            return
        part = self._path.with_suffix(".part")
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(orjson.dumps(self._slots))
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)
        self._is_written = True
