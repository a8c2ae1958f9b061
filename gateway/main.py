"""The composition root: the only place that sees the gateway, billing and metering together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from billing.commands import simulate
from billing.errors import Refused, StoreLost, StoreTaken
from config.commands import check
from gateway.commands.app import make_app, run
from gateway.commands.desk import Desk
from gateway.commands.finding import Finder
from gateway.commands.serve import serve_command
from gateway.control.ports import Biller, Ownership, Wiring
from loadtest.commands import demo
from loadtest.compare.command import app as loadtest

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from config.catalog import Catalog
    from config.prices import PriceBook
    from config.schema import Settings
    from metering.clock import Clock

# What only some commands need is imported where they do: the others are up in half the time.


def open_biller(engine: Engine, price_book: PriceBook, catalog: Catalog, settings: Settings, clock: Clock) -> Biller:
    from billing.service import Billing

    terms = settings.billing
    # Whoever has claimed the store has migrated it.
    return Billing(engine, price_book, catalog, terms.timezone, terms.egress_basis, clock, is_migrated=True)


def claim_store(
    engine: Engine, *, node: str, data_id: str, boot: str, host: str, pid: int, take_over: bool
) -> Ownership:
    from billing.migrations import migrate
    from billing.owner import claim

    who = {"node": node, "data_id": data_id, "boot": boot, "host": host}
    return claim(engine, migrate, **who, pid=pid, take_over=take_over)


WIRING = Wiring(claim_store, open_biller, Refused, StoreTaken, StoreLost)


@contextmanager
def open_store(settings: Settings) -> Iterator[Desk]:
    """The store of a node that does not run."""
    from gateway.control.data_dir import open_data_dir
    from gateway.control.lock import DataDirLock
    from gateway.control.store import Store

    open_data_dir(Path(settings.node.data_dir), settings.store.url)
    # The lock: a node that starts meanwhile waits, and finds what was written.
    with DataDirLock(settings.node.data_dir):
        store = Store(settings, WIRING)
        try:
            # Workers may have counted since a control process last looked.
            store.collector.collect()
            store.take_up(settings)
            yield store.office
        finally:
            store.close()


def main() -> int:
    commands: dict[str, Callable[..., Any] | typer.Typer] = {
        "serve": serve_command(WIRING),
        "check": check,
        "simulate": simulate,
        "demo": demo,
        "loadtest": loadtest,
    }
    return run(make_app(Finder(open_store), commands))


if __name__ == "__main__":
    sys.exit(main())
