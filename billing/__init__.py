"""Rating, the ledger, settlement and the account's clock (RULES parts A to C). See README.md."""

from billing.errors import BillingError, LedgerFault, Refused

__all__ = ["BillingError", "LedgerFault", "Refused"]
