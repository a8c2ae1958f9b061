"""The access log: JSON lines, one for each exchange, appended to a file that all workers of a node share.

Lines are kept in memory and written by a thread a few times a second, so no request waits for a disk. One write is
one append, which the system does not interleave with another worker's.
"""

from __future__ import annotations

import logging
import os
import random
from asyncio import AbstractEventLoop, Future
from typing import Any, Final

import orjson

PENDING_BYTES_MAX: Final = 8 * 1024 * 1024  # A disk that is behind by more loses lines, and no request.
log = logging.getLogger("tollgate.access")


class AccessLog:
    """One worker's end of the file. Raises OSError at the start when the file cannot be opened."""

    def __init__(self, loop: AbstractEventLoop, path: str) -> None:
        self._loop = loop
        self._path = path
        self._file = _open(path)
        self._lines: list[bytes] = []
        self._pending_bytes = 0
        self._lost = 0
        self._writing: Future[None] | None = None

    def add(self, share: float, line: dict[str, Any]) -> None:
        """Takes a line, or the ``share`` of lines that the instance wants."""
        if share < 1.0 and random.random() >= share:
            return
        if self._pending_bytes > PENDING_BYTES_MAX:
            self._lost += 1
            return
        text = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        self._lines.append(text)
        self._pending_bytes += len(text)

    def flush(self) -> None:
        """Hands what has come to the thread; while that still writes, what comes waits for the next flush."""
        if self._writing is not None and not self._writing.done():
            return
        if self._lines:
            self._writing = self._loop.run_in_executor(None, _write, self._file, self._take(), self._path)

    def reopen(self) -> None:
        """After a rotation: the path names another file now. Where it cannot be opened, the one before is kept."""
        try:
            file = _open(self._path)
        except OSError as error:
            log.error("%s is not opened anew: %s", self._path, error)
            return
        old, self._file = self._file, file
        if self._writing is None or self._writing.done():
            os.close(old)
        else:
            self._writing.add_done_callback(lambda _: os.close(old))

    async def close(self) -> None:
        """Writes the rest."""
        if self._writing is not None:
            await self._writing
        if self._lines:
            _write(self._file, self._take(), self._path)
        os.close(self._file)

    def _take(self) -> bytes:
        if self._lost:
            log.warning("%d lines of the access log are lost: %s is too slow", self._lost, self._path)
        text = b"".join(self._lines)
        self._lines = []
        self._pending_bytes = self._lost = 0
        return text


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def _write(file: int, text: bytes, path: str) -> None:
    try:
        while text:
            text = text[os.write(file, text) :]
    except OSError as error:
        log.error("%s: %s; lines of the access log are lost", path, error)
