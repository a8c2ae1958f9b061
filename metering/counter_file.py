"""One worker's counters of one usage hour: a shared mapping of a file, so that they outlive a `kill -9`.

Layout (little endian, as the machine is): a header of 4,096 bytes, then rows of 1,088: a key area of 256 bytes, 96
cells of 64 bits, and 64 bytes of nothing. The file is sparse up to its capacity, so rows are added without moving; each
row is allocated before it is used, so that a full disk is an error here and no SIGBUS later. A row without a key is
free: it was another's in the hour before, and is the next new one's.

The nothing at a row's end is for the CPU's cache: rows of 1,024 would have the cells that each request touches, of all
rows, in an eighth of its sets.

Header: 0 magic, 8 version, 12 hour, 20 writer (128 bytes), 148 CRC-32 of all that; outside of it what changes, as
64-bit words: 512 sealed, 520 jumps of the clock refused, 528 and 536 exchanges under way when the hour began and ended,
544 how many rows to look at.

The writer holds an exclusive `flock` on its file: the system drops it with the process, so whoever can take it knows
that the writer is gone, whatever else is known of it. The header is written last: a file without one is being made.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from metering.cells import CELLS

MAGIC: Final = b"tollgctr"
VERSION: Final = 4
# 1 had no count of how exchanges ended: for it the identity is not checked. 1 and 2 had no free rows, so that the first
# row without a key ends them. 1 to 3 had nothing between rows.
_VERSIONS: Final = (1, 2, 3, 4)
HEADER_BYTES: Final = 4096
KEY_BYTES: Final = 256
_KEY_AND_CELLS_BYTES: Final = KEY_BYTES + CELLS * 8
ROW_BYTES: Final = _KEY_AND_CELLS_BYTES + 64
ROWS_MAX: Final = 65_536
ID_BYTES_MAX: Final = 63
WORDS_PER_ROW: Final = ROW_BYTES // 8
FIRST_CELL: Final = KEY_BYTES // 8  # of a row, in 64-bit words
# magic, version, hour, writer, crc32 of all before it; then, outside the checksum, what changes: sealed.
_IMMUTABLE = struct.Struct("<8sIq128s")
_CRC = struct.Struct("<I")
_SEALED_AT, _JUMPS_AT, _UNDER_WAY_AT_BEGIN_AT, _UNDER_WAY_AT_END_AT = 512, 520, 528, 536
_ROWS_AT: Final = 544
_WORD = struct.Struct("<Q")
_KEY = struct.Struct("<B4B")  # used flag, then the lengths of account, instance, region, service


class CounterFileError(Exception):
    """A file that is no counter file of ours, or a broken one. The message names it."""


@dataclass(frozen=True, slots=True)
class RowKey:
    """Whose counters a row holds. `-` where there is none."""

    account: str
    instance: str
    region: str
    service: str


def file_name(hour: int, writer: str) -> str:
    return f"{hour}-{writer.replace(':', '.')}.ctr"


class CounterFileWriter:
    """The one writer of a file. ``words`` are all rows as 64-bit words; see `FIRST_CELL`."""

    def __init__(
        self, directory: Path, writer: str, hour: int, keys: Mapping[RowKey, int] | None = None, under_way: int = 0
    ) -> None:
        """``keys``: the rows to begin with; ``under_way``: counted exchanges that go on from the hour before.

        Raises as `add_row` does, and leaves no file then.
        """
        self.hour = hour
        self.path = directory / file_name(hour, writer)
        keys = keys or {}
        self._rows = max(keys.values(), default=-1) + 1
        self._free = sorted(set(range(self._rows)) - set(keys.values()), reverse=True)  # the lowest one last
        directory.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._file, HEADER_BYTES + ROWS_MAX * ROW_BYTES)
            os.posix_fallocate(self._file, 0, HEADER_BYTES + self._rows * ROW_BYTES)
            self._map = mmap.mmap(self._file, 0)
            for key, number in keys.items():
                self._write_key(key, number)
        except (OSError, ValueError):
            self.path.unlink()
            os.close(self._file)
            raise
        self._set(_UNDER_WAY_AT_BEGIN_AT, under_way)
        self._set(_ROWS_AT, self._rows)
        immutable = _IMMUTABLE.pack(MAGIC, VERSION, hour, writer.encode())
        self._map[: len(immutable) + _CRC.size] = immutable + _CRC.pack(zlib.crc32(immutable))
        self.words = memoryview(self._map)[HEADER_BYTES:].cast("Q")

    def add_row(self, key: RowKey) -> int:
        """Adds a row and returns its number. Raises OSError when the disk is full, ValueError past the bounds."""
        number = self._free[-1] if self._free else self._rows
        if number == ROWS_MAX:
            raise ValueError(f"more than {ROWS_MAX} (instance, service) rows in an hour")
        os.posix_fallocate(self._file, HEADER_BYTES + number * ROW_BYTES, ROW_BYTES)
        self._write_key(key, number)
        if self._free:
            self._free.pop()
        else:
            self._rows += 1
            self._set(_ROWS_AT, self._rows)
        return number

    def _write_key(self, key: RowKey, number: int) -> None:
        ids = [text.encode() for text in (key.account, key.instance, key.region, key.service)]
        if any(len(text) > ID_BYTES_MAX for text in ids):
            raise ValueError(f"an id is longer than {ID_BYTES_MAX} bytes: {key}")
        at = HEADER_BYTES + number * ROW_BYTES
        packed = bytes(len(text) for text in ids) + b"".join(ids)
        if 1 + len(packed) > KEY_BYTES:
            raise ValueError(f"the ids are too long together: {key}")
        self._map[at + 1 : at + 1 + len(packed)] = packed
        self._map[at] = 1  # Last, so that a reader never sees half a key.

    def seal(self, under_way: int = 0) -> None:
        """Says that nothing will be added any more. ``under_way``: counted exchanges that end in a later hour."""
        self._set(_UNDER_WAY_AT_END_AT, under_way)
        self._map[_SEALED_AT] = 1

    def note_jumps(self, number: int) -> None:
        """How often this writer refused to follow the clock: an alarm, for whoever reads the file."""
        self._set(_JUMPS_AT, number)

    def descriptor(self) -> int:
        """A descriptor of the file of the caller's own, for `sync` on a thread. It holds the lock too until closed."""
        return os.dup(self._file)

    def _set(self, at: int, value: int) -> None:
        self._map[at : at + _WORD.size] = _WORD.pack(value)

    def close(self) -> None:
        """Ends the mapping. A view of ``words`` that is still held keeps it alive; its counts stay in the file."""
        os.close(self.leave())

    def leave(self) -> int:
        """Ends the mapping as `close` does; the descriptor is the caller's from here on, for `sync`. Opens nothing."""
        self.words.release()
        self._map.close()
        return self._file


def sync(descriptors: Iterable[int]) -> None:
    """Brings files to the disk and closes the descriptors: what a power loss can take is bounded by when this ran.

    Pages of a shared mapping are the file's, so `fdatasync` writes them as `msync` would, and lets other threads run.
    Raises OSError, with every descriptor closed.
    """
    failed: OSError | None = None
    for descriptor in descriptors:
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            failed = error
        finally:
            os.close(descriptor)
    if failed is not None:
        raise failed


class CounterFileReader:
    """Reads a file while its writer goes on: cells are read whole, rows only once their key is whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(self._file).st_size < HEADER_BYTES:
                raise CounterFileError(f"{path}: shorter than a header")
            self._map = mmap.mmap(self._file, 0, access=mmap.ACCESS_READ)
            try:
                self._read_header(path)
            except CounterFileError:
                self._map.close()
                raise
        except (CounterFileError, OSError):
            os.close(self._file)
            raise

    def _read_header(self, path: Path) -> None:
        immutable = self._map[: _IMMUTABLE.size]
        magic, version, hour, writer = _IMMUTABLE.unpack(immutable)
        (crc,) = _CRC.unpack(self._map[_IMMUTABLE.size : _IMMUTABLE.size + _CRC.size])
        if magic != MAGIC or crc != zlib.crc32(immutable):
            raise CounterFileError(f"{path}: not a counter file, or its header is broken")
        if version not in _VERSIONS:
            raise CounterFileError(f"{path}: version {version}, this program reads up to {VERSION}")
        self.counts_ends: bool = version >= 2
        self._has_free_rows = version >= 3
        self._row_bytes = ROW_BYTES if version >= 4 else _KEY_AND_CELLS_BYTES
        self.hour: int = hour
        self.writer: str = writer.rstrip(b"\0").decode()
        self._rows_max = (len(self._map) - HEADER_BYTES) // self._row_bytes

    @property
    def is_sealed(self) -> bool:
        return self._map[_SEALED_AT] == 1

    @property
    def is_abandoned(self) -> bool:
        """Whether the writer's process is gone: its lock went with it."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return True

    @property
    def jumps(self) -> int:
        """How often the writer refused to follow the clock."""
        return self._word(_JUMPS_AT)

    @property
    def under_way(self) -> tuple[int, int]:
        """Counted exchanges that were under way when the hour began, and, of a sealed file, when it ended."""
        return self._word(_UNDER_WAY_AT_BEGIN_AT), self._word(_UNDER_WAY_AT_END_AT)

    def _word(self, at: int) -> int:
        (value,) = _WORD.unpack(self._map[at : at + _WORD.size])
        return int(value)

    def row_bytes(self) -> Iterator[tuple[int, bytes]]:
        """(row number, its raw bytes) of each row in use."""
        rows = min(self._word(_ROWS_AT), self._rows_max) if self._has_free_rows else self._rows_max
        for number in range(rows):
            at = HEADER_BYTES + number * self._row_bytes
            if self._map[at] == 1:
                yield number, self._map[at : at + _KEY_AND_CELLS_BYTES]
            elif not self._has_free_rows:
                return

    def close(self) -> None:
        self._map.close()
        os.close(self._file)


def row_key(raw: bytes) -> RowKey:
    """The key in a row's bytes."""
    _, *lengths = _KEY.unpack(raw[: _KEY.size])
    at = _KEY.size
    ids = []
    for length in lengths:
        ids.append(raw[at : at + length].decode())
        at += length
    return RowKey(*ids)


def row_cells(raw: bytes) -> list[int]:
    """The 96 cells in a row's bytes."""
    return memoryview(raw)[KEY_BYTES:].cast("Q").tolist()
