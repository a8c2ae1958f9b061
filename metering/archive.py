"""Counter files whose every value is in the store: kept as they are until their bill month closes, then compressed.

`archive/472222-….ctr` becomes `archive/2023-11/472222-….ctr.gz`: the evidence behind a bill line, at a hundredth of
the size. Nothing of tollgate reads it again; `gunzip` gives the counter file back.
"""

from __future__ import annotations

import gzip
import os
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from metering.clock import hour_start

CLOSE_DAYS: Final = 2  # A month closes on day 3, 00:00 local, of the next one (RULES P11).


def closed_before(now_s: float, timezone: str) -> str:
    """The first month, `2026-11`, that is not closed yet at an instant."""
    return (datetime.fromtimestamp(now_s, ZoneInfo(timezone)) - timedelta(days=CLOSE_DAYS)).strftime("%Y-%m")


def compress_one(archive: Path, now_s: float, timezone: str) -> Path | None:
    """Compresses the first file of a closed month, in one step; returns what it became, None where none is left.

    One at a time: the caller has other things to do, and the files of a month are many.
    """
    first_open = closed_before(now_s, timezone)
    for path in _oldest_first(archive):
        local = datetime.fromtimestamp(hour_start(int(path.name.partition("-")[0])), ZoneInfo(timezone))
        month = local.strftime("%Y-%m")
        return _compress(path, archive / month) if month < first_open else None
    return None


def _oldest_first(archive: Path) -> list[Path]:
    """Names begin with the hour."""
    if not archive.is_dir():
        return []
    found = [path for path in archive.glob("*.ctr") if path.name.partition("-")[0].isdigit()]
    return sorted(found, key=lambda path: int(path.name.partition("-")[0]))


def _compress(path: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    done = folder / f"{path.name}.gz"
    part = done.with_suffix(".part")
    with path.open("rb") as source, part.open("wb") as file:
        # No time in its header: done again after a crash, it is the same file.
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as compressed:
            shutil.copyfileobj(source, compressed, 1 << 20)
        file.flush()
        os.fsync(file.fileno())
    part.replace(done)
    path.unlink()
    return done
