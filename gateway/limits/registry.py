"""Which slot of the table belongs to which limit: the control process's book, kept over restarts."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path

from gateway.limits.table import SLOTS, LimitTable


class SlotRegistry:
    """Names (`instance:acme`, `service:orders`, `route:orders/list`) to slot numbers."""

    def __init__(self, path: Path, table: LimitTable) -> None:
        self._path = path
        self._table = table
        self._slots: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}

    def slot(self, name: str) -> int:
        """The name's slot, a fresh one where it had none. Raises ValueError when all are taken."""
        slot = self._slots.get(name)
        if slot is None:
            taken = set(self._slots.values())
            slot = next((number for number in range(SLOTS) if number not in taken), None)
            if slot is None:
                raise ValueError(f"more than {SLOTS} limits in one pool")
            self._table.reset(slot)
            self._slots[name] = slot
        return slot

    def keep_only(self, names: Collection[str]) -> None:
        """Forgets the limits that no snapshot has any more, and writes the book."""
        self._slots = {name: slot for name, slot in self._slots.items() if name in names}
        part = self._path.with_suffix(".part")
        with part.open("w") as file:
            json.dump(self._slots, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)
