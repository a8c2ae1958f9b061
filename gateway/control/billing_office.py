"""The part of the office that moves money, and that shows what is behind a bill."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Engine

from config.catalog import Catalog
from config.errors import Fault
from config.prices import PriceBook, load_price_book
from config.schema import InstanceSettings, Settings
from gateway.control.errors import Refusal
from gateway.control.filter import Filter
from gateway.control.instances import InstanceBook
from gateway.control.operations import (
    SERVING_KEYS,
    Adjustment,
    InstancePurchase,
    Renewal,
    Veto,
    VoucherGrant,
    WhatIf,
    parsed,
)
from gateway.control.ports import Biller, Wiring
from metering.clock import Clock, hour_of, hour_start
from metering.local_months import local_months
from metering.usage import usage_rows

_log = logging.getLogger(__name__)
Document = dict[str, Any]
P = ParamSpec("P")
T = TypeVar("T")

# Front-end errors that are the gateway's own failure, not the client's (L7). A backend's failure is neither.
GATEWAY_FAILURES = ("internal_error",)
_PPM = 10**6


class BillingOffice:
    """``Office`` is one of these."""

    settings: Settings
    _catalog: Catalog
    _price_book: PriceBook
    _engine: Engine
    _clock: Clock
    _biller: Biller
    _instance_book: InstanceBook
    _wiring: Wiring

    # What an account asks for

    def give_voucher(self, account: str, document: Document, key: str | None) -> Document:
        """``document``: {"id", "amount", "expires_at"}."""
        wish = parsed(VoucherGrant, document)
        return self._billing(
            self._biller.give_voucher, account, wish.id, wish.amount, wish.expires_at, self._clock.now(), key
        )

    def buy_instance(self, document: Document, key: str | None) -> Document:
        """``document``: {"account", "id", "spec", "region", "charge", "price"}, and how it serves: at least an `entry`.

        Without one it serves once the file has it under the same id. ``serving`` in the answer says whether it does.
        """
        wish = parsed(InstancePurchase, document)
        faults = []
        if wish.spec not in self._catalog.dedicated:
            faults.append(Fault("spec", f"the catalog has {', '.join(self._catalog.dedicated)}"))
        if wish.region not in self._catalog.regions:
            faults.append(Fault("region", f"unknown region {wish.region!r}"))
        if faults:
            raise Refusal("invalid", "the purchase is not valid", faults)
        served = self._to_serve(wish)
        months = None if wish.charge == "payg" else wish.charge.prepaid_months
        done = self._billing(
            self._biller.buy_instance,
            wish.account,
            wish.id,
            spec=wish.spec,
            region=wish.region,
            months=months,
            price=wish.price,
            now=self._clock.now(),
            idem=key,
        )
        try:
            may_serve = self._biller.entitlements().get(wish.id, False)
            if served is not None and may_serve:
                self._instance_book.add(served)
        except Exception:
            # It is paid, and answered so; with the same key again it is made to serve.
            _log.exception("%s is bought, and could not be made to serve", wish.id)
            may_serve = False
        is_known = self._instance_book.has(wish.id) or any(one.id == wish.id for one in self.settings.instances)
        return {**done, "serving": may_serve and is_known}

    def _to_serve(self, wish: InstancePurchase) -> InstanceSettings | None:
        """What is to be served, checked before anything is paid; None where it is the file's to say, or was said."""
        if wish.entry is None:
            lost = [name for name in SERVING_KEYS if getattr(wish, name) is not None]
            if lost:
                raise Refusal("invalid", "the purchase is not valid", [Fault(lost[0], "is for an entry, and has none")])
            return None
        if self._instance_book.has(wish.id):
            return None
        document = wish.model_dump(mode="json", exclude={"price"}, exclude_none=True)
        return self._instance_book.checked({**document, "type": "dedicated"}, self.settings)

    def release_instance(self, id: str, key: str | None) -> Document:
        return self._billing(self._biller.release_instance, id, now=self._clock.now(), idem=key)

    def refund_instance(self, id: str, key: str | None) -> Document:
        return self._billing(self._biller.refund_instance, id, now=self._clock.now(), idem=key)

    def renew_instance(self, id: str, document: Document, key: str | None) -> Document:
        months = parsed(Renewal, document).months
        return self._billing(self._biller.renew_instance, id, months=months, now=self._clock.now(), idem=key)

    # What the operator does

    def adjust(self, account: str, document: Document, key: str | None) -> Document:
        """``document``: {"hour", "instance", "meter", "amount", "reason"}; the amount is given back."""
        wish = parsed(Adjustment, document)
        return self._billing(
            self._biller.adjust,
            account,
            hour=hour_of(wish.hour),
            instance=wish.instance,
            meter=wish.meter,
            amount_e8=wish.amount,
            reason=wish.reason,
            now=self._clock.now(),
            idem=key,
        )

    def regrant_free(self, account: str, key: str | None) -> Document:
        return self._billing(self._biller.regrant_free, account, now=self._clock.now(), idem=key)

    def veto_refunds(self, account: str, document: Document) -> Document:
        is_vetoed = parsed(Veto, document).vetoed
        self._billing(self._biller.veto_refunds, account, is_vetoed, self._clock.now())
        return {"account": account, "vetoed": is_vetoed}

    def reconcile(self, *, repair: bool) -> list[Document]:
        """Each contradiction of the store (RULES C.7). With ``repair``, hours not billed are marked again."""
        return [{"finding": finding} for finding in self._biller.reconcile(repair=repair)]

    # What is behind a bill

    def explain(self, line: int) -> Document:
        return self._billing(self._biller.explain, line, self._clock.now())

    def what_if(self, account: str, document: Document) -> Document:
        wish = parsed(WhatIf, document)
        if wish.spec is not None and wish.spec not in self._catalog.dedicated:
            raise Refusal("invalid", "no such spec", [Fault("spec", f"one of {', '.join(self._catalog.dedicated)}")])
        pack = wish.pack
        return self._billing(
            self._biller.what_if,
            account,
            wish.month,
            book=None if wish.price_book is None else load_price_book(wish.price_book),
            pack=None if pack is None else (pack.meter, pack.quantity, pack.months, pack.price),
            spec=wish.spec,
            now=self._clock.now(),
        )

    def focus(self, month: str, filter: Filter) -> list[Document]:
        """FOCUS 1.4 rows of a month, of one account or of all."""
        return [row for id in self._account_ids(filter) for row in self._billing(self._biller.focus, id, month)]

    def transfers(self, account: str, filter: Filter, after: int = 0) -> Document:
        """An account's ledger, a page of it: {"items", "next"}."""
        begins = None if filter.from_hour is None else hour_start(filter.from_hour)
        ends = None if filter.to_hour is None else hour_start(filter.to_hour)
        if filter.month is not None:
            first, last = local_months(self.settings.billing.timezone).month_bounds(filter.month)
            begins, ends = max(first, begins or 0), min(last, ends or last)
        items, following = self._billing(self._biller.transfers, account, begins, ends, after)
        return {"items": items, "next": None if following is None else str(following)}

    def statement(self, month: str, filter: Filter) -> Document:
        """A month's page of one account, with the availability of its instances (L7)."""
        ids = self._account_ids(filter)
        if len(ids) != 1:
            raise Refusal("invalid", "a statement is of one account", [Fault("account", f"one of {', '.join(ids)}")])
        page = self._billing(self._biller.statement, ids[0], month, self._clock.now())
        of_file = self.settings.billing
        issued = {"seller": of_file.seller, "tax": of_file.tax}
        return {**page, **issued, "availability": self._availability(ids[0], month)}

    def _availability(self, account: str, month: str) -> list[Document]:
        received: defaultdict[str, int] = defaultdict(int)
        failed: defaultdict[str, int] = defaultdict(int)
        rows = usage_rows(self._engine, account=account, month=month, tz=self.settings.billing.timezone)
        for row in rows:
            errors = row["frontend_errors"]
            received[row["instance"]] += row["calls"] + row["websocket_connections"] + sum(errors.values())
            failed[row["instance"]] += sum(errors.get(code, 0) for code in GATEWAY_FAILURES)
        targets = {one.id: self._catalog.spec_of(one).sla for one in self.settings.instances}
        return [
            {
                "instance": id,
                "received": received[id],
                "failed": failed[id],
                "availability": share_text(received[id] - failed[id], received[id]),
                "sla": targets.get(id),
            }
            for id in sorted(received)
        ]

    def _account_ids(self, filter: Filter) -> list[str]:
        """Raises Refusal not_found where the filter names an account that does not exist."""
        ids = [id for id, _, _ in self._biller.balances()]
        if filter.account is None:
            return ids
        if filter.account not in ids:
            raise Refusal("not_found", f"there is no account {filter.account}")
        return [filter.account]

    def _billing(self, operation: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What billing refuses is refused here."""
        try:
            return operation(*args, **kwargs)
        except self._wiring.refused as refused:
            code, detail = getattr(refused, "code", "refused"), getattr(refused, "detail", str(refused))
            field = getattr(refused, "field", None)
            raise Refusal(code, detail, [Fault(field, detail)] if field else ()) from None


def share_text(part: int, whole: int) -> str | None:
    """Six decimals, cut off: it never looks better than it was. None where there was nothing."""
    if not whole:
        return None
    ppm = part * _PPM // whole
    return f"{ppm // _PPM}.{ppm % _PPM:06d}"
