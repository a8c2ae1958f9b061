"""Orders as they are handed in: documents into amounts. Every fault is named."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from config.errors import Fault
from config.money import parse_amount_e8
from config.prices import PACK_UNITS_MAX, PriceBook
from gateway.control.errors import Refusal

Document = dict[str, Any]

_BUCKETS: Final = ("cash", "gift", "income")
_MONTHS_MAX = 60
# Ids of packs begin as the purchase guide shows them (L13).
_ID_PREFIX: Final = {"calls": "pkg-succ_req", "egress": "pkg-out_traffic"}
_SOURCES: Final = ("purchase", "campaign")


@dataclass(frozen=True, slots=True)
class PackPurchase:
    """``quantity`` is calls, or bytes; ``price_e8`` is for the whole pack."""

    account: str
    id: str
    meter: str
    quantity: int
    months: int
    price_e8: int
    source: str


def top_up_amounts(document: Document) -> dict[str, int]:
    """{"cash": "10.00", "gift": …, "income": …} in e8. Raises Refusal `invalid`."""
    faults = _unknown(document, _BUCKETS)
    amounts_e8 = dict.fromkeys(_BUCKETS, 0)
    for bucket in _BUCKETS:
        if bucket in document:
            amounts_e8[bucket] = _money(document, bucket, faults)
    if not faults and not any(amounts_e8.values()):
        faults.append(Fault("cash", "an amount above 0 is needed"))
    _refuse(faults, "the top-up is not valid")
    return amounts_e8


def pack_purchase(document: Document, price_book: PriceBook, key: str | None) -> PackPurchase:
    """{"account", "offer"}, or {"account", "meter", "quantity", "months", "price"}, with a `source`.

    The id comes from the Idempotency-Key where there is one: asked twice, it is the same purchase.
    """
    faults: list[Fault] = []
    account, source = document.get("account"), document.get("source", "purchase")
    if not isinstance(account, str):
        faults.append(Fault("account", "is missing"))
    if source not in _SOURCES:
        faults.append(Fault("source", f"has to be one of {', '.join(_SOURCES)}"))
    meter, quantity, months, price_e8 = (
        _offered(document, price_book, faults) if "offer" in document else _described(document, faults)
    )
    _refuse(faults, "the purchase is not valid")
    mark = secrets.token_hex(5) if key is None else hashlib.sha256(f"{account} {key}".encode()).hexdigest()[:10]
    return PackPurchase(str(account), f"{_ID_PREFIX[meter]}-{mark}", meter, quantity, months, price_e8, str(source))


def _offered(document: Document, price_book: PriceBook, faults: list[Fault]) -> tuple[str, int, int, int]:
    faults += _unknown(document, ("account", "offer", "source"))
    for offer in price_book.packs:
        if offer.id == document["offer"]:
            return offer.meter, offer.quantity, offer.months, offer.price
    known = ", ".join(offer.id for offer in price_book.packs) or "none"
    faults.append(Fault("offer", f"the price book's offers are: {known}"))
    return "calls", 0, 0, 0


def _described(document: Document, faults: list[Fault]) -> tuple[str, int, int, int]:
    faults += _unknown(document, ("account", "meter", "quantity", "months", "price", "source"))
    meter = document.get("meter")
    if not isinstance(meter, str) or meter not in _ID_PREFIX:
        faults.append(Fault("meter", "has to be calls or egress"))
        meter = "calls"
    quantity = _count(document, "quantity", PACK_UNITS_MAX, faults)
    months = _count(document, "months", _MONTHS_MAX, faults)
    return meter, quantity, months, _money(document, "price", faults)


def _count(document: Document, name: str, most: int, faults: list[Fault]) -> int:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        faults.append(Fault(name, f"has to be a whole number from 1 to {most}"))
        return 0
    return value


def _money(document: Document, name: str, faults: list[Fault]) -> int:
    if name not in document:
        faults.append(Fault(name, "is missing"))
        return 0
    try:
        return parse_amount_e8(document[name])
    except ValueError as error:
        faults.append(Fault(name, str(error)))
        return 0


def _unknown(document: Document, known: Collection[str]) -> list[Fault]:
    return [Fault(name, "unknown key") for name in document if name not in known]


def _refuse(faults: list[Fault], detail: str) -> None:
    if faults:
        raise Refusal("invalid", detail, faults)
