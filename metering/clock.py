"""Wall time as hours, bills and deadlines see it: real, or faster for demos and tests (DESIGN 1.2 `clock`)."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

HOUR_S: Final = 3600


class Clock(Protocol):
    """Says what time it is: epoch seconds, possibly virtual."""

    def now(self) -> float: ...


def hour_of(epoch_s: float) -> int:
    """The usage hour an instant lies in: whole hours since the epoch."""
    return int(epoch_s // HOUR_S)


def hour_start(hour: int) -> int:
    """The hour's first instant, epoch seconds. The hour is half-open: its end is the next one's start."""
    return hour * HOUR_S


@dataclass(frozen=True, slots=True)
class VirtualClock:
    """Time that passed `virtual_anchor` when real time passed `real_anchor`, and runs `rate` times as fast."""

    rate: float = 1.0
    real_anchor: float = 0.0
    virtual_anchor: float = 0.0

    def now(self) -> float:
        return self.virtual_anchor + (time.time() - self.real_anchor) * self.rate

    def real_seconds_until(self, virtual_epoch_s: float) -> float:
        return (virtual_epoch_s - self.now()) / self.rate

    def parameters(self) -> dict[str, float]:
        return {"rate": self.rate, "real_anchor": self.real_anchor, "virtual_anchor": self.virtual_anchor}

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any]) -> VirtualClock:
        return cls(parameters["rate"], parameters["real_anchor"], parameters["virtual_anchor"])


def open_clock(data_dir: Path, rate: float, offset_s: float) -> VirtualClock:
    """The clock of a data_dir. Virtual time starts at the first start and goes on over restarts (DESIGN 1.7).

    With rate 1 the clock is the machine's plus the offset, so that a corrected machine clock is followed.
    A changed rate goes on from the virtual instant reached.
    """
    if rate == 1:
        return VirtualClock(1.0, 0.0, offset_s)
    path = data_dir / "clock.json"
    real = time.time()
    if path.exists():
        stored = VirtualClock.from_parameters(json.loads(path.read_text()))
        if stored.rate == rate:
            return stored
        clock = VirtualClock(rate, real, stored.now())
    else:
        clock = VirtualClock(rate, real, real + offset_s)
    data_dir.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w") as file:
        json.dump(clock.parameters(), file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return clock
