"""Entries of other slots of the pool, which this worker serves while their workers are away."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any, Final

from config.certificates import CertificateError
from gateway.entry.entry import Entry
from gateway.handover import Handover
from gateway.proxy.core import Core

log: Final = logging.getLogger("tollgate.entry")


class LentEntries:
    """``listeners``: what the worker's own entries are, in their order; those of other slots are like them."""

    def __init__(self, core: Core, listeners: Sequence[dict[str, Any]]) -> None:
        self._core = core
        self._listeners = listeners
        self._of_slot: dict[int, list[Entry]] = {}
        self._is_closed = False

    def __iter__(self) -> Iterator[Entry]:
        for entries in self._of_slot.values():
            yield from entries

    async def take(self, handover: Handover) -> None:
        """Serve a slot's sockets, or give them back."""
        slot, descriptors = handover
        for entry in self._of_slot.pop(slot, ()):
            # What waits in its queue waits for the slot's worker: the socket itself stays open there.
            entry.close()
        if self._is_closed or len(descriptors) != len(self._listeners):
            for descriptor in descriptors:
                os.close(descriptor)
            return
        pairs = zip(self._listeners, descriptors, strict=True)
        entries = [Entry(self._core, {**listener, "fd": fd}) for listener, fd in pairs]
        if entries:
            self._of_slot[slot] = entries
        for entry in entries:
            try:
                await entry.open()
            except (CertificateError, OSError) as error:
                log.error("an entry of slot %d is not served for it: %s", slot, error)

    def close(self) -> None:
        """Accepts no more, here or later."""
        self._is_closed = True
        for entry in self:
            entry.close()
