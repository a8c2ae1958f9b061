"""The limits' shared state: one file of slots, mapped by every worker of a pool.

A slot is three 64-bit words: the limit's theoretical arrival time (TAT) in nanoseconds of CLOCK_MONOTONIC, which all
processes of a machine share; its setting (`setting.py`); and the number of tokens taken from it, for people to see.
A slot has a cache line of its own, so that two limits do not slow each other.
The lock is `fcntl.lockf`: the kernel releases it when its holder dies, at whatever instruction (0.7 us). It is one
for each process, so a process maps a table once and takes its lock on one thread.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Final

from gateway.limits.setting import Setting

MAGIC: Final = b"tollglim"
VERSION: Final = 2
HEADER_BYTES: Final = 4096
SLOT_BYTES: Final = 64
WORDS_PER_SLOT: Final = SLOT_BYTES // 8
SETTING: Final = 1  # word of a slot; its TAT is word 0
TAKEN: Final = 2
# Slots set under one lock: workers wait no longer than a tenth of a millisecond for it.
_SET_AT_ONCE: Final = 64
# 2,000 services with 100 routes each, twice over, for three snapshots: that of now, the one before, the next one
# (gateway/control/room.py). The file is sparse: a slot costs once it is used.
SLOTS: Final = 3 * 524_288
_FILE_BYTES: Final = HEADER_BYTES + SLOTS * SLOT_BYTES
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class LimitTableError(Exception):
    """A file that is no limit table. The message names it."""


def _header() -> bytes:
    """Magic, version, and the machine's boot: its monotonic clock starts anew with each."""
    boot = _BOOT_ID.read_bytes().strip() if _BOOT_ID.exists() else b"-"
    return MAGIC + VERSION.to_bytes(8, "little") + boot.ljust(64, b"\0")


class LimitTable:
    """One process's mapping of the file. ``words[slot * WORDS_PER_SLOT]`` is a slot's TAT."""

    __slots__ = ("_file", "_map", "words")

    def __init__(self, file: int) -> None:
        self._file = file
        self._map = mmap.mmap(file, _FILE_BYTES)
        self.words = memoryview(self._map)[HEADER_BYTES:].cast("q")

    @classmethod
    def create(cls, path: Path) -> LimitTable:
        """Opens the file, made anew unless it is one of ours from this boot: its state outlives processes."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        header = _header()
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.pread(file, len(header), 0) != header:
            os.close(file)
            file = _make(path, header)
        elif os.fstat(file).st_size < _FILE_BYTES:
            os.ftruncate(file, _FILE_BYTES)  # Made by a version with fewer slots; what workers have mapped stays.
        return cls(file)

    @classmethod
    def open(cls, path: Path) -> LimitTable:
        """A worker's view of a file that the control process has made. Raises LimitTableError."""
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        header = _header()
        if os.pread(file, len(header), 0) != header:
            os.close(file)
            raise LimitTableError(f"{path}: not a limit table of this boot")
        return cls(file)

    def lock(self) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_EX)

    def unlock(self) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN)

    def reset(self, slot: int) -> None:
        """A slot for a new limit: no debt, no setting yet. What was taken counts on: who looks sees differences."""
        at = slot * WORDS_PER_SLOT
        self.words[at] = self.words[at + SETTING] = 0

    def set(self, settings: Iterable[tuple[int, Setting]], now_ns: int) -> None:
        """From here on these (slot, setting) hold, for every worker. The control process's to call.

        A TAT further ahead than the setting itself could bring it is brought back to there. The setting is stored
        first: a death in between leaves a limit that is too strict until the next start sets it again.
        """
        remaining = iter(settings)
        while some := list(islice(remaining, _SET_AT_ONCE)):
            self.lock()
            try:
                for slot, setting in some:
                    at = slot * WORDS_PER_SLOT
                    self.words[at + SETTING] = setting.word
                    latest_ns = now_ns + setting.tolerance_ns + setting.interval_ns
                    if self.words[at] > latest_ns:
                        self.words[at] = latest_ns
            finally:
                self.unlock()

    def close(self) -> None:
        self.words.release()
        self._map.close()
        os.close(self._file)


def _make(path: Path, header: bytes) -> int:
    """A new file in the place of one that is not ours. Beside it first: a worker may have the old one mapped."""
    part = path.with_suffix(".part")
    file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.ftruncate(file, _FILE_BYTES)
    os.pwrite(file, header, 0)
    part.replace(path)
    return file
