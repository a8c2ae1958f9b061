"""Which workers run on a data_dir, written down so that the next control process finds them (DESIGN 1.7).

A file is written before its worker is started, under the worker's writer id, and again with its pid; it goes when the
worker is gone. A pid alone proves nothing (pids are used again): a process is ours when its command line holds the
writer id, which is unique.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import NamedTuple

import orjson

from gateway.control.durable import write_atomically

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


class Predecessor(NamedTuple):
    """A worker that an earlier control process started. ``pid`` None: it is gone."""

    writer: str
    pid: int | None


class RunFiles:
    """The folder data_dir/run/workers."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "run" / "workers"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self, writer: str, pid: int | None = None) -> None:
        # Not fsynced: it matters only to processes, and after a power loss there are none.
        write_atomically(self._path(writer), orjson.dumps({"writer": writer, "pid": pid}), durable=False)

    def remove(self, writer: str) -> None:
        self._path(writer).unlink(missing_ok=True)

    def predecessors(self) -> list[Predecessor]:
        """All workers written down here, alive or gone."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                document = orjson.loads(path.read_bytes())
                writer, pid = str(document["writer"]), document["pid"]
            except (ValueError, KeyError, TypeError):
                path.unlink(missing_ok=True)
                continue
            if not isinstance(pid, int) or not is_writer(pid, writer):
                pid = _search(writer)  # The control process died between the start and the note of the pid.
            found.append(Predecessor(writer, pid))
        return found

    def _path(self, writer: str) -> Path:
        return self._folder / f"{_UNSAFE.sub('_', writer)}.json"


def is_writer(pid: int, writer: str) -> bool:
    """True when this process is the worker of that writer id. A zombie is not."""
    try:
        return writer.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def send(pid: int, writer: str, signal_number: signal.Signals) -> bool:
    """Signal the worker, if it is still that worker. False: it is gone."""
    if not is_writer(pid, writer):
        return False
    try:
        os.kill(pid, signal_number)
    except ProcessLookupError:
        return False
    return True


def _search(writer: str) -> int | None:
    own = os.getpid()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != own and is_writer(int(entry.name), writer):
            return int(entry.name)
    return None
