"""One worker's counters of one usage hour: a shared mapping of a file, so that they outlive a `kill -9`.

Layout (little endian, as the machine is): a header of 4,096 bytes, then rows of 1,024: a key area of 256 bytes,
then 96 cells of 64 bits. The file is sparse up to its capacity, so rows are added without moving; each row is
allocated before it is used, so that a full disk is an error here and no SIGBUS later.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from metering.cells import CELLS

MAGIC: Final = b"tollgctr"
VERSION: Final = 1
HEADER_BYTES: Final = 4096
KEY_BYTES: Final = 256
ROW_BYTES: Final = KEY_BYTES + CELLS * 8
ROWS_MAX: Final = 65_536
ID_BYTES_MAX: Final = 63
WORDS_PER_ROW: Final = ROW_BYTES // 8
FIRST_CELL: Final = KEY_BYTES // 8  # of a row, in 64-bit words
# magic, version, hour, writer, crc32 of all before it; then, outside the checksum, what changes: sealed.
_IMMUTABLE = struct.Struct("<8sIq128s")
_CRC = struct.Struct("<I")
_SEALED_AT: Final = 512
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

    def __init__(self, directory: Path, writer: str, hour: int) -> None:
        self.hour = hour
        self.path = directory / file_name(hour, writer)
        self._rows = 0
        directory.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        os.ftruncate(self._file, HEADER_BYTES + ROWS_MAX * ROW_BYTES)
        os.posix_fallocate(self._file, 0, HEADER_BYTES)
        self._map = mmap.mmap(self._file, 0)
        immutable = _IMMUTABLE.pack(MAGIC, VERSION, hour, writer.encode())
        self._map[: len(immutable) + _CRC.size] = immutable + _CRC.pack(zlib.crc32(immutable))
        self.words = memoryview(self._map)[HEADER_BYTES:].cast("Q")

    def add_row(self, key: RowKey) -> int:
        """Adds a row and returns its number. Raises OSError when the disk is full, ValueError past the bounds."""
        if self._rows == ROWS_MAX:
            raise ValueError(f"more than {ROWS_MAX} (instance, service) rows in an hour")
        ids = [text.encode() for text in (key.account, key.instance, key.region, key.service)]
        if any(len(text) > ID_BYTES_MAX for text in ids):
            raise ValueError(f"an id is longer than {ID_BYTES_MAX} bytes: {key}")
        at = HEADER_BYTES + self._rows * ROW_BYTES
        os.posix_fallocate(self._file, at, ROW_BYTES)
        packed = bytes(len(text) for text in ids) + b"".join(ids)
        if 1 + len(packed) > KEY_BYTES:
            raise ValueError(f"the ids are too long together: {key}")
        self._map[at + 1 : at + 1 + len(packed)] = packed
        self._map[at] = 1  # Last, so that a reader never sees half a key.
        self._rows += 1
        return self._rows - 1

    def seal(self) -> None:
        """Says that nothing will be added any more, and hands the pages to the disk."""
        self._map[_SEALED_AT] = 1
        self._map.flush(0, HEADER_BYTES + self._rows * ROW_BYTES)

    def flush(self) -> None:
        """Bounds what a power loss can take: everything before is on the disk."""
        self._map.flush(0, HEADER_BYTES + self._rows * ROW_BYTES)

    def close(self) -> None:
        """Ends the mapping. A view of ``words`` that is still held keeps it alive; its counts stay in the file."""
        self.words.release()
        self._map.close()
        os.close(self._file)


class CounterFileReader:
    """Reads a file while its writer goes on: cells are read whole, rows only once their key is whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < HEADER_BYTES:
                raise CounterFileError(f"{path}: shorter than a header")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        immutable = self._map[: _IMMUTABLE.size]
        magic, version, hour, writer = _IMMUTABLE.unpack(immutable)
        (crc,) = _CRC.unpack(self._map[_IMMUTABLE.size : _IMMUTABLE.size + _CRC.size])
        if magic != MAGIC or crc != zlib.crc32(immutable):
            self._map.close()
            raise CounterFileError(f"{path}: not a counter file, or its header is broken")
        if version != VERSION:
            self._map.close()
            raise CounterFileError(f"{path}: version {version}, this program reads {VERSION}")
        self.hour: int = hour
        self.writer: str = writer.rstrip(b"\0").decode()
        self._rows_max = (len(self._map) - HEADER_BYTES) // ROW_BYTES

    @property
    def is_sealed(self) -> bool:
        return self._map[_SEALED_AT] == 1

    def row_bytes(self) -> Iterator[tuple[int, bytes]]:
        """(row number, its raw bytes) of each row in use."""
        for number in range(self._rows_max):
            at = HEADER_BYTES + number * ROW_BYTES
            if self._map[at] != 1:
                return
            yield number, self._map[at : at + ROW_BYTES]

    def close(self) -> None:
        self._map.close()


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
