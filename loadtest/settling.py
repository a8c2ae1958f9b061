"""How long billing takes: `python -m loadtest.settling [--accounts 1000] [--hours 100] [--store URL] [--plot FILE]`.

Each account has two shared instances and one paid by the second, calls that climb the tiers, and packs of calls and of
traffic that run out on the way. Writing the counters is not timed, settling them is, in two ways: `hourly`, one tick
after each hour as a node does it, and `late`, all hours at once as after an absence. Times are compared over a growing
number of accounts; the peak of memory is this process's own.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Engine

from billing.service import Billing
from billing.tables import create_all
from billing.upsert import insert_or_replace
from config.catalog import load_catalog
from config.money import E8
from config.prices import load_price_book
from metering.database import open_engine, transaction
from metering.tables import counter, dirty

START: Final = 1_704_067_200 // 3600  # the first hour of January 2024, UTC
GIB: Final = 2**30
_REGIONS = ("ap-guangzhou", "ap-hongkong")
_METERS: Final = (
    ("calls", 150_000),
    ("egress:client:internet:application", GIB // 3),
    ("egress:backend:internet:application", GIB // 50),
)
_ROWS_AT_ONCE = 20_000


class Result(NamedTuple):
    mode: str
    accounts: int
    account_hours: int
    seconds: float
    settlements: int
    peak_mib: int


def found(engine: Engine, accounts: int) -> Billing:
    """The accounts, with what they own. As much as possible in one transaction: this part is not measured."""
    with transaction(engine) as connection:
        create_all(connection)
    billing = Billing(engine, load_price_book("usd"), load_catalog(), is_migrated=True)
    now = START * 3600
    for number in range(accounts):
        id = f"a{number:06d}"
        billing.open_account(id, now, has_free_quota=number % 2 == 0)
        for which, region in enumerate(_REGIONS):
            billing.open_shared_instance(id, f"{id}-{which}", region, now)
        billing.top_up(id, cash=10_000 * E8, now=now)
        wish: dict[str, Any] = {"months": 1, "price": E8, "now": now}
        billing.buy_pack(id, f"{id}-calls", meter="calls", quantity=3_000_000, **wish)
        billing.buy_pack(id, f"{id}-egress", meter="egress", quantity=20 * GIB, **wish)
        billing.buy_instance(id, f"{id}-d", spec="dedicated-2500", region="ap-guangzhou", now=now)
    billing.settle(now, lambda hour: True)
    return billing


def count(engine: Engine, accounts: int, hours: range) -> None:
    """The counters of these hours, and their marks, as the collector writes them."""
    rows: list[dict[str, Any]] = []
    for hour in hours:
        for number in range(accounts):
            id = f"a{number:06d}"
            for which, region in enumerate(_REGIONS):
                common = {"writer": "w", "account": id, "instance": f"{id}-{which}", "region": region, "service": "x"}
                rows += [{**common, "meter": meter, "hour": hour, "value": units} for meter, units in _METERS]
            if len(rows) >= _ROWS_AT_ONCE:
                _write(engine, rows)
                rows.clear()
    _write(engine, rows)


def _write(engine: Engine, rows: list[dict[str, Any]]) -> None:
    marks = {(row["account"], row["hour"]) for row in rows}
    with transaction(engine) as connection:
        connection.execute(insert_or_replace(connection, counter, "value"), rows)
        connection.execute(
            insert_or_replace(connection, dirty, "hour"),
            [{"account": account, "hour": hour} for account, hour in sorted(marks)],
        )


def measure(url: str, accounts: int, hours: int, mode: str) -> Result:
    """`url` of an empty store."""
    engine = open_engine(url)
    billing = found(engine, accounts)
    seconds, settlements = 0.0, 0
    steps = [range(START, START + hours)] if mode == "late" else [range(h, h + 1) for h in range(START, START + hours)]
    for step in steps:
        count(engine, accounts, step)
        began = time.perf_counter()
        settlements += billing.settle(step.stop * 3600, lambda hour: True).settlements
        seconds += time.perf_counter() - began
    assert settlements == accounts * hours, (settlements, accounts * hours)
    engine.dispose()
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Result(mode, accounts, accounts * hours, seconds, settlements, peak_mib)


def plot(results: list[Result], path: Path) -> None:
    """Seconds against accounts, as SVG: a line for each mode."""
    width, height, left, bottom = 640, 360, 60, 40
    most_accounts = max(result.accounts for result in results)
    most_seconds = max(result.seconds for result in results) * 1.1

    def place(result: Result) -> tuple[float, float]:
        x = left + (width - left - 20) * result.accounts / most_accounts
        return x, height - bottom - (height - bottom - 20) * result.seconds / most_seconds

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"'
        ' font-size="12">',
        f'<path d="M{left},20V{height - bottom}H{width - 20}" fill="none" stroke="#333"/>',
        f'<text x="{width // 2}" y="{height - 8}">accounts (three instances each)</text>',
        '<text x="8" y="16">seconds to settle</text>',
    ]
    for mode, colour in (("hourly", "#1f6feb"), ("late", "#d4581a")):
        points = [place(result) for result in results if result.mode == mode]
        of_mode = [result for result in results if result.mode == mode]
        if not points:
            continue
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(
            f'<polyline points="{left},{height - bottom} {line}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        for (x, y), result in zip(points, of_mode, strict=True):
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
            parts.append(f'<text x="{x - 40:.1f}" y="{y - 8:.1f}">{result.accounts:,}: {result.seconds:.1f} s</text>')
        parts.append(f'<text x="{points[-1][0] - 60:.1f}" y="{points[-1][1] + 18:.1f}" fill="{colour}">{mode}</text>')
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="loadtest.settling", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--hours", type=int, default=100)
    parser.add_argument("--points", type=int, default=1, help="so many sizes up to --accounts")
    parser.add_argument("--mode", choices=("hourly", "late", "both"), default="both")
    parser.add_argument("--store", action="append", help="an empty store for each run; default: in memory")
    parser.add_argument("--plot", type=Path, help="an SVG to write")
    options = parser.parse_args(arguments)
    stores = iter(options.store or ())
    results = []
    for point in range(1, options.points + 1):
        for mode in ("hourly", "late") if options.mode == "both" else (options.mode,):
            accounts = options.accounts * point // options.points
            result = measure(next(stores, "sqlite://"), accounts, options.hours, mode)
            results.append(result)
            print(
                f"{mode:7} {accounts:7,} accounts {result.account_hours:9,} account-hours {result.seconds:7.2f} s "
                f"{1e6 * result.seconds / result.account_hours:6.0f} us each  peak {result.peak_mib} MiB",
                flush=True,
            )
    if options.plot:
        plot(results, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
