"""Days of metering and billing in virtual time, without processes: ``python -m loadtest.simulation --seeds 1000``.

The real meter, counter files, collector, ingestion and billing, driven by chance: workers that count, turn their
hours, drain and are killed; control processes that die and come back; counter files that arrive late, or again; clocks
that step; events sent twice; settlements done twice; hours, a month's turn and its close. In the end usage in is usage
billed, hour by hour, and the ledger does not contradict itself. A seed is a run: the same again, to the call.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress
from sqlalchemy import func, select

from billing.service import Billing
from billing.tables import create_all, line
from config.catalog import load_catalog
from config.prices import load_price_book
from metering.cells import CALLS, DURATION_BUCKETS, FRONTEND_ERRORS, METERS, OTHER_ENDS, egress_cell
from metering.clock import VirtualClock, hour_of, hour_start
from metering.collector import Collector
from metering.counter_file import HEADER_BYTES, ROW_BYTES
from metering.database import open_engine, transaction
from metering.events import UsageEvent
from metering.ingestion import ingest
from metering.meter import Meter
from metering.tables import counter

ACCOUNT, REGION = "a", "ap-guangzhou"
INSTANCES: Final = ("s1", "s2")
SERVICES: Final = (("s1", "orders"), ("s1", "items"), ("s2", "search"))
TO_CLIENT: Final = egress_cell("client", "internet", "application")
TO_BACKEND: Final = egress_cell("backend", "internet", "application")
REFUSED: Final = egress_cell("refused", "internet", "application")
BILLED_AS: Final = {CALLS: "calls", TO_CLIENT: "egress_client", TO_BACKEND: "egress_backend"}
# The 28th, evening, in Shanghai: five days take in the month's turn and its close on day 3.
BEGIN_S: Final = datetime(2024, 2, 28, 12, tzinfo=UTC).timestamp()
DAYS: Final = 5
STEP_S_MAX: Final = 3600.0
JUMP_S_MAX: Final = 3 * 3600

_Key = tuple[str, str, int]  # instance, meter as billed, hour


class _Clock(VirtualClock):
    """The machine's clock: the time that passed, and how far off it is set."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "passed_s", 0.0)
        object.__setattr__(self, "off_s", 0.0)

    def now(self) -> float:
        return BEGIN_S + self.passed_s + self.off_s  # type: ignore[attr-defined, no-any-return]

    def move(self, passed_s: float = 0.0, off_s: float | None = None) -> None:
        object.__setattr__(self, "passed_s", self.passed_s + passed_s)  # type: ignore[attr-defined]
        if off_s is not None:
            object.__setattr__(self, "off_s", off_s)


@dataclass
class Report:
    """What a run did, and what it found wrong."""

    seed: int
    acts: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    faults: list[str] = field(default_factory=list)


class _Worker:
    """One writer. Its exchanges end at once, so what it counted and what ended agree when it is sealed."""

    def __init__(self, folder: Path, writer: str, clock: _Clock) -> None:
        self.meter = Meter(folder, writer, clock, lambda: clock.passed_s)  # type: ignore[attr-defined]
        self._rows = [self.meter.row(ACCOUNT, instance, REGION, service) for instance, service in SERVICES]

    def count(self, chance: random.Random, counted: Counter[_Key]) -> int:
        which = chance.randrange(len(SERVICES))
        row, cells = self._rows[which], self.meter.cells
        calls = chance.choice((1, 7, 1000, 400_000))
        for cell, amount in ((CALLS, calls), (TO_CLIENT, calls * 700), (TO_BACKEND, calls * 300)):
            cells[row + cell] += amount
            counted[SERVICES[which][0], BILLED_AS[cell], self.meter.hour] += amount
        cells[row + DURATION_BUCKETS + chance.randrange(16)] += calls
        if chance.random() < 0.2:
            cells[row + FRONTEND_ERRORS["rate_limited"]] += 3
            cells[row + OTHER_ENDS] += 3
            cells[row + REFUSED] += 3 * 400  # Billed to nobody (X11): a bill that has it is more than was counted.
        return calls

    def kill(self) -> None:
        """SIGKILL: the file stays as it is, unsealed, and the lock on it goes."""
        for descriptor in self.meter.unsynced():
            os.close(descriptor)
        self.meter._file.close()


class Simulation:
    """One run. ``folder`` is its own."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.report = Report(seed)
        self._chance = random.Random(seed)
        self._clock = _Clock()
        self._counters = folder / "counters"
        self._late = folder / "late"  # files on a disk that is away
        self._copies = folder / "copies"
        for path in (self._counters, self._late, self._copies):
            path.mkdir()
        self._engine = open_engine("sqlite://")
        with transaction(self._engine) as connection:
            create_all(connection)
        self._billing = self._open_billing()
        self._billing.open_account(ACCOUNT, int(BEGIN_S) - 86_400, has_free_quota=True)
        for instance in INSTANCES:
            self._billing.open_shared_instance(ACCOUNT, instance, REGION, int(BEGIN_S) - 86_400)
        self._billing.top_up(ACCOUNT, cash=10**15, now=int(BEGIN_S) - 86_400)
        self._collector = self._open_collector()
        self._writers = 0
        self._workers: list[_Worker] = []
        self._gone: list[str] = []
        self._counted: Counter[_Key] = Counter()
        self._sent: list[UsageEvent] = []

    def _open_billing(self) -> Billing:
        return Billing(self._engine, load_price_book("usd"), load_catalog(), is_migrated=True)

    def _open_collector(self) -> Collector:
        return Collector(self._counters, self._engine, self._clock)

    def run(self) -> Report:
        acts = (
            (self._count, 50),
            (self._turn, 12),
            (self._collect, 12),
            (self._settle, 8),
            (self._event, 4),
            (self._kill, 3),
            (self._drain, 2),
            (self._start, 4),
            (self._restart_control, 3),
            (self._withhold, 2),
            (self._deliver, 2),
            (self._replay, 2),
            (self._step_clock, 1),
        )
        choices, weights = [act for act, _ in acts], [weight for _, weight in acts]
        while self._clock.passed_s < DAYS * 86_400:  # type: ignore[attr-defined]
            for act in self._chance.choices(choices, weights, k=12):
                act()
                self.report.acts[act.__name__.lstrip("_")] += 1
            self._clock.move(passed_s=self._chance.uniform(1, STEP_S_MAX))
        self._end()
        return self.report

    # Workers

    def _start(self) -> None:
        if len(self._workers) < 3:
            self._writers += 1
            self._workers.append(_Worker(self._counters, f"n:{self.report.seed}:w:{self._writers}", self._clock))

    def _count(self) -> None:
        if not self._workers:
            self._start()
        self.report.calls += self._chance.choice(self._workers).count(self._chance, self._counted)

    def _turn(self) -> None:
        for worker in self._workers:
            if self._chance.random() < 0.9:
                worker.meter.turn()

    def _kill(self) -> None:
        if self._workers:
            self._workers.pop(self._chance.randrange(len(self._workers))).kill()

    def _drain(self) -> None:
        if self._workers:
            self._workers.pop(self._chance.randrange(len(self._workers))).meter.close()

    # The control process

    def _collect(self) -> None:
        self._collector.collect()
        if self._chance.random() < 0.3:
            self._collector.collect()

    def _settle(self) -> None:
        now = self._clock.now()
        self._billing.settle(now, self._collector.sealed_through)
        if self._chance.random() < 0.3:
            again = self._billing.settle(now, self._collector.sealed_through)
            if again.settlements:
                self.report.faults.append(f"settled again at {now}: {again}")

    def _restart_control(self) -> None:
        if self.mismatches:
            self.report.faults.append(f"{self.mismatches} identities do not hold")
        self._collector.close()  # What a process's end does.
        self._collector = self._open_collector()
        self._billing = self._open_billing()

    @property
    def mismatches(self) -> int:
        return self._collector.identity_mismatches

    # What comes late, or again

    def _withhold(self) -> None:
        """A dead worker's file is out of reach, with its disk say. Its counts arrive as late usage."""
        alive = {worker.meter._file.path for worker in self._workers}
        for path in sorted(self._counters.glob("*.ctr")):
            if path not in alive and path not in self._collector._files:
                path.rename(self._late / path.name)
                return

    def _deliver(self) -> None:
        for path in sorted(self._late.iterdir())[:1]:
            path.rename(self._counters / path.name)

    def _replay(self) -> None:
        """An archived file turns up again: restored from a backup, say."""
        archived = sorted((self._counters / "archive").glob("*.ctr"))
        if archived:
            path = self._chance.choice(archived)
            copy = self._copies / path.name
            with path.open("rb") as file:
                # What of it is used: the rest is a hole, and long.
                copy.write_bytes(file.read(HEADER_BYTES + (len(SERVICES) + 1) * ROW_BYTES))
            os.truncate(copy, path.stat().st_size)
            (self._copies / path.name).replace(self._counters / path.name)

    def _event(self) -> None:
        """Usage from outside; a third of the time it is what was sent before."""
        now = self._clock.now()
        if self._sent and self._chance.random() < 0.33:
            event = self._chance.choice(self._sent)
        else:
            number, calls = len(self._sent), self._chance.randrange(1, 5000)
            hour = hour_of(now) - self._chance.choice((0, 0, 1, 30))
            event = UsageEvent(
                f"e{number}", "/edge", ACCOUNT, "s1", REGION, "-", hour, {"calls": calls}, b"%d" % number
            )
            self._sent.append(event)
            self._counted["s1", "calls", hour] += calls
            self.report.calls += calls
        ingest(self._engine, [event, replace(event)], now, is_batch=True)

    def _step_clock(self) -> None:
        self._clock.move(off_s=self._chance.choice((0.0, self._chance.uniform(-JUMP_S_MAX, JUMP_S_MAX), 60.0, -60.0)))

    # The end

    def _end(self) -> None:
        """Everything arrives, everything is settled; then the sums."""
        for worker in self._workers:
            worker.meter.close()
        for path in self._late.iterdir():
            path.rename(self._counters / path.name)
        self._collector.collect()
        if self.mismatches:
            self.report.faults.append(f"{self.mismatches} identities do not hold")
        self._clock.move(passed_s=2 * JUMP_S_MAX + 7200)
        self._billing.settle(self._clock.now(), self._collector.sealed_through)
        if self._billing.settle(self._clock.now(), self._collector.sealed_through).settlements:
            self.report.faults.append("there was more to settle after everything was settled")
        self._compare("counted", self._stored())
        self._compare("billed", self._billed())
        self.report.faults += self._billing.reconcile()
        self._collector.close()
        self._engine.dispose()

    def _stored(self) -> Counter[_Key]:
        names = {METERS[cell]: name for cell, name in BILLED_AS.items()}
        query = select(counter.c.instance, counter.c.meter, counter.c.hour, func.sum(counter.c.value)).group_by(
            counter.c.instance, counter.c.meter, counter.c.hour
        )
        with self._engine.connect() as connection:
            return Counter(
                {
                    (instance, names[meter], hour): int(value)
                    for instance, meter, hour, value in connection.execute(query)
                    if meter in names
                }
            )

    def _billed(self) -> Counter[_Key]:
        query = select(line.c.instance, line.c.meter, line.c.hour, func.sum(line.c.quantity)).group_by(
            line.c.instance, line.c.meter, line.c.hour
        )
        with self._engine.connect() as connection:
            return Counter({(row[0], row[1], row[2]): int(row[3]) for row in connection.execute(query)})

    def _compare(self, what: str, found: Counter[_Key]) -> None:
        for key in sorted(self._counted.keys() | found.keys()):
            if self._counted[key] != found[key]:
                at = datetime.fromtimestamp(hour_start(key[2]), UTC).isoformat()
                self.report.faults.append(f"{key[0]} {key[1]} {at}: used {self._counted[key]}, {what} {found[key]}")


def simulate(seed: int) -> Report:
    """One run in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="tollgate-simulation-") as folder:
        return Simulation(seed, Path(folder)).run()


def main(arguments: list[str] | None = None) -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--seeds", type=int, default=20, help="how many runs")
    ask.add_argument("--first", type=int, default=0, help="the first one's seed")
    options = ask.parse_args(arguments)
    logging.getLogger("tollgate").setLevel(logging.CRITICAL)  # Clocks jump all the time here.
    console = Console()
    acts: Counter[str] = Counter()
    calls = bad = 0
    with Progress(console=console) as progress:
        for seed in progress.track(range(options.first, options.first + options.seeds), description="seeds"):
            report = simulate(seed)
            acts += report.acts
            calls += report.calls
            bad += bool(report.faults)
            for fault in report.faults[:5]:
                console.print(f"seed {seed}: {fault}", markup=False)
    console.print(f"{options.seeds} runs of {DAYS} days, {calls:,} calls, {dict(acts)}")
    console.print(f"{bad} runs with faults" if bad else "usage in is usage billed, in each")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
