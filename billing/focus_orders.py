"""The FOCUS export's purchases and refunds: packs, prepaid terms, and what was given back of them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sqlalchemy import Connection, RowMapping, select

from billing import tables
from billing.calendar import LocalCalendar, hour_of, hour_start
from billing.commitments import Commitment
from billing.focus_values import commitment_columns, costs
from billing.instances import Charge
from billing.views import Document, hour_text
from config.instants import instant_text
from config.money import format_e8


class _Term(NamedTuple):
    """What an order about an instance was for."""

    months: int
    begins: int
    ends: int


def ordered(
    connection: Connection,
    account: str,
    begins: int,
    ends: int,
    calendar: LocalCalendar,
    packs: Iterable[Commitment],
) -> Iterator[Document]:
    """Rows of the orders between two instants. What cost nothing has none."""
    bought: defaultdict[int, list[Commitment]] = defaultdict(list)
    refunded: defaultdict[int, list[Commitment]] = defaultdict(list)
    for one in packs:
        bought[one.order].append(one)
        if one.refund_order is not None:
            refunded[one.refund_order].append(one)
    orders, instance = tables.orders.c, tables.instance.c
    found = connection.execute(select(tables.orders).where(orders.account == account).order_by(orders.id)).mappings()
    known = connection.execute(select(tables.instance).where(instance.account == account)).mappings()
    instances = {row["id"]: row for row in known}
    terms = _Terms(instances, calendar)
    for order in found:
        term = terms.of(order)
        if not begins <= order["at"] < ends or not order["list_e8"]:
            continue
        if order["id"] in bought:
            yield from (_pack_bought(one) for one in bought[order["id"]])
        elif order["id"] in refunded:
            yield from (_pack_refunded(one, order["at"]) for one in refunded[order["id"]])
        elif order["kind"] == "refund":
            yield _instance_refunded(order, instances.get(order["ref"]))
        else:
            yield _term_bought(order, instances.get(order["ref"]), term)


class _Terms:
    """Follows an instance's purchases: each term begins where the one before ended (P8)."""

    def __init__(self, instances: dict[str, RowMapping], calendar: LocalCalendar) -> None:
        self._instances = instances
        self._calendar = calendar
        self._paid: defaultdict[str, int] = defaultdict(int)

    def of(self, order: RowMapping) -> _Term | None:
        """None where the store no longer knows: of an instance that was bought anew since."""
        instance = self._instances.get(order["ref"])
        if instance is None or order["kind"] not in ("instance", "renew") or order["at"] < instance["started_at"]:
            return None
        if instance["charge"] != Charge.PREPAID or not instance["price_e8"]:
            return None
        before, months = self._paid[order["ref"]], order["list_e8"] // instance["price_e8"]
        self._paid[order["ref"]] += months
        edges = (self._calendar.plus_months(instance["started_at"], paid) for paid in (before, before + months))
        return _Term(months, *edges)


def _purchase(billed_e8: int, effective_e8: int, quantity: int, unit: str, begins: str, ends: str) -> Document:
    """`quantity` is negative of what is given back: a unit price never is."""
    return {
        **costs(billed_e8, billed_e8, effective_e8),
        "ChargeCategory": "Purchase",
        "ChargeFrequency": "One-Time",
        "ChargePeriodStart": begins,
        "ChargePeriodEnd": ends,
        "PricingQuantity": str(quantity),
        "PricingUnit": unit,
        "PricingCategory": "Standard",
        "ListUnitPrice": format_e8(billed_e8 // quantity),
    }


def _pack_bought(one: Commitment) -> Document:
    """Its cost is effective where it is drawn on."""
    begins, ends = hour_text(one.pack.from_hour), hour_text(one.pack.to_hour)
    return {
        **_purchase(one.price_e8, 0, 1, "Packs", begins, ends),
        **_of_pack(one, one.pack.total),
        "ChargeDescription": f"Purchase of {one.pack.id}",
    }


def _pack_refunded(one: Commitment, at: int) -> Document:
    hour = hour_of(at)
    return {
        **_purchase(-one.refunded_e8, 0, -1, "Packs", hour_text(hour), hour_text(hour + 1)),
        **_of_pack(one, -one.pack.total),
        "ChargeDescription": f"Refund of {one.pack.id}",
    }


def _of_pack(one: Commitment, quantity: int) -> Document:
    return {
        **commitment_columns(one, quantity, None),
        "ResourceId": one.pack.id,
        "ResourceType": "Resource pack",
        "SkuId": one.sku,
        "SkuPriceId": one.sku,
    }


def _term_bought(order: RowMapping, instance: RowMapping | None, term: _Term | None) -> Document:
    if term is None:
        start = hour_start(hour_of(order["at"]))
        term = _Term(1, start, start + 3600)
    unit = "Months" if instance is not None and term.months * instance["price_e8"] == order["list_e8"] else "Terms"
    quantity = term.months if unit == "Months" else 1
    return {
        **_purchase(
            order["list_e8"], order["list_e8"], quantity, unit, instant_text(term.begins), instant_text(term.ends)
        ),
        **_of_instance(order, instance),
        "ChargeDescription": f"Purchase of {order['ref']}",
    }


def _instance_refunded(order: RowMapping, instance: RowMapping | None) -> Document:
    hour = hour_of(order["at"])
    return {
        **_purchase(order["list_e8"], order["list_e8"], -1, "Refunds", hour_text(hour), hour_text(hour + 1)),
        **_of_instance(order, instance),
        "ChargeDescription": f"Refund of {order['ref']}",
    }


def _of_instance(order: RowMapping, instance: RowMapping | None) -> Document:
    spec, region = (instance["spec"], instance["region"]) if instance is not None else ("-", None)
    sku = f"instance_term:{spec}:{region or '-'}"
    return {
        "RegionId": region,
        "ResourceId": order["ref"],
        "ResourceType": "API gateway instance",
        "SkuId": sku,
        "SkuPriceId": f"{sku}:refund" if order["kind"] == "refund" else sku,
    }
