"""One control process at a time on a data_dir. The kernel drops the lock when its holder dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from gateway.control.errors import DataDirBusy

_MODE = 0o600


class DataDirLock:
    """Held from construction to ``release``. Raises DataDirBusy, naming the holder."""

    def __init__(self, data_dir: Path) -> None:
        run_dir = data_dir / "run"
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        # flock and not lockf: closing any other descriptor of the file would drop a lockf. Not inherited by workers.
        self._fd = os.open(run_dir / "control.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise DataDirBusy(f"{data_dir} is in use by another control process (pid {holder})") from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> DataDirLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


def is_held(data_dir: Path) -> bool:
    """True when a control process lives on this data_dir now."""
    try:
        fd = os.open(data_dir / "run" / "control.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
