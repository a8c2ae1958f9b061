"""What FOCUS 1.4 says of a Cost and Usage row, as far as a row shows it by itself: one sentence for each breach."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

Row = dict[str, Any]

ALLOWED = {
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {None, "Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "PricingCategory": {None, "Standard", "Dynamic", "Committed", "Other"},
    "CommitmentDiscountCategory": {None, "Usage", "Spend"},
    "CommitmentDiscountStatus": {None, "Used", "Unused"},
    "ServiceCategory": {"Networking"},
}
NUMBERS = (
    *("BilledCost", "ListCost", "ContractedCost", "EffectiveCost", "PricingQuantity", "ConsumedQuantity"),
    *("ListUnitPrice", "CommitmentDiscountQuantity"),
)
OF_COMMITMENT = (
    *("CommitmentDiscountCategory", "CommitmentDiscountName", "CommitmentDiscountQuantity"),
    *("CommitmentDiscountType", "CommitmentDiscountUnit"),
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
# Costs are rounded to 8 decimals, quantities to 12: of lines that are differences of rounded totals a little more.
TOLERANCE = Decimal("0.00000002")


def breaches(row: Row) -> Iterator[str]:
    yield from _values(row)
    yield from _nulls(row)
    if row["CommitmentDiscountId"] is not None:
        yield from _committed(row)
    yield from _signs(row)
    yield from _products(row)


def _values(row: Row) -> Iterator[str]:
    for column, allowed in ALLOWED.items():
        if row[column] not in allowed:
            yield f"{column} is {row[column]}"
    for column in NUMBERS:
        if row[column] is not None and not _NUMBER.fullmatch(row[column]):
            yield f"{column} is no number: {row[column]}"
    for period in ("Billing", "Charge"):
        begins, ends = row[f"{period}PeriodStart"], row[f"{period}PeriodEnd"]
        if not (_TIME.fullmatch(begins) and _TIME.fullmatch(ends) and begins < ends):
            yield f"{period}Period from {begins} to {ends}"
    for column, value in row.items():
        if not (column[0].isupper() or column.startswith("x_")):
            yield f"{column} is neither FOCUS's nor custom"
        if value is not None and not isinstance(value, str):
            yield f"{column} is no text"


def _nulls(row: Row) -> Iterator[str]:
    is_priced = row["ChargeCategory"] in ("Usage", "Purchase")
    for column in ("PricingQuantity", "PricingUnit", "PricingCategory", "ListUnitPrice", "SkuId", "SkuPriceId"):
        if is_priced and row["ChargeClass"] is None and row[column] is None:
            yield f"{column} is null"
    if (row["SkuPriceId"] is None) is not (row["SkuId"] is None):
        yield "SkuPriceId without its SkuId"
    has_consumed = row["ChargeCategory"] == "Usage" and row["CommitmentDiscountStatus"] != "Unused"
    for column in ("ConsumedQuantity", "ConsumedUnit"):
        if (row[column] is None) is has_consumed:
            yield f"{column} is {row[column]}"
    if (row["RegionId"] is None) is not (row["RegionName"] is None):
        yield "RegionName and RegionId do not go together"
    if row["CommitmentDiscountId"] is None:
        yield from (f"{column} is not null" for column in (*OF_COMMITMENT, "CommitmentDiscountStatus") if row[column])
    if row["ChargeCategory"] == "Purchase" and row["ChargeFrequency"] == "Usage-Based":
        yield "a purchase is not usage-based"


def _committed(row: Row) -> Iterator[str]:
    yield from (f"{column} is null" for column in OF_COMMITMENT if row[column] is None)
    is_usage = row["ChargeCategory"] == "Usage"
    if (row["CommitmentDiscountStatus"] is not None) is not is_usage:
        yield f"CommitmentDiscountStatus is {row['CommitmentDiscountStatus']}"
    if row["PricingCategory"] != ("Committed" if is_usage else "Standard"):
        yield f"PricingCategory is {row['PricingCategory']}"
    if is_usage and Decimal(row["BilledCost"]):
        yield "what a commitment covers is not billed again"
    if not is_usage and Decimal(row["EffectiveCost"]):
        yield "what covers charges to come is not effective by itself"


def _signs(row: Row) -> Iterator[str]:
    if row["ListUnitPrice"] is not None and Decimal(row["ListUnitPrice"]) < 0:
        yield f"ListUnitPrice is {row['ListUnitPrice']}"
    if row["ChargeCategory"] == "Usage":
        for column in ("BilledCost", "EffectiveCost", "ListCost", "PricingQuantity"):
            if Decimal(row[column]) < 0:
                yield f"{column} of usage is {row[column]}"
    if row["ChargeCategory"] == "Credit" and Decimal(row["BilledCost"]) >= 0:
        yield "a credit costs something"


def _products(row: Row) -> Iterator[str]:
    if row["ListUnitPrice"] is None or row["PricingQuantity"] is None:
        return
    # Half a unit in the last place of the quantity is worth this much.
    coarse = Decimal(row["ListUnitPrice"]) * Decimal("0.000000000001")
    difference = Decimal(row["ListUnitPrice"]) * Decimal(row["PricingQuantity"]) - Decimal(row["ListCost"])
    if abs(difference) > TOLERANCE + coarse:
        yield f"ListCost is {row['ListCost']}, the unit price times the quantity is {difference} more"
