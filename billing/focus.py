"""The FOCUS export of a bill: Cost and Usage rows after FOCUS 1.4 (RULES B.1). Money with 8 decimals, periods in UTC
with exclusive ends. The rows of one InvoiceId add up to what of it is paid from cash and income: vouchers and gifts
are credits. Packs are commitment discounts (`commitments.py`), prepaid terms are purchases."""

from collections.abc import Iterator, Mapping
from typing import Final

from sqlalchemy import Connection, RowMapping, select

from billing import tables
from billing.calendar import LocalCalendar
from billing.commitments import Commitment, commitments
from billing.focus_orders import ordered
from billing.focus_values import PACK_UNITS, commitment_columns, costs
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
    "ChargeFrequency", "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName",
    "CommitmentDiscountQuantity", "CommitmentDiscountStatus", "CommitmentDiscountType", "CommitmentDiscountUnit",
    "ConsumedQuantity", "ConsumedUnit", "InvoiceId", "ListUnitPrice", "PricingCategory", "RegionId", "RegionName",
    "ResourceId", "ResourceType", "SkuId", "SkuPriceId", "x_Hour", "x_PackId", "x_Tier",
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


def focus_rows(
    connection: Connection,
    account: str,
    month: str,
    calendar: LocalCalendar,
    regions: Mapping[str, str] | None = None,
    now: int = 0,
) -> Iterator[Document]:
    """The rows of one account's invoice of a local month: usage, purchases and refunds, what packs that ended by `now`
    had left, credits. `regions`: names by id."""
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
    packs = commitments(connection, account)
    specs = _specs(connection, account)
    rows = [_usage(row, packs, specs) for row in bill_rows(connection, account, month)]
    rows += ordered(connection, account, begins, ends, calendar, packs.values())
    rows += [row for one in packs.values() for row in _unused(one, begins, ends, now)]
    rows += _credited(connection, account, month, begins, ends)
    for row in rows:
        yield {**common, **row, "RegionName": (regions or {}).get(str(row.get("RegionId")), row.get("RegionId"))}


def _usage(row: RowMapping, packs: Mapping[int, Commitment], specs: Mapping[str, str]) -> Document:
    if row["cover"] == "adjust":
        return {**_of_line(row), "ChargeCategory": "Adjustment", "ChargeFrequency": "One-Time"}
    consumed, priced = _UNITS[row["meter"]]
    pack = packs.get(row["pack"])
    # The same whatever it costs, and from when to when: FOCUS wants it to outlive a price.
    spec = [specs.get(row["instance"], "-")] if row["cover"] == "instance" else []
    sku = ":".join([row["meter"], *spec, row["region"]])
    usage = {
        **_of_line(row),
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "PricingQuantity": _ratio(row["quantity"], row["per"]),
        "PricingUnit": priced,
        "PricingCategory": "Committed" if pack else "Standard",
        "ConsumedQuantity": str(row["quantity"]),
        "ConsumedUnit": consumed,
        "ListUnitPrice": unit_price_text(row["unit_price_e8"]),
        "SkuId": sku,
        "SkuPriceId": sku if row["tier"] is None else f"{sku}:tier{row['tier']}",
    }
    if pack is None:
        return usage | ({"EffectiveCost": format_e8(0)} if row["cover"] == "free" else {})
    effective = {"EffectiveCost": format_e8(pack.by_line[row["id"]])}
    return usage | effective | commitment_columns(pack, row["quantity"], "Used")


def _of_line(row: RowMapping) -> Document:
    return {
        **costs(row["amount_e8"], row["list_e8"], row["amount_e8"]),
        "ChargeClass": "Correction" if row["corrects_month"] else None,
        "ChargeDescription": row["reason"] or f"{_WORDS[row['meter']]} of {row['instance']}",
        "ChargePeriodStart": hour_text(row["hour"]),
        "ChargePeriodEnd": hour_text(row["hour"] + 1),
        "RegionId": row["region"],
        "ResourceId": row["instance"],
        "ResourceType": "API gateway instance",
        "x_Hour": hour_text(row["hour"]),
        "x_PackId": row["pack_id"],
        "x_Tier": None if row["tier"] is None else str(row["tier"]),
    }


def _unused(one: Commitment, begins: int, ends: int, now: int) -> Iterator[Document]:
    """What nobody drew until a pack ended: then its cost is effective. Once, in the month of its end."""
    hour = one.ended_hour(now)
    if hour is None or not begins <= hour * 3600 < ends or not one.unused_e8:
        return
    left = one.pack.left
    yield {
        **costs(0, 0, one.unused_e8),
        **commitment_columns(one, left, "Unused"),
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ChargeDescription": f"Unused rest of {one.pack.id}",
        "ChargePeriodStart": hour_text(hour),
        "ChargePeriodEnd": hour_text(hour + 1),
        "PricingQuantity": str(left),
        "PricingUnit": PACK_UNITS[one.pack.meter],
        "PricingCategory": "Committed",
        "ListUnitPrice": "0",
        "ResourceId": one.pack.id,
        "ResourceType": "Resource pack",
        "SkuId": one.sku,
        "SkuPriceId": f"{one.sku}:unused",
        "x_PackId": one.pack.id,
    }


def _credited(connection: Connection, account: str, month: str, begins: int, ends: int) -> Iterator[Document]:
    for name, credit_e8 in _credits(connection, account, month, begins, ends):
        if credit_e8:
            yield {
                **costs(-credit_e8, -credit_e8, -credit_e8),
                # More may come back, by refunds and adjustments, than was used: that is no credit.
                "ChargeCategory": "Credit" if credit_e8 > 0 else "Adjustment",
                "ChargeFrequency": "One-Time",
                "ChargeDescription": f"{name} {'applied' if credit_e8 > 0 else 'given back'}",
                "ChargePeriodStart": instant_text(begins),
                "ChargePeriodEnd": instant_text(ends),
            }


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


def _specs(connection: Connection, account: str) -> dict[str, str]:
    """Of dedicated instances: each spec has prices of its own."""
    instance = tables.instance.c
    query = select(instance.id, instance.spec).where(instance.account == account, instance.spec.is_not(None))
    return {id: str(spec) for id, spec in connection.execute(query)}


def _ratio(quantity: int, per: int) -> str:
    """`quantity / per` in decimal, exact where it ends within so many digits."""
    scaled = R(quantity, 10**_QUANTITY_DIGITS, per)
    whole, part = divmod(scaled, 10**_QUANTITY_DIGITS)
    return f"{whole}.{part:0{_QUANTITY_DIGITS}d}".rstrip("0").rstrip(".")
