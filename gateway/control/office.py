"""The office: every operation that the admin API and the command line offer, on the store, as documents.

Used on one thread. Nothing here knows of workers or of HTTP: without a running node the command line uses it alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine

from config.catalog import Catalog
from config.instants import parse_instant
from config.money import format_e8, read_e8
from config.prices import PriceBook
from config.schema import Settings
from gateway.control.billing_office import BillingOffice
from gateway.control.errors import Refusal
from gateway.control.filter import Filter
from gateway.control.instance_view import instance_documents
from gateway.control.instances import InstanceBook
from gateway.control.orders import pack_purchase, top_up_amounts
from gateway.control.ports import Biller, Wiring
from gateway.control.services import ServiceBook
from gateway.control.traffic import traffic_rows
from metering.clock import Clock, hour_of
from metering.collector import Collector
from metering.events import EventsInvalid, parse_events
from metering.ingestion import ingest
from metering.local_months import local_months
from metering.usage import usage_rows

Document = dict[str, Any]


class Office(BillingOffice):
    """``settings`` is replaced when the configuration file is read again."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        price_book: PriceBook,
        engine: Engine,
        clock: Clock,
        biller: Biller,
        book: ServiceBook,
        instances: InstanceBook,
        collector: Collector,
        wiring: Wiring,
    ) -> None:
        self.settings = settings
        self.limit_rows: Callable[[], list[Document]] | None = None  # a running node's
        self._catalog = catalog
        self._price_book = price_book
        self._engine = engine
        self._clock = clock
        self._biller = biller
        self._book = book
        self._instance_book = instances
        self._collector = collector
        self._wiring = wiring

    # Accounts

    def accounts(self, filter: Filter) -> list[Document]:
        """Each account's state and balances."""
        return [_account_summary(document) for document in self._accounts(filter.account)]

    def account(self, id: str) -> Document:
        """One account's, with its transitions and notifications. Raises Refusal not_found."""
        (document,) = self._accounts(id)
        more = ("transitions", "notifications", "vouchers")
        return {**_account_summary(document), **{name: document[name] for name in more if name in document}}

    def top_up(self, account: str, document: Document, key: str | None) -> Document:
        """``document``: {"cash": "10.00"}, and gift, income. Raises Refusal."""
        amounts_e8 = top_up_amounts(document, self._price_book.currency)
        return self._billing(self._biller.top_up, account, now=self._clock.now(), idem=key, **amounts_e8)

    def orders(self, filter: Filter) -> list[Document]:
        """What was bought and given back, in order."""
        found = [
            {"account": id, **order}
            for id in self._account_ids(filter)
            for order in self._billing(self._biller.orders, id)
        ]
        months = local_months(self.settings.billing.timezone)
        return [one for one in found if filter.month in (None, months.month_of(parse_instant(one["at"])))]

    # Packs

    def packs(self, filter: Filter) -> list[Document]:
        """Every pack, whatever its state. Packs count in all regions that have them (B32)."""
        return [
            {"account": id, "region": "all", **pack}
            for id in self._account_ids(filter)
            for pack in self._billing(self._biller.packs, id)
        ]

    def buy_pack(self, document: Document, key: str | None) -> Document:
        """``document``: an account, and an offer of the price book or meter, quantity, months, price."""
        purchase = pack_purchase(document, self._price_book, key)
        return self._billing(
            self._biller.buy_pack,
            purchase.account,
            purchase.id,
            meters=purchase.units,
            months=purchase.months,
            price=purchase.price_e8,
            source=purchase.source,
            now=self._clock.now(),
            idem=key,
        )

    def refund_pack(self, id: str, key: str | None) -> Document:
        return self._billing(self._biller.refund_pack, id, now=self._clock.now(), idem=key)

    # Instances and services

    def instances(self, filter: Filter) -> list[Document]:
        found = instance_documents(
            self.settings,
            self._catalog,
            self._book.services(),
            self._biller.entitlements(),
            self._accounts(filter.account),
            self._instance_book.not_served,
        )
        return [one for one in filter.select(found, "account") if filter.instance in (None, one["id"])]

    def services(self, filter: Filter) -> list[Document]:
        accounts = {one.id: one.account for one in self.settings.instances}
        return [
            one
            for one in filter.select(self._book.describe(), "instance")
            if filter.account in (None, accounts.get(one["instance"])) and filter.service in (None, one["id"])
        ]

    def service(self, id: str) -> Document:
        """Raises Refusal not_found."""
        found = self.services(Filter(service=id))
        if not found:
            raise Refusal("not_found", f"there is no service {id}")
        return found[0]

    def add_service(self, document: Document) -> Document:
        return self._book.add(document)

    def change_service(self, id: str, document: Document) -> Document:
        return self._book.change(id, document)

    def remove_service(self, id: str) -> None:
        self._book.remove(id)

    def limits(self, filter: Filter) -> list[Document]:
        """Every limit and quota in use, as it stands. Raises Refusal not_running: without a node there are none."""
        if self.limit_rows is None:
            raise Refusal("not_running", "no node runs on this data_dir, and limits are a running node's")
        accounts = {one.id: one.account for one in self.settings.instances}
        return [
            row
            for row in filter.select(self.limit_rows(), "instance", "service")
            if filter.account in (None, accounts.get(row["instance"]))
        ]

    # Usage and bills

    def usage(self, filter: Filter) -> list[Document]:
        """Rows of DESIGN 1.6, from the store: they never go back."""
        return usage_rows(
            self._engine,
            account=filter.account,
            instance=filter.instance,
            service=filter.service,
            month=filter.month,
            tz=self.settings.billing.timezone,
            from_hour=filter.from_hour,
            to_hour=filter.to_hour,
        )

    def count_events(self, documents: list[Any], *, is_batch: bool) -> Document:
        """CloudEvents of usage metered elsewhere. Raises Refusal `invalid` with every fault, and counts none then."""
        places = {one.id: (one.account, one.region) for one in self.settings.instances}
        places.update(self._biller.places())
        begins = {one.id: hour_of(one.activated_at) for one in self.settings.accounts}
        now = self._clock.now()
        try:
            events = parse_events(documents, now, places.get, is_batch=is_batch, begin_of=begins.get)
            done = ingest(self._engine, events, now, is_batch=is_batch)
        except EventsInvalid as error:
            raise Refusal("invalid", "the events are not valid; none was counted", error.faults) from None
        return done._asdict()

    def traffic(self, filter: Filter) -> list[Document]:
        return filter.select(traffic_rows(self._collector.totals), "instance", "service")

    def bills(self, filter: Filter) -> Document:
        """An account as DESIGN 1.4 has it; without an account in the filter, {"accounts": all of them by id}."""
        if filter.account is not None:
            return self._billing(self._biller.bill, filter.account, filter.month)
        return {
            "accounts": {id: self._billing(self._biller.bill, id, filter.month) for id in self._account_ids(filter)}
        }

    def bill_lines(self, month: str, filter: Filter) -> list[Document]:
        found = [
            {"account": id, **line}
            for id in self._account_ids(filter)
            for line in self._billing(self._biller.bill_lines, id, month)
        ]
        return filter.select(found, "instance")

    def settlements(self, filter: Filter) -> list[Document]:
        found = self._billing(self._biller.settlements, filter.account, filter.month)
        return [one for one in found if filter.holds_hour(one["hour"])]

    # Billing

    def _accounts(self, id: str | None) -> list[Document]:
        """The documents of all accounts, or of one. Raises Refusal not_found."""
        documents = self._billing(self._biller.accounts)
        if id is None:
            return documents
        found = [document for document in documents if document["id"] == id]
        if not found:
            raise Refusal("not_found", f"there is no account {id}")
        return found


def _account_summary(document: Document) -> Document:
    """``balance`` is the total that arrears are judged by: what is held counts (B47)."""
    wallet = document["wallet"]
    balance_e8 = sum(map(read_e8, wallet.values()))
    return {
        "id": document["id"],
        "state": document["state"],
        "currency": document["currency"],
        "balance": format_e8(balance_e8),
        "wallet": wallet,
    }
