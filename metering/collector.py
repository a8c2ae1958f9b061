"""The control process's side of metering: counter files into counter rows and totals for metrics (RULES C.3).

Files hold absolute values, one writer each, so everything here may be done twice. A file is read as bytes and
compared row by row with what was last seen; what did not change costs a comparison.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, literal, select
from sqlalchemy.dialects import postgresql, sqlite

from config.texts import is_storable
from metering.archive import compress_one
from metering.cells import CELLS, STORED, counted_and_ended
from metering.clock import HOUR_S, Clock, hour_of, hour_start
from metering.counter_file import CounterFileError, CounterFileReader, RowKey, row_cells, row_key
from metering.counter_rows import raise_counters
from metering.database import is_away, transaction
from metering.tables import dirty, seal
from metering.totals import Totals

SETTLE_ANYWAY_S: Final = HOUR_S + 20 * 60  # RULES C.3: stragglers become late usage.
MAKING_S_MAX: Final = 60.0  # A file without a header is being made; one that still has none after this never was one.
ARCHIVE_INTERVAL_S: Final = 60.0  # How often closed months are looked for, once none is left to compress.
_COUNT_MAX: Final = 2**63 - 1
log = logging.getLogger("tollgate.collector")


@dataclass
class _File:
    """A counter file being followed."""

    reader: CounterFileReader
    seen: dict[int, bytes] = field(default_factory=dict)  # row number -> raw bytes as last committed
    keys: dict[int, RowKey] = field(default_factory=dict)
    broken: set[int] = field(default_factory=set)  # row numbers


_Change = tuple[_File, int, bytes]


# Faults of the machine at this instant, which say nothing of a file.
_NOT_THE_FILES: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN))


class Collector:
    """Follows data_dir/counters. Not thread-safe: one caller at a time."""

    def __init__(self, directory: Path, engine: Engine, clock: Clock) -> None:
        self._directory = directory
        self._engine = engine
        self._clock = clock
        self._files: dict[Path, _File] = {}
        self._broken: set[Path] = set()
        self._unread_since: dict[Path, float] = {}  # files whose header is not whole yet, and since when
        self._gone: set[str] = set()
        self._open_hours: dict[str, int] = {}  # writer -> oldest hour it may still add to
        self._totals = Totals(directory / "totals.json")
        self._archive_due_s = 0.0
        self.broken_files = 0
        self.identity_mismatches = 0

    @property
    def clock_jumps(self) -> int:
        """How often writers met a clock that was where it could not be."""
        return sum(self._totals.jumps.values())

    @property
    def totals(self) -> dict[tuple[str, str], list[int]]:
        """By instance and service, its cells. They only grow, over restarts too; other threads may read them."""
        return self._totals.by_series

    @property
    def files_followed(self) -> int:
        return len(self._files)

    def writer_gone(self, writer: str) -> None:
        """This writer's process has ended: its files are complete as they are."""
        self._gone.add(writer)

    def close(self) -> None:
        """Lets the files go. They are as they are: the next collector follows them."""
        for file in self._files.values():
            file.reader.close()
        self._files.clear()

    def collect(self) -> int:
        """Brings the store up to the files; returns the number of counter rows that grew."""
        self._follow_new_files()
        changes: list[_Change] = []
        finished: list[Path] = []
        for path, file in self._files.items():
            # Before the rows are read: what comes after is then nothing.
            reader = file.reader
            is_finished = reader.is_sealed or reader.writer in self._gone or reader.is_abandoned
            if jumps := reader.jumps:
                self._totals.jumps[reader.writer] = max(jumps, self._totals.jumps.get(reader.writer, 0))
            changes += [
                (file, number, raw)
                for number, raw in file.reader.row_bytes()
                if file.seen.get(number) != raw and number not in file.broken
            ]
            if is_finished:
                finished.append(path)
        grown = 0
        if changes or finished:
            readers = [self._files[path].reader for path in finished]
            try:
                grown = self._commit(changes, readers)
            except Exception as error:
                sound = [] if is_away(error) else self._without_broken(changes)
                if is_away(error) or len(sound) == len(changes):
                    raise
                changes = sound
                grown = self._commit(changes, readers)
            for file, number, raw in changes:
                self._add_to_totals(file, number, raw)
                file.seen[number] = raw
        self._keep_totals(finished)
        for path in finished:
            self._check_identity(path)
            self._archive(path)
        self._open_hours = {}
        for file in self._files.values():
            writer, hour = file.reader.writer, file.reader.hour
            self._open_hours[writer] = min(hour, self._open_hours.get(writer, hour))
        return grown

    def sealed_through(self, hour: int) -> bool:
        """May ``hour`` be settled: no live writer can add to it, or it ended 20 minutes ago."""
        if self._clock.now() >= hour_start(hour) + SETTLE_ANYWAY_S:
            return True
        return hour_of(self._clock.now()) > hour and all(open_hour > hour for open_hour in self._open_hours.values())

    def _follow_new_files(self) -> None:
        if not self._directory.is_dir():
            return
        for path in sorted(self._directory.glob("*.ctr")):
            if path in self._files or path in self._broken:
                continue
            try:
                self._files[path] = _File(CounterFileReader(path))
                self._unread_since.pop(path, None)
            except CounterFileError as error:
                # Perhaps it is being made at this instant; perhaps it is no file of ours. Looked at again next time.
                if time.monotonic() - self._unread_since.setdefault(path, time.monotonic()) > MAKING_S_MAX:
                    self._give_up(path, error)
            except OSError as error:
                if error.errno in _NOT_THE_FILES:
                    continue  # Looked at again next time: its counts are there.
                self._give_up(path, error)

    def _give_up(self, path: Path, error: Exception) -> None:
        """Left where it is, for people to look at, and no longer looked at by us."""
        self._broken.add(path)
        self._unread_since.pop(path, None)
        self.broken_files += 1
        log.error("a counter file is not read: %s", error)

    def _commit(self, changes: Sequence[_Change], finished: Sequence[CounterFileReader]) -> int:
        with transaction(self._engine) as connection:
            grown = self._write(connection, changes)
            self._write_seals(connection, finished)
        return grown

    def _without_broken(self, changes: Sequence[_Change]) -> list[_Change]:
        """One row that no store can keep does not hold up all the others: it stays in its file, for people."""
        sound: list[_Change] = []
        for file, number, raw in changes:
            if _is_sound(raw):
                sound.append((file, number, raw))
                continue
            file.broken.add(number)
            self.broken_files += 1
            log.error("%s: row %d is not read: its ids or counts are none", file.reader.path.name, number)
        return sound

    def _write(self, connection: Connection, changes: Iterable[_Change]) -> int:
        rows: list[dict[str, Any]] = []
        for file, number, raw in changes:
            key = file.keys.setdefault(number, row_key(raw))
            before = row_cells(file.seen[number]) if number in file.seen else [0] * CELLS
            for cell, value in enumerate(row_cells(raw)):
                if value != before[cell] and cell in STORED:
                    rows.append(
                        {
                            "writer": file.reader.writer,
                            "account": key.account,
                            "instance": key.instance,
                            "region": key.region,
                            "service": key.service,
                            "meter": STORED[cell],
                            "hour": file.reader.hour,
                            "value": value,
                        }
                    )
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        risen = raise_counters(connection, rows)
        for account, hour in sorted((account, hour) for account, hour in risen if account != "-"):
            # DO UPDATE and not DO NOTHING: on PostgreSQL an existing mark has to be locked (RULES C.5).
            mark = insert(dirty).values(account=account, hour=hour)
            connection.execute(mark.on_conflict_do_update(index_elements=["account", "hour"], set_={"hour": hour}))
        return len(rows)

    def _write_seals(self, connection: Connection, readers: Iterable[CounterFileReader]) -> None:
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        for reader in readers:
            statement = insert(seal).values(writer=reader.writer, through_hour=reader.hour)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["writer"],
                    set_={"through_hour": statement.excluded.through_hour},
                    where=statement.excluded.through_hour > seal.c.through_hour,
                )
            )

    def _add_to_totals(self, file: _File, number: int, raw: bytes) -> None:
        if not self._totals.has(file.reader.path.name):
            before = row_cells(file.seen[number]) if number in file.seen else None
            self._totals.add(file.keys[number], row_cells(raw), before)

    def _keep_totals(self, finished: Iterable[Path]) -> None:
        """What metrics have of these files stays when they are archived."""
        files = {path.name: self._files[path] for path in finished if not self._totals.has(path.name)}
        if files:
            rows = {name: [(one.keys[at], raw) for at, raw in one.seen.items()] for name, one in files.items()}
            left = {one.reader.writer for one in self._files.values() if one.reader.path.name not in files}
            self._totals.keep(rows, left)

    def _check_identity(self, path: Path) -> None:
        """Requests received = calls + WebSocket connections + front-end errors (DESIGN 1.6), for a sealed hour.

        A killed writer's file is not checked: what was under way in it ended nowhere.
        """
        file = self._files[path]
        if not (file.reader.is_sealed and file.reader.counts_ends):
            return
        counted = ended = 0
        for raw in file.seen.values():
            of_row = counted_and_ended(row_cells(raw))
            counted += of_row[0]
            ended += of_row[1]
        at_begin, at_end = file.reader.under_way
        if counted + at_begin != ended + at_end:
            self.identity_mismatches += 1
            log.error(
                "%s: %d requests were counted and %d ended, with %d under way before the hour and %d after it",
                path.name,
                counted,
                ended,
                at_begin,
                at_end,
            )

    def compress_archive(self, timezone: str) -> None:
        """Brings one file of a closed month to its compressed form; to be called now and then."""
        if time.monotonic() >= self._archive_due_s and (
            compress_one(self._directory / "archive", self._clock.now(), timezone) is None
        ):
            self._archive_due_s = time.monotonic() + ARCHIVE_INTERVAL_S

    def _archive(self, path: Path) -> None:
        """Out of the way, once its every value is committed."""
        self._files.pop(path).reader.close()
        archive = self._directory / "archive"
        archive.mkdir(exist_ok=True)
        path.rename(archive / path.name)


def _is_sound(raw: bytes) -> bool:
    """Whether it has ids of text, and counts that fit the store's 64 bits, of which one is the sign."""
    try:
        key = row_key(raw)
    except UnicodeDecodeError:
        return False
    ids = (key.account, key.instance, key.region, key.service)
    return all(map(is_storable, ids)) and max(row_cells(raw)) <= _COUNT_MAX


def is_sealed(connection: Connection, writer: str, hour: int) -> bool:
    """Whether the store knows that ``writer`` is past ``hour``."""
    found = connection.execute(select(literal(1)).where(seal.c.writer == writer, seal.c.through_hour >= hour)).first()
    return found is not None
