"""Orders as they are handed in: documents into amounts. Every fault is named."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from config.currencies import require_payable
from config.errors import Fault
from config.money import parse_amount_e8
from config.prices import PACK_UNITS_MAX, PriceBook
from gateway.control.errors import Refusal

Document = dict[str, Any]

_BUCKETS: Final = ("cash", "gift", "income")
_MONTHS_MAX = 60
# Ids of packs begin as the purchase guide shows them (L13).
_ID_PREFIX: Final = {"calls": "pkg-succ_req", "egress": "pkg-out_traffic"}
_COMBINED: Final = "pkg-combined"  # of several meters
_SOURCES: Final = ("purchase", "campaign")


@dataclass(frozen=True, slots=True)
class PackPurchase:
    """``units``: calls, or bytes, by meter; ``price_e8`` is for the whole pack."""

    account: str
    id: str
    units: dict[str, int]
    months: int
    price_e8: int
    source: str


def top_up_amounts(document: Document, currency: str | None = None) -> dict[str, int]:
    """{"cash": "10.00", "gift": …, "income": …} in e8. Raises Refusal `invalid`; where the currency is given, for what
    is finer than its smallest unit, too."""
    faults = _unknown(document, _BUCKETS)
    amounts_e8 = dict.fromkeys(_BUCKETS, 0)
    for bucket in _BUCKETS:
        if bucket in document:
            amounts_e8[bucket] = _money(document, bucket, faults, currency)
    if not faults and not any(amounts_e8.values()):
        faults.append(Fault("cash", "an amount above 0 is needed"))
    _refuse(faults, "the top-up is not valid")
    return amounts_e8


def pack_purchase(document: Document, price_book: PriceBook, key: str | None) -> PackPurchase:
    """{"account", "offer"}, or {"account", "meter", "quantity", "months", "price"}, with a `source`; in place of meter
    and quantity, of several: {"meters": {"calls": …, "egress": …}} (B31).

    The id comes from the Idempotency-Key where there is one: asked twice, it is the same purchase.
    """
    faults: list[Fault] = []
    account, source = document.get("account"), document.get("source", "purchase")
    if not isinstance(account, str):
        faults.append(Fault("account", "is missing"))
    if source not in _SOURCES:
        faults.append(Fault("source", f"has to be one of {', '.join(_SOURCES)}"))
    units, months, price_e8 = (
        _offered(document, price_book, faults) if "offer" in document else _described(document, faults)
    )
    _refuse(faults, "the purchase is not valid")
    mark = secrets.token_hex(5) if key is None else hashlib.sha256(f"{account} {key}".encode()).hexdigest()[:10]
    prefix = _ID_PREFIX[next(iter(units))] if len(units) == 1 else _COMBINED
    return PackPurchase(str(account), f"{prefix}-{mark}", units, months, price_e8, str(source))


def _offered(document: Document, price_book: PriceBook, faults: list[Fault]) -> tuple[dict[str, int], int, int]:
    faults += _unknown(document, ("account", "offer", "source"))
    for offer in price_book.packs:
        if offer.id == document["offer"]:
            return offer.units, offer.months, offer.price
    known = ", ".join(offer.id for offer in price_book.packs) or "none"
    faults.append(Fault("offer", f"the price book's offers are: {known}"))
    return {}, 0, 0


def _described(document: Document, faults: list[Fault]) -> tuple[dict[str, int], int, int]:
    named = ("meters",) if "meters" in document else ("meter", "quantity")
    faults += _unknown(document, ("account", *named, "months", "price", "source"))
    units = _several(document["meters"], faults) if "meters" in document else _single(document, faults)
    months = _count(document, "months", _MONTHS_MAX, faults)
    return units, months, _money(document, "price", faults)


def _single(document: Document, faults: list[Fault]) -> dict[str, int]:
    meter = document.get("meter")
    if not isinstance(meter, str) or meter not in _ID_PREFIX:
        faults.append(Fault("meter", "has to be calls or egress"))
        meter = "calls"
    return {meter: _count(document, "quantity", PACK_UNITS_MAX, faults)}


def _several(meters: Any, faults: list[Fault]) -> dict[str, int]:
    if not isinstance(meters, dict) or not meters:
        faults.append(Fault("meters", "has to have a quantity of calls, of egress, or of both"))
        return {}
    faults += [Fault(f"meters.{name}", "has to be calls or egress") for name in meters if name not in _ID_PREFIX]
    return {name: _count(meters, name, PACK_UNITS_MAX, faults, "meters.") for name in _ID_PREFIX if name in meters}


def _count(document: Document, name: str, most: int, faults: list[Fault], at: str = "") -> int:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        faults.append(Fault(f"{at}{name}", f"has to be a whole number from 1 to {most}"))
        return 0
    return value


def _money(document: Document, name: str, faults: list[Fault], currency: str | None = None) -> int:
    if name not in document:
        faults.append(Fault(name, "is missing"))
        return 0
    try:
        amount_e8 = parse_amount_e8(document[name])
        if currency is not None:
            require_payable(amount_e8, currency)
        return amount_e8
    except ValueError as error:
        faults.append(Fault(name, str(error)))
        return 0


def _unknown(document: Document, known: Collection[str]) -> list[Fault]:
    return [Fault(name, "unknown key") for name in document if name not in known]


def _refuse(faults: list[Fault], detail: str) -> None:
    if faults:
        raise Refusal("invalid", detail, faults)
