"""What a peer can write into the node's log: one line a second of each kind, and how many were left out.

A client that aborts handshakes, an upstream that comes and goes, a trace state that no parser takes: each is a line of
ours or of a library's, and comes as often as somebody likes. So the bound is on the log itself, of both processes.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from typing import Final

INTERVAL_S: Final = 1.0
# A library may have what a peer sent in its text. Beyond so many kinds at once all others are one.
KINDS_MAX: Final = 64
_HEAD_CHARS: Final = 48  # of a text, that tell its kind
_TOLD_CHARS_MAX: Final = 2048  # of one text: a peer's bytes may be in it
_NUMBERS: Final = re.compile(r"0x[0-9a-fA-F]+|[0-9]+")
# What these say is of the node's own steps and of its operator's, and every line counts: each fault of a configuration
# is one. No peer causes any.
_OF_THE_NODE: Final = frozenset(
    f"gateway.control.{name}" for name in ("control", "store", "supervisor", "predecessors", "bookkeeper")
)
_SUMMARY: Final = "is_summary"

Kind = tuple[str, int, str, int, str]


class _Told:
    """When a line of a kind was written last, and what came since."""

    __slots__ = ("at_s", "last", "left_out")

    def __init__(self, at_s: float) -> None:
        self.at_s = at_s
        self.left_out = 0
        self.last: logging.LogRecord | None = None


class OneASecond(logging.Filter):
    """Of a handler, so that records of every logger pass it. Below a warning nothing is held back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[Kind, _Told] = {}
        self._timer: threading.Timer | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or record.name in _OF_THE_NODE or hasattr(record, _SUMMARY):
            return True
        now_s = self._clock()
        with self._lock:
            told = self._told(_kind(record), now_s)
            if now_s - told.at_s < INTERVAL_S:
                told.left_out += 1
                told.last = record
                self._set_timer()
                return False
            left_out, told.left_out, told.last = told.left_out, 0, None
            told.at_s = now_s
        _shorten(record, f" ({left_out} more like it were left out)" if left_out else "")
        return True

    def tell(self) -> None:
        """Says what was left out and by what no line of its kind has followed. Also due before the process ends."""
        with self._lock:
            self._timer = None
            now_s = self._clock()
            silent = [told for told in self._kinds.values() if told.left_out]
            lines = [(told.last, told.left_out) for told in silent]
            for told in silent:
                told.at_s, told.left_out, told.last = now_s, 0, None
        for last, left_out in lines:
            if last is not None:
                text = _text(last)
                logger, extra = logging.getLogger(last.name), {_SUMMARY: True}
                logger.log(last.levelno, "%d more lines were left out, as this one: %s", left_out, text, extra=extra)

    def _told(self, kind: Kind, now_s: float) -> _Told:
        told = self._kinds.get(kind)
        if told is None:
            if len(self._kinds) >= KINDS_MAX:
                for old in [
                    one for one, its in self._kinds.items() if not its.left_out and now_s - its.at_s > INTERVAL_S
                ]:
                    del self._kinds[old]
            if len(self._kinds) >= KINDS_MAX:
                kind = ("", 0, "", 0, "")
                told = self._kinds.get(kind)
            if told is None:
                told = self._kinds[kind] = _Told(now_s - INTERVAL_S)
        return told

    def _set_timer(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(INTERVAL_S, self.tell)
            self._timer.daemon = True
            self._timer.start()


def bound_log() -> OneASecond:
    """On all that this process logs from here on."""
    bound = OneASecond()
    for handler in logging.getLogger().handlers:
        handler.addFilter(bound)
    return bound


def _kind(record: logging.LogRecord) -> Kind:
    """Where it was written, and how its text begins: a loop tells of everything in one place."""
    head = str(record.msg).partition("\n")[0]
    return record.name, record.levelno, record.pathname, record.lineno, _NUMBERS.sub("#", head)[:_HEAD_CHARS]


def _text(record: logging.LogRecord) -> str:
    return record.getMessage().partition("\n")[0][:_TOLD_CHARS_MAX]


def _shorten(record: logging.LogRecord, more: str) -> None:
    """To as many characters as a line may have, with ``more`` at its end."""
    text = record.getMessage()
    if more or len(text) > _TOLD_CHARS_MAX:
        record.msg, record.args = text[:_TOLD_CHARS_MAX] + more, None
