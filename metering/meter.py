"""A worker's meter: `cells[base + CALLS] += 1` counts, and the hour the count falls in is the file's."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final, NamedTuple

from metering.clock import VirtualClock, hour_of, hour_start
from metering.counter_file import FIRST_CELL, WORDS_PER_ROW, CounterFileWriter, RowKey, sync

JUMP_S: Final = 300.0  # A wall clock that runs away from the monotonic one by more is not believed (RULES C.5).
_LOG_INTERVAL_S: Final = 60.0  # An alarm that lasts is told this often, not each second.
log = logging.getLogger("tollgate.meter")


class Turning(NamedTuple):
    """What the worker is about when an hour turns."""

    under_way: int = 0  # counted exchanges that go on into the next hour
    rows: AbstractSet[int] | None = None  # first cells of those that may be counted in still; None: of all


class Meter:
    """Counters of one writer, a file for each usage hour.

    ``cells`` is replaced at each hour turn and never kept by callers over a callback. A row's base holds for as long as
    the turns find it in use: row numbers are repeated in each hour's file. One that is in use no more is free from the
    next turn on; in the hour that had it, it is nobody else's.
    """

    def __init__(
        self, directory: Path, writer: str, clock: VirtualClock, elapsed_s: Callable[[], float] | None = None
    ) -> None:
        """``elapsed_s``: seconds that passed, by a clock that nobody sets; the system's, unless told."""
        self._directory = directory
        self._writer = writer
        self._clock = clock
        self._rows: dict[RowKey, int] = {}
        self._wall_s = clock.now()
        self._read_elapsed_s = elapsed_s or _elapsed_s
        self._elapsed_s = self._read_elapsed_s()
        self._told_s = float("-inf")
        self._turned: list[int] = []  # descriptors of hours that are sealed and not on the disk yet
        self._is_jumped = False
        self.jumps = 0  # alarms: times that the clock began to be somewhere it cannot be
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
        return _first_cell(number)

    def seconds_to_turn(self) -> float:
        """Real seconds until the next hour begins."""
        return max(0.0, self._clock.real_seconds_until(hour_start(self._file.hour + 1)))

    def turn(self, before: Callable[[], Turning] = Turning) -> bool:
        """Opens the hour that the clock is in and seals the one before; True when there was one to open.

        While the clock is behind its hour, after a step back, the hour stays open. A clock that jumped ahead of the
        time that passed is refused until it comes back or the worker is started anew. Both are alarms. ``before`` is
        called when there is an hour to turn: it brings the counts up to date and says what goes on.
        """
        wall_s, elapsed_s = self._clock.now(), self._read_elapsed_s()
        ahead_s = (wall_s - self._wall_s) / self._clock.rate - (elapsed_s - self._elapsed_s)
        self._note_jump(ahead_s)
        hour = hour_of(wall_s)
        if hour <= self._file.hour or ahead_s > JUMP_S:
            return False
        under_way, in_use = before()
        rows = self._rows
        if in_use is not None:
            rows = {key: number for key, number in rows.items() if _first_cell(number) in in_use}
        try:
            new = CounterFileWriter(self._directory, self._writer, hour, rows, under_way)
        except OSError as error:
            # Counts are not lost for want of a file: they go on into the hour before, as late as it takes.
            if self._is_due_to_tell():
                log.error("hour %d has no file (%s); still counting into %d", hour, error, self._file.hour)
            return False
        new.note_jumps(self.jumps)
        self._wall_s, self._elapsed_s = wall_s, elapsed_s
        self._rows = rows
        old, self._file = self._file, new
        self.cells = new.words
        old.seal(under_way)
        self._turned.append(old.leave())
        return True

    def unsynced(self) -> list[int]:
        """Descriptors of what a power loss could take, for `sync` on a thread. To be taken by one caller.

        Where no descriptor is left, the hour under way is not among them: it is the next time.
        """
        turned, self._turned = self._turned, []
        try:
            return [*turned, self._file.descriptor()]
        except OSError as error:
            if self._is_due_to_tell():
                log.error("counts of hour %d do not reach the disk for now: %s", self._file.hour, error)
            return turned

    def close(self) -> None:
        """Seals the hour: this writer is done, and nothing is under way. Waits for the disk."""
        self._file.seal()
        descriptors = self.unsynced()
        self._file.close()
        sync(descriptors)

    def _note_jump(self, ahead_s: float) -> None:
        if abs(ahead_s) <= JUMP_S:
            self._is_jumped = False
            return
        if not self._is_jumped:
            self._is_jumped = True
            self.jumps += 1
            self._file.note_jumps(self.jumps)
        if self._is_due_to_tell():
            log.error(
                "the clock is %.0f s %s of the time that passed; still counting into hour %d. "
                "If the clock is right, restart the workers.",
                abs(ahead_s),
                "ahead" if ahead_s > 0 else "behind",
                self._file.hour,
            )

    def _is_due_to_tell(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._told_s < _LOG_INTERVAL_S:
            return False
        self._told_s = now_s
        return True


def row_of(cell: int) -> int:
    """The first cell of the row that a cell belongs to."""
    return _first_cell((cell - FIRST_CELL) // WORDS_PER_ROW)


def _first_cell(number: int) -> int:
    return number * WORDS_PER_ROW + FIRST_CELL


def _elapsed_s() -> float:
    """Time that passed, a machine's sleep included: to wake up is not a jump."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
