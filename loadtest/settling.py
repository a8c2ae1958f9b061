"""How long billing takes, and how much memory: `python -m loadtest.settling [--postgres URL] [--plot FILE.png]`.

Each account has two shared instances and one paid by the second; over the hours of a run its calls use up a pack and
climb two tiers, and its traffic a pack. Stores are on disk: a SQLite file, or a database that is created on the server
of `--postgres` and dropped again. Writing the counters is not timed, settling them is. Four kinds of runs:

ticks     one tick over more and more accounts, an hour each: the time is to grow as the accounts do
hourly    100 ticks over a hundredth of the accounts, each after its hour, as a node does it
late      the same hours in one tick, as after an absence
rows      one tick over a hundredth of the accounts, with more and more rows of usage in it (many writers and services)
history   a tick of the same size, after more and more rows of usage that were settled before

Each run is a process of its own; its memory is the most that it had while it settled, above what it had before.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import make_url

from billing import orders, store
from billing.accounts import Account, AccountState
from billing.books import open_books
from billing.calendar import DEFAULT_TIMEZONE, LocalCalendar
from billing.instances import Charge, Instance, InstanceState
from billing.packs import Source
from billing.service import Billing
from billing.tables import create_all
from billing.upsert import append_rows, ignore_rows
from config.catalog import load_catalog
from config.money import E8
from config.prices import load_price_book
from metering.database import open_engine, transaction
from metering.tables import counter, dirty

START: Final = 1_704_067_200 // 3600  # the first hour of January 2024, UTC
GIB: Final = 2**30
HOURS: Final = 100  # of a run by the hour, and how many fewer accounts it has than a tick
_REGIONS: Final = ("ap-guangzhou", "ap-hongkong")
# What each shared instance of an account uses in a run, however many hours it has: with both, 30 M calls and 68 GiB.
_TOTALS: Final = {
    "calls": 15_000_000,
    "egress:client:internet:application": 33 * GIB,
    "egress:backend:internet:application": GIB,
}
_AT_ONCE: Final = 2_000  # accounts founded, or account-hours counted, in a transaction


class Run(NamedTuple):
    """`rows` of usage in the tick's hours, or before them; 0: one for each meter of an instance in an hour."""

    kind: str
    accounts: int
    hours: int = 1
    rows: int = 0


class Result(NamedTuple):
    engine: str
    run: Run
    seconds: float
    cpu_seconds: float  # this process's own; of PostgreSQL's server not
    added_mib: float
    peak_mib: float

    def __str__(self) -> str:
        accounts, hours, rows = self.run[1:]
        usage = f"{rows:9,} rows" if rows else " " * 14
        return (
            f"{self.engine:10} {self.run.kind:8} {accounts:7,} accounts x {hours:3} h {usage} {self.seconds:7.2f} s "
            f"(own CPU {self.cpu_seconds:.2f} s) "
            f"{1e6 * self.seconds / (accounts * hours):6.0f} us each  memory +{self.added_mib:.0f} MiB "
            f"to {self.peak_mib:.0f} MiB"
        )


def name(number: int) -> str:
    return f"a{number:06d}"


def found(engine: Engine, accounts: int) -> Billing:
    """The accounts, with what they own: every other one has the free quota, every third a voucher."""
    with transaction(engine) as connection:
        create_all(connection)
    billing = Billing(engine, load_price_book("usd"), load_catalog(), is_migrated=True)
    now = START * 3600
    for begin in range(0, accounts, _AT_ONCE):
        with transaction(engine) as connection:
            _found(connection, range(begin, min(accounts, begin + _AT_ONCE)), billing, now)
    billing.settle(now, lambda hour: True)
    return billing


def _found(connection: Connection, numbers: range, billing: Billing, now: int) -> None:
    ids = [name(number) for number in numbers]
    active = AccountState.ACTIVE
    has_quota = [number % 2 == 0 for number in numbers]
    new = [Account(id, id, "USD", now, active, now, quota) for id, quota in zip(ids, has_quota, strict=True)]
    store.add_accounts(connection, new)
    per_second = billing.price_book.instances["dedicated-2500"].per_second
    with open_books(connection, ids, LocalCalendar(DEFAULT_TIMEZONE), now) as books:
        for number, book in zip(numbers, books, strict=True):
            id = book.account.id
            book.note_event(now)
            orders.top_up(book, {"cash": 100_000 * E8, "gift": 2 * E8})
            if number % 3 == 0:
                orders.give_voucher(book, f"{id}-v", 3 * E8, now + 90 * 86_400)
            orders.buy_pack(book, f"{id}-calls", {"calls": 3_000_000}, 1, E8, Source.PURCHASE, now)
            orders.buy_pack(book, f"{id}-egress", {"egress": 20 * GIB}, 1, E8, Source.PURCHASE, now)
            orders.buy_instance(book, f"{id}-d", "dedicated-2500", _REGIONS[0], per_second, now)
            for which, region in enumerate(_REGIONS):
                shared = f"{id}-{which}"
                book.instances[shared] = Instance(
                    shared, id, "shared", Charge.USAGE, None, region, InstanceState.ACTIVE, now
                )


def count(engine: Engine, accounts: int, hours: range, of: int, writers: int = 1, *, is_settled: bool = False) -> None:
    """The counters of these hours, and their marks unless they are settled, as the collector writes them.

    In each of them an account uses a part in `of` of its totals, counted by so many writers.
    """
    for hour in hours:
        step = max(1, _AT_ONCE // writers)
        for begin in range(0, accounts, step):
            ids = [name(number) for number in range(begin, min(accounts, begin + step))]
            rows = [
                {
                    "writer": f"w{writer:03d}",
                    "account": id,
                    "instance": f"{id}-{which}",
                    "region": region,
                    "service": f"s{writer % 10}",
                    "meter": meter,
                    "hour": hour,
                    "value": total // of // writers,
                }
                for writer in range(writers)
                for id in ids
                for which, region in enumerate(_REGIONS)
                for meter, total in _TOTALS.items()
            ]
            with transaction(engine) as connection:
                append_rows(connection, counter, rows)
                if not is_settled:
                    ignore_rows(connection, dirty, [{"account": id, "hour": hour} for id in ids])


def measure(url: str, run: Run) -> tuple[float, float, float, float]:
    """Seconds, seconds of CPU, MiB added while settling, MiB at most. `url` of an empty store."""
    engine = open_engine(url)
    billing = found(engine, run.accounts)
    per_hour = len(_REGIONS) * len(_TOTALS) * run.accounts
    if run.kind == "history":
        past = -(-run.rows // per_hour)
        count(engine, run.accounts, range(START - past, START), past, is_settled=True)
    writers = run.rows // per_hour if run.kind == "rows" else 1
    hours = range(START, START + run.hours)
    steps = [range(hour, hour + 1) for hour in hours] if run.kind == "hourly" else [hours]
    seconds, cpu_seconds, settlements, added_mib, peak_mib = 0.0, 0.0, 0, 0.0, 0.0
    for step in steps:
        count(engine, run.accounts, step, run.hours, writers)
        gc.collect()
        before_mib = _resident_mib()
        began, cpu_began = time.perf_counter(), time.process_time()
        settlements += billing.settle(step.stop * 3600, lambda hour: True).settlements
        seconds += time.perf_counter() - began
        cpu_seconds += time.process_time() - cpu_began
        peak_mib = max(peak_mib, _peak_mib())
        added_mib = max(added_mib, _peak_mib() - before_mib)
    assert settlements == run.accounts * run.hours, (settlements, run)
    engine.dispose()
    return seconds, cpu_seconds, added_mib, peak_mib


def _resident_mib() -> float:
    """Now; the kernel's note of the most starts anew from here."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory_mib("VmRSS")


def _peak_mib() -> float:
    return _memory_mib("VmHWM")


def _memory_mib(which: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(which))


def planned(account_hours: int, rows: int, points: int) -> Iterator[Run]:
    few = max(1, account_hours // HOURS)
    steps = [(point, points) for point in range(1, points + 1)]
    yield from (Run("ticks", account_hours * part // of) for part, of in steps)
    yield Run("hourly", few, HOURS)
    yield Run("late", few, HOURS)
    yield from (Run("rows", few, rows=rows * part // of) for part, of in steps)
    yield from (Run("history", few, rows=rows * part // of) for part, of in steps)


@contextmanager
def empty_store(server: str | None) -> Iterator[str]:
    """The URL of a SQLite file, or of a database on the server; both are gone afterwards."""
    if server is None:
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/store.db"
        return
    database = f"settling_{uuid.uuid4().hex}"
    url = make_url(server).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {database}"))
        try:
            yield url.set(drivername="postgresql", database=database).render_as_string(hide_password=False)
        finally:
            connection.execute(text(f"DROP DATABASE {database}"))
    engine.dispose()


def measured(runs: Sequence[Run], server: str | None) -> Iterator[Result]:
    engine = "SQLite" if server is None else "PostgreSQL"
    # A fork has what was imported already, and memory of its own.
    processes = multiprocessing.get_context("fork")
    for run in runs:
        with empty_store(server) as url, processes.Pool(1) as pool:
            yield Result(engine, run, *pool.apply(measure, (url, run)))


def plot(results: Sequence[Result], path: Path) -> None:
    """Time and memory against accounts, and time against rows of usage."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (time_axes, rows_axes, memory_axes) = pyplot.subplots(1, 3, figsize=(13, 4.2))
    for engine, colour in (("SQLite", "#2b7bba"), ("PostgreSQL", "#e08a1e")):
        of_engine = [result for result in results if result.engine == engine]
        if not of_engine:
            continue
        ticks = [result for result in of_engine if result.run.kind == "ticks"]
        accounts = [result.run.accounts for result in ticks]
        time_axes.plot(accounts, [result.seconds for result in ticks], "o-", color=colour, label=f"{engine}, one tick")
        for kind, marker in (("hourly", "s"), ("late", "x")):
            for result in of_engine:
                if result.run.kind == kind:
                    time_axes.plot(
                        result.run.accounts * result.run.hours, result.seconds, marker, color=colour,
                        label=f"{engine}, {result.run.accounts:,} accounts {kind}",
                    )  # fmt: skip
        memory_axes.plot(accounts, [result.added_mib for result in ticks], "o-", color=colour, label=engine)
        for kind, line in (("rows", "o-"), ("history", "o--")):
            of_kind = [result for result in of_engine if result.run.kind == kind]
            label = "in the tick" if kind == "rows" else "settled before it"
            rows_axes.plot(
                [result.run.rows for result in of_kind], [result.seconds for result in of_kind], line,
                color=colour, label=f"{engine}, {label}",
            )  # fmt: skip
    for axes, title, across, up in (
        (time_axes, "Time to settle", "account-hours", "seconds"),
        (rows_axes, "A tick beside rows of usage", "rows of usage", "seconds"),
        (memory_axes, "Memory that a tick adds", "account-hours in one tick", "MiB"),
    ):
        axes.set_title(title, loc="left", fontweight="bold")
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)
    memory_axes.set_ylim(0, max(1.0, 2 * memory_axes.get_ylim()[1]))
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="loadtest.settling", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--account-hours", type=int, default=100_000, help="of the largest tick, and of other runs")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of usage, at most")
    parser.add_argument("--points", type=int, default=4, help="so many sizes up to the largest")
    parser.add_argument("--postgres", help="a server to create databases on: it is measured too")
    parser.add_argument("--only", help="kinds of runs, with commas between")
    parser.add_argument("--no-sqlite", action="store_true")
    parser.add_argument("--plot", type=Path, help="a PNG to write")
    options = parser.parse_args(arguments)
    kinds = options.only.split(",") if options.only else None
    runs = [
        run
        for run in planned(options.account_hours, options.rows, options.points)
        if kinds is None or run.kind in kinds
    ]
    servers = [*([] if options.no_sqlite else [None]), *([options.postgres] if options.postgres else [])]
    results: list[Result] = []
    for server in servers:
        for result in measured(runs, server):
            results.append(result)
            print(result, flush=True)
    if options.plot:
        plot(results, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
