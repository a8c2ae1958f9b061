"""A worker's meter: `cells[base + CALLS] += 1` counts, and the hour the count falls in is the file's."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Final

from metering.clock import VirtualClock, hour_of, hour_start
from metering.counter_file import FIRST_CELL, WORDS_PER_ROW, CounterFileWriter, RowKey

JUMP_S: Final = 300.0  # A wall clock that runs away from the monotonic one by more is not believed (RULES C.5).
log = logging.getLogger("tollgate.meter")


class Meter:
    """Counters of one writer, a file for each usage hour.

    ``cells`` is replaced at each hour turn and never kept by callers over a callback. A row's base holds for the
    meter's life: row numbers are repeated in each hour's file.
    """

    def __init__(self, directory: Path, writer: str, clock: VirtualClock) -> None:
        self._directory = directory
        self._writer = writer
        self._clock = clock
        self._rows: dict[RowKey, int] = {}
        self._wall_s = clock.now()
        self._monotonic_s = time.monotonic()
        self.refused_turns = 0  # alarms: jumps of the clock that no hour was opened for
        self._file = CounterFileWriter(directory, writer, hour_of(self._wall_s))
        self.cells = self._file.words

    @property
    def hour(self) -> int:
        return self._file.hour

    def row(self, account: str, instance: str, region: str, service: str) -> int:
        """Index in ``cells`` of the row's first cell. Adds the row when it is new."""
        key = RowKey(account, instance, region, service)
        number = self._rows.get(key)
        if number is None:
            number = self._rows[key] = self._file.add_row(key)
        return number * WORDS_PER_ROW + FIRST_CELL

    def seconds_to_turn(self) -> float:
        """Real seconds until the next hour begins."""
        return max(0.0, self._clock.real_seconds_until(hour_start(self._file.hour + 1)))

    def turn(self) -> bool:
        """Opens the hour that the clock is in and seals the one before; True when there was one to open.

        A clock that stepped back stays in its hour; one that jumped ahead of the monotonic clock is refused.
        """
        wall_s, monotonic_s = self._clock.now(), time.monotonic()
        hour = hour_of(wall_s)
        if hour <= self._file.hour:
            return False
        passed_s = (monotonic_s - self._monotonic_s) * self._clock.rate
        if wall_s - self._wall_s - passed_s > JUMP_S * max(1.0, self._clock.rate):
            self.refused_turns += 1
            log.error("the clock jumped ahead to hour %d; still counting into %d", hour, self._file.hour)
            return False
        self._wall_s, self._monotonic_s = wall_s, monotonic_s
        new = CounterFileWriter(self._directory, self._writer, hour)
        for key in self._rows:
            new.add_row(key)
        old, self._file = self._file, new
        self.cells = new.words
        old.seal()
        old.close()
        return True

    def close(self) -> None:
        """Seals the hour: this writer is done."""
        self._file.seal()
        self._file.close()
