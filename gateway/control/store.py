"""The open store of a data_dir: what is metered, what is billed, what is served. Used on one thread.

With a running node its control process holds it; without one the command line opens it for a moment.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from config.catalog import Catalog, load_catalog
from config.errors import Fault
from config.prices import load_price_book
from config.schema import Settings
from gateway.control.errors import StartError, StoreBusy
from gateway.control.instances import InstanceBook
from gateway.control.node_id import data_id
from gateway.control.office import Office
from gateway.control.ports import Wiring
from gateway.control.room import Room
from gateway.control.services import ServiceBook
from metering.clock import VirtualClock, open_clock
from metering.collector import Collector
from metering.database import open_engine

_log = logging.getLogger(__name__)
_TOLD_MAX: Final = 20


class Store:
    """Raises StoreBusy, and what the database driver raises when it cannot be opened.

    The caller holds the lock of the data_dir. ``take_over``: also from another node that is alive.
    """

    def __init__(self, settings: Settings, wiring: Wiring, *, take_over: bool = False) -> None:
        data_dir = Path(settings.node.data_dir)
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.catalog: Catalog = load_catalog(settings.catalog)
        self.clock: VirtualClock = open_clock(data_dir, settings.clock.rate, settings.clock.offset)
        self.engine = open_engine(settings.store.url)
        try:
            self.ownership = wiring.claim(
                self.engine,
                node=settings.node.name,
                data_id=data_id(data_dir),
                boot=secrets.token_hex(8),
                host=socket.gethostname(),
                pid=os.getpid(),
                take_over=take_over,
            )
        except wiring.store_taken as error:
            self.engine.dispose()
            raise StoreBusy(str(error)) from None
        self._store_lost = wiring.store_lost
        self.price_book = load_price_book(settings.billing.price_book)
        self.biller = wiring.open_biller(self.engine, self.price_book, self.catalog, settings, self.clock)
        self.book = ServiceBook(data_dir, settings, self.catalog)
        self.instances = InstanceBook(data_dir)
        self._of_file = settings
        self._followed = -1  # the revision of the instances that the services were read beside
        self.collector = Collector(data_dir / "counters", self.engine, self.clock)
        self.office = Office(
            settings,
            self.catalog,
            self.price_book,
            self.engine,
            self.clock,
            self.biller,
            self.book,
            self.instances,
            self.collector,
            wiring,
        )

    def take_up(self, settings: Settings) -> Settings:
        """Bring accounts, instances and services in line with the file. Returns the settings to go by: with what was
        bought over the API. Raises StartError, with nothing changed, where the tables have no room for the file's, or
        where something made over the API is served now and would be no more."""
        Room().require_file(settings, self.catalog)
        instances = self.instances.read(settings)
        joined = instances.joined(settings)
        services = self.book.read(joined, self.catalog)
        _require_none(self.instances.lost(instances) + self.book.lost(services))
        self._of_file = settings
        report = self.biller.sync(settings, self.clock.now())
        for refused in report["refused"]:
            if "account" in refused:
                _log.error("account %s is not as the file has it: %s", refused["account"], refused["reason"])
            else:
                # What cannot be paid is tried again at every tick.
                _log.error("instance %s is not served: %s", refused["instance"], refused["reason"])
        for difference in self.biller.differences(settings):
            _log.warning("not taken up: %s", difference)
        for fault in self.instances.follow(instances) + self.book.follow(services):
            _log.error("not served: %s", fault)
        self.office.settings, self._followed = joined, self.instances.revision
        return self.follow_instances()

    def follow_instances(self) -> Settings:
        """The settings to go by, after instances were bought, or went."""
        if not self.instances.is_empty():
            self.instances.drop(self.biller.ended_instances())
        if self.instances.revision != self._followed:
            settings = self.instances.joined(self._of_file)
            for fault in self.book.load(settings, self.catalog):
                _log.error("not served: %s", fault)
            self.office.settings = settings
            self._followed = self.instances.revision
        return self.office.settings

    def close(self) -> None:
        self.collector.close()
        with contextlib.suppress(self._store_lost, SQLAlchemyError):  # Then it is found silent, or another's.
            self.ownership.release()
        self.engine.dispose()


def _require_none(lost: Sequence[Fault]) -> None:
    """Raises StartError with the reasons, as many as a person reads."""
    if lost:
        told = [*map(str, lost[:_TOLD_MAX]), *([f"and {len(lost) - _TOLD_MAX} more"] if len(lost) > _TOLD_MAX else [])]
        raise StartError(f"what was made over the API could not be served any more: {'; '.join(told)}")
