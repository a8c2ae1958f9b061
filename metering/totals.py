"""Totals for metrics that go on where they were, whatever process died: a counter that falls to anything but zero is
counted twice by whoever looks at its increase.

A total is what the files say that are followed, and what the archived ones said, which is kept here: in a file that is
replaced before those are moved away. It names them, so that one that a crash left in its place counts once.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from metering.cells import CELLS
from metering.counter_file import RowKey, row_cells

_VERSION: Final = 1
Series = tuple[str, str]  # instance, service
log = logging.getLogger("tollgate.collector")


class Totals:
    """``by_series`` only grows; other threads may read it. ``path``: where what was archived is kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._archived: dict[Series, list[int]] = {}
        self._names: frozenset[str] = frozenset()
        self.jumps: dict[str, int] = {}  # of the clock, by writer; those of writers that are gone together, under ""
        self._read()
        self.by_series: dict[Series, list[int]] = {series: list(cells) for series, cells in self._archived.items()}

    def has(self, name: str) -> bool:
        """Whether this counter file's counts are among the archived ones already: it was on its way when all ended."""
        return name in self._names

    def add(self, key: RowKey, cells: Iterable[int], before: Iterable[int] | None) -> None:
        """What a row says now, in the place of what it said before."""
        total = self.by_series.setdefault((key.instance, key.service), [0] * CELLS)
        for cell, (value, old) in enumerate(zip(cells, before or [0] * CELLS, strict=True)):
            total[cell] += value - old

    def keep(self, files: Mapping[str, Iterable[tuple[RowKey, bytes]]], writers: Collection[str]) -> None:
        """These files, by name, are about to be archived, with the rows they have. ``writers``: those that are left.

        Raises OSError, with everything as before.
        """
        archived = {series: list(cells) for series, cells in self._archived.items()}
        for rows in files.values():
            for key, raw in rows:
                total = archived.setdefault((key.instance, key.service), [0] * CELLS)
                for cell, value in enumerate(row_cells(raw)):
                    total[cell] += value
        # A name goes once its file is away for good, not just in the system's memory.
        _sync(self._path.parent)
        names = frozenset(files) | {name for name in self._names if (self._path.parent / name).exists()}
        jumps = {writer: number for writer, number in self.jumps.items() if writer in writers}
        if gone := sum(self.jumps.values()) - sum(jumps.values()):
            jumps[""] = gone
        self._write(archived, names, jumps)
        self._archived, self._names, self.jumps = archived, names, jumps

    def _read(self) -> None:
        try:
            document = json.loads(self._path.read_bytes())
            if document["version"] != _VERSION:
                raise ValueError(f"version {document['version']}")
            archived = {(instance, service): _row(cells) for instance, service, cells in document["rows"]}
            names = frozenset(map(str, document["files"]))
            jumps = {str(writer): int(number) for writer, number in document["jumps"].items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            # Charts have a dent; bills are made from the store.
            log.error("%s is not read, metrics begin anew: %s", self._path, error)
            return
        self._archived, self._names, self.jumps = archived, names, jumps

    def _write(self, archived: Mapping[Series, list[int]], names: Collection[str], jumps: Mapping[str, int]) -> None:
        rows = [
            [instance, service, {str(cell): value for cell, value in enumerate(cells) if value}]
            for (instance, service), cells in archived.items()
        ]
        document: dict[str, Any] = {"version": _VERSION, "rows": rows, "files": sorted(names), "jumps": {**jumps}}
        part = self._path.with_suffix(".part")
        with part.open("w") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)
        _sync(self._path.parent)


def _row(cells: Mapping[str, int]) -> list[int]:
    row = [0] * CELLS
    for cell, value in cells.items():
        row[int(cell)] = int(value)
    return row


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
