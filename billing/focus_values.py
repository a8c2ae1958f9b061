"""Values of the FOCUS export that several kinds of rows have."""

from typing import Final

from billing.commitments import Commitment
from billing.views import Document
from config.money import format_e8

PACK_UNITS: Final = {"calls": "Requests", "egress": "Bytes"}


def costs(billed_e8: int, list_e8: int, effective_e8: int) -> Document:
    """No prices are negotiated: what is contracted is the list."""
    return {
        "BilledCost": format_e8(billed_e8),
        "ListCost": format_e8(list_e8),
        "ContractedCost": format_e8(list_e8),
        "EffectiveCost": format_e8(effective_e8),
    }


def commitment_columns(one: Commitment, quantity: int, status: str | None) -> Document:
    """`status` of usage: Used or Unused. A purchase has none."""
    return {
        "CommitmentDiscountCategory": "Usage",
        "CommitmentDiscountId": one.id,
        "CommitmentDiscountName": one.pack.id,
        "CommitmentDiscountQuantity": str(quantity),
        "CommitmentDiscountStatus": status,
        "CommitmentDiscountType": "Resource pack",
        "CommitmentDiscountUnit": PACK_UNITS[one.pack.meter],
    }
