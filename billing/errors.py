"""What billing refuses, and what it finds broken in itself.

`Refused` is an answer: the rules do not allow the operation, nothing was changed. The codes are those of DESIGN 1.4.
`LedgerFault` is our own bug or a damaged store: it must never be caught and passed over.
"""

from typing import Final

REFUSAL_CODES: Final = frozenset(
    {
        "pack_used",
        "pack_expired",
        "pack_source",
        "pack_refunded",
        "insufficient_funds",
        "in_arrears",
        "suspended",
        "destroyed",
        "not_active",
        "wrong_charge",
        "region_unsupported",
        "currency_unsupported",
        "not_found",
        # Not reachable from a scenario (a file cannot ask twice, and has no operator): an id that is taken, an
        # Idempotency-Key that was first used for something else, a refund that the operator vetoed (B45).
        "exists",
        "idempotency_mismatch",
        "refund_vetoed",
    }
)


class BillingError(Exception):
    """Root of everything billing raises on purpose."""


class Refused(BillingError):
    """The rules do not allow it; the store is unchanged. `code` is one of REFUSAL_CODES."""

    def __init__(self, code: str, detail: str) -> None:
        assert code in REFUSAL_CODES, code
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class LedgerFault(BillingError):
    """An invariant of RULES C.7 does not hold. The transaction is given up; nothing is billed on top of it."""
