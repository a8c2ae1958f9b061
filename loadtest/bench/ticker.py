"""A timer as a descriptor, for intervals of microseconds: timerfd_create(2), which Python has from 3.13 on.

epoll counts its waiting in milliseconds, and select looks at each descriptor; this one is ready when something is due.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_NS: Final = 1_000_000_000


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


class Ticker:
    """Its descriptor is ready once an interval has passed since it was last told to go on."""

    def __init__(self, interval_ns: int) -> None:
        """Begins at once. Raises OSError, ValueError for an interval of nothing."""
        if interval_ns < 1:
            raise ValueError(f"an interval of {interval_ns} ns")
        self.interval_ns = interval_ns
        self._fd = int(_LIBC.timerfd_create(time.CLOCK_MONOTONIC, os.O_CLOEXEC | os.O_NONBLOCK))
        interval = _Timespec(*divmod(interval_ns, _NS))
        if self._fd < 0 or _LIBC.timerfd_settime(self._fd, 0, ctypes.byref(_Itimerspec(interval, interval)), None) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def fileno(self) -> int:
        return self._fd

    def go_on(self) -> int:
        """Nothing is ready until the next interval ends. Says how many have ended since it was told so before."""
        return int.from_bytes(os.read(self._fd, 8), sys.byteorder)

    def close(self) -> None:
        os.close(self._fd)
