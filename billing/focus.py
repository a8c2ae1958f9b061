"""The FOCUS export of a bill: Cost and Usage rows after FOCUS 1.4 (RULES B.1). Money with 8 decimals, periods in UTC
with exclusive ends. The rows of one InvoiceId add up to what of it is paid from cash and income: vouchers and gifts
are credits."""

from collections.abc import Iterator, Mapping
from typing import Final

from sqlalchemy import Connection, RowMapping, func, select

from billing import tables
from billing.calendar import LocalCalendar, hour_of
from billing.rounding import R
from billing.views import Document, bill_rows, hour_text, unit_price_text
from config.instants import instant_text
from config.money import format_e8
from metering.sums import exact_sum

# Mandatory columns of the Cost and Usage dataset, in the specification's order.
MANDATORY: Final = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost",
    "EffectiveCost", "HostProviderName", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit",
    "ServiceCategory", "ServiceName", "ServiceProviderName",
)  # fmt: skip
CONDITIONAL: Final = (
    "ConsumedQuantity", "ConsumedUnit", "InvoiceId", "ListUnitPrice", "PricingCategory", "RegionId", "ResourceId",
    "ResourceType", "SkuId", "SkuPriceId", "x_Hour", "x_PackId", "x_Tier",
)  # fmt: skip
COLUMNS: Final = MANDATORY + CONDITIONAL
_PROVIDER = "tollgate"
_UNITS: Final = {
    "calls": ("Requests", "10000 Requests"),
    "egress_client": ("Bytes", "GiB"),
    "egress_backend": ("Bytes", "GiB"),
    "instance_seconds": ("Seconds", "Seconds"),
}
_WORDS: Final = {
    "calls": "Calls",
    "egress_client": "Internet traffic to clients",
    "egress_backend": "Internet traffic to backends",
    "instance_seconds": "Dedicated instance",
}
_QUANTITY_DIGITS = 12


def focus_rows(connection: Connection, account: str, month: str, calendar: LocalCalendar) -> Iterator[Document]:
    """The rows of one account's invoice of a local month: usage, purchases and refunds, credits."""
    currency = connection.execute(select(tables.account.c.currency).where(tables.account.c.id == account)).scalar_one()
    begins, ends = calendar.month_bounds(month)
    common = {
        **dict.fromkeys(COLUMNS),
        "BillingAccountId": account,
        "BillingAccountName": account,
        "BillingCurrency": currency,
        "BillingPeriodStart": instant_text(begins),
        "BillingPeriodEnd": instant_text(ends),
        "HostProviderName": _PROVIDER,
        "InvoiceIssuerName": _PROVIDER,
        "ServiceProviderName": _PROVIDER,
        "ServiceCategory": "Networking",
        "ServiceName": "API Gateway",
        "InvoiceId": f"{account}-{month}",
    }
    pack_costs = _pack_costs(connection, account)
    for row in bill_rows(connection, account, month):
        yield {**common, **_usage(row, pack_costs)}
    orders = tables.orders.c
    query = select(tables.orders).where(orders.account == account, orders.at >= begins, orders.at < ends)
    for order in connection.execute(query.order_by(orders.id)).mappings():
        if order["list_e8"]:
            yield {**common, **_order(order)}
    for name, credit_e8 in _credits(connection, account, month, begins, ends):
        if credit_e8:
            yield {
                **common,
                **_costs(-credit_e8, -credit_e8, -credit_e8),
                "ChargeCategory": "Credit",
                "ChargeDescription": f"{name} applied",
                "ChargePeriodStart": instant_text(begins),
                "ChargePeriodEnd": instant_text(ends),
            }


def _costs(billed_e8: int, list_e8: int, effective_e8: int) -> Document:
    """No prices are negotiated: what is contracted is the list."""
    return {
        "BilledCost": format_e8(billed_e8),
        "ListCost": format_e8(list_e8),
        "ContractedCost": format_e8(list_e8),
        "EffectiveCost": format_e8(effective_e8),
    }


def _usage(row: RowMapping, pack_costs: Mapping[int, tuple[int, int]]) -> Document:
    consumed, priced = _UNITS[row["meter"]]
    effective_e8 = row["amount_e8"]
    if row["cover"] == "pack":
        price_e8, total = pack_costs[row["pack"]]
        effective_e8 = R(row["quantity"], price_e8, total)
    is_adjustment = row["cover"] == "adjust"
    sku = f"{row['meter']}:{row['region']}"
    return {
        **_costs(row["amount_e8"], row["list_e8"], effective_e8),
        "ChargeCategory": "Adjustment" if is_adjustment else "Usage",
        "ChargeClass": "Correction" if row["corrects_month"] else None,
        "ChargeDescription": row["reason"] or f"{_WORDS[row['meter']]} of {row['instance']}",
        "ChargePeriodStart": hour_text(row["hour"]),
        "ChargePeriodEnd": hour_text(row["hour"] + 1),
        "PricingQuantity": None if is_adjustment else _ratio(row["quantity"], row["per"]),
        "PricingUnit": None if is_adjustment else priced,
        "PricingCategory": None if is_adjustment else "Standard",
        "ConsumedQuantity": None if is_adjustment else str(row["quantity"]),
        "ConsumedUnit": None if is_adjustment else consumed,
        "ListUnitPrice": None if is_adjustment else unit_price_text(row["unit_price_e8"]),
        "RegionId": row["region"],
        "ResourceId": row["instance"],
        "ResourceType": "API gateway instance",
        "SkuId": sku,
        "SkuPriceId": f"{sku}:{row['price']}:{row['tier'] or 1}" if row["price"] is not None else sku,
        "x_Hour": hour_text(row["hour"]),
        "x_PackId": row["pack_id"],
        "x_Tier": None if row["tier"] is None else str(row["tier"]),
    }


def _order(order: RowMapping) -> Document:
    """A pack's cost is effective where it is drawn, hour by hour; an instance's where it is paid."""
    hour = hour_of(order["at"])
    unit = {"pack": "Packs", "refund": "Refunds"}.get(order["kind"], "Instance terms")
    effective_e8 = 0 if order["kind"] == "pack" else order["list_e8"]
    return {
        **_costs(order["list_e8"], order["list_e8"], effective_e8),
        "ChargeCategory": "Purchase",
        "ChargeDescription": f"{'Refund' if order['kind'] == 'refund' else 'Purchase'} of {order['ref']}",
        "ChargePeriodStart": hour_text(hour),
        "ChargePeriodEnd": hour_text(hour + 1),
        "PricingQuantity": "1",
        "PricingUnit": unit,
        "PricingCategory": "Committed",
        "ListUnitPrice": format_e8(order["list_e8"]),
        "ResourceId": order["ref"],
        "ResourceType": "Resource pack" if order["kind"] == "pack" else None,
        "SkuId": f"{order['kind']}:{order['ref']}",
        "SkuPriceId": f"{order['kind']}:{order['ref']}",
    }


def _pack_costs(connection: Connection, account: str) -> dict[int, tuple[int, int]]:
    """Price and quantity of each pack; a refunded or given one costs nothing."""
    pack, orders = tables.pack.c, tables.orders.c
    paid = (orders.account == pack.account) & (orders.ref == pack.id) & (orders.kind == "pack")
    query = select(pack.key, func.coalesce(orders.list_e8, 0), pack.total).outerjoin_from(
        tables.pack, tables.orders, paid
    )
    return {key: (price_e8, total) for key, price_e8, total in connection.execute(query.where(pack.account == account))}


def _credits(connection: Connection, account: str, month: str, begins: int, ends: int) -> Iterator[tuple[str, int]]:
    settlement, orders = tables.settlement.c, tables.orders.c
    for name, part in (("Voucher", "voucher_e8"), ("Gift balance", "gift_e8")):
        of_bills = select(exact_sum(settlement[part])).where(
            settlement.account == account, settlement.bill_month == month
        )
        of_orders = select(exact_sum(orders[part])).where(
            orders.account == account, orders.at >= begins, orders.at < ends
        )
        yield name, connection.execute(of_bills).scalar_one() + connection.execute(of_orders).scalar_one()


def _ratio(quantity: int, per: int) -> str:
    """`quantity / per` in decimal, exact where it ends within so many digits."""
    scaled = R(quantity, 10**_QUANTITY_DIGITS, per)
    whole, part = divmod(scaled, 10**_QUANTITY_DIGITS)
    return f"{whole}.{part:0{_QUANTITY_DIGITS}d}".rstrip("0").rstrip(".")
