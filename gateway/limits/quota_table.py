"""The counts of quotas: one file of 64-bit words, mapped by every worker of a pool, kept over restarts and boots.

A word is a period and the number of calls in it, so that no death leaves one without the other. A quota has two, of
its day and of its month, and both are counted whichever is limited: a quota that becomes one of the other kind knows
what was used. The lock is taken as the limits' is (`table.py`), and before it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from pathlib import Path
from typing import Final

MAGIC: Final = b"tollgquo"
VERSION: Final = 1
HEADER_BYTES: Final = 4096
QUOTAS: Final = 3 * 262_144  # in a pool, for three snapshots; the file is sparse
# The months' words stand behind all others: where an older file ends, and this version's go on.
_MONTHS_AT: Final = HEADER_BYTES + QUOTAS * 8
_FILE_BYTES: Final = _MONTHS_AT + QUOTAS * 8
_HEADER: Final = MAGIC + VERSION.to_bytes(8, "little")
CALLS_MAX: Final = (1 << 40) - 1  # what the bits of a word below its period can count


class QuotaTableError(Exception):
    """A file that is no table of quotas. The message names it."""


class QuotaTable:
    """One process's mapping of the file; ``words[slot]`` is a quota's word of its day, ``months[slot]`` of its month.

    An older version kept a limited month in ``words``: it is read there until it is counted on.
    """

    __slots__ = ("_file", "_map", "months", "words")

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it. Raises QuotaTableError: counts that are paid for are not thrown away."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        found = os.pread(self._file, len(_HEADER), 0)
        if found not in (b"", _HEADER):
            os.close(self._file)
            raise QuotaTableError(f"{path}: not a table of quotas of version {VERSION}")
        if os.fstat(self._file).st_size < _FILE_BYTES:
            os.ftruncate(self._file, _FILE_BYTES)
        if not found or found != _HEADER:
            os.pwrite(self._file, _HEADER, 0)
        self._map = mmap.mmap(self._file, _FILE_BYTES)
        self.words = memoryview(self._map)[HEADER_BYTES:_MONTHS_AT].cast("q")
        self.months = memoryview(self._map)[_MONTHS_AT:].cast("q")

    def lock(self) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_EX)

    def unlock(self) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN)

    def reset(self, slot: int) -> None:
        """A slot for a new quota: nothing used."""
        self.words[slot] = 0
        self.months[slot] = 0

    def close(self) -> None:
        self.words.release()
        self.months.release()
        self._map.close()
        os.close(self._file)


def quota_table_path(limit_table: Path) -> Path:
    """Beside the pool's limit table."""
    return limit_table.with_suffix(".quotas")
