"""What billing refuses, and what it finds broken in itself.

`Refused` is an answer: the rules do not allow the operation, nothing was changed. The codes are those of DESIGN 1.4.
`LedgerFault` is our own bug or a damaged store: it must never be caught and passed over.
"""

from typing import Final

# Each code with the rule behind it, which the answer names.
REFUSAL_CODES: Final = {
    "pack_used": "B37",
    "pack_expired": "B37",
    "pack_source": "B37",
    "pack_refunded": "B38",
    "insufficient_funds": "B40, X25",
    "in_arrears": "B47",
    "suspended": "B49",
    "destroyed": "B51",
    "not_active": "B46",
    "wrong_charge": "P8",
    "region_unsupported": "L6",
    "currency_unsupported": "B39",
    "not_found": None,
    "too_large": "B.2",
    # Not reachable from a scenario (a file cannot ask twice, and has no operator): an id that is taken, an
    # Idempotency-Key that was first used for something else, a refund that the operator vetoed.
    "exists": None,
    "idempotency_mismatch": None,
    "refund_vetoed": "B45",
}


class BillingError(Exception):
    """Root of everything billing raises on purpose."""


class Refused(BillingError):
    """The rules do not allow it; the store is unchanged. `code` is one of REFUSAL_CODES; `field`: of what was asked."""

    def __init__(self, code: str, detail: str, *, field: str | None = None) -> None:
        rule = REFUSAL_CODES[code]
        self.code = code
        self.field = field
        self.detail = f"{detail} ({rule})" if rule else detail
        super().__init__(f"{code}: {self.detail}")


class StoreTaken(BillingError):
    """Another node is alive on the store. The text says which, and what to do."""


class StoreLost(BillingError):
    """Another node has taken the store over: this process writes it no more."""


class LedgerFault(BillingError):
    """An invariant of RULES C.7 does not hold. The transaction is given up; nothing is billed on top of it."""
