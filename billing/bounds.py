"""How large money may become, so that no sum of it leaves the store's 64 bits (9.2 × 10¹⁸ e8).

What is asked for is refused (`Refused`) before it is done; what was used cannot be refused, so there is room left for
it. An account that is past what can be carried fails by itself (`LedgerFault`): what it used waits to be billed.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from billing.errors import LedgerFault, Refused
from billing.rating import TOTAL_MAX_E8
from billing.wallet import BUCKETS, Wallet
from config.money import AMOUNT_MAX_E8, E8

# A billion in each of cash, income and gift, what is held of it included: the wallets of fifteen such accounts fit.
BUCKET_MAX_E8: Final = AMOUNT_MAX_E8
# What an account that owes already may come to owe: a billion. Who owes nothing is always billed, and owes then.
DEBT_MAX_E8: Final = AMOUNT_MAX_E8
# What one hour may come to: ten billion.
HOUR_MAX_E8: Final = 10 * AMOUNT_MAX_E8
# Of a currency's other sides, of a month's rounded totals, of a line: half of 64 bits. For what is asked: the other
# half is left for settling, which nobody is asked about.
SUM_MAX_E8: Final = TOTAL_MAX_E8
# A prepaid term, with its renewals: a hundred years.
TERM_MONTHS_MAX: Final = 1200


def require_room(wallet: Wallet, field: str | None) -> None:
    """After what was asked for. Raises Refused("too_large") naming the field, else the bucket that grew too large."""
    for bucket in BUCKETS:
        balance_e8 = wallet.balance_e8(bucket)
        if balance_e8 > BUCKET_MAX_E8 and balance_e8 > wallet.before_e8[bucket]:
            raise Refused("too_large", f"a balance is {BUCKET_MAX_E8 // E8:,} at most", field=field or bucket)


def require_shared_room(currency: str, changes_e8: Iterable[tuple[int, int]], field: str | None) -> None:
    """The currency's other sides, (balance, change) each. Raises Refused("too_large")."""
    for balance_e8, change_e8 in changes_e8:
        after_e8 = abs(balance_e8 + change_e8)
        if after_e8 > SUM_MAX_E8 and after_e8 > abs(balance_e8):
            raise Refused("too_large", f"the ledger of {currency} has no room for it", field=field)


def require_carried(account: str, wallet: Wallet, owed_e8: int, amounts_e8: Sequence[int]) -> None:
    """After an hour was paid: what it came to, the first of the amounts, and its lines. Raises LedgerFault.

    `owed_e8`: before it.
    """
    if amounts_e8[0] > 0 and owed_e8 > 0 and -wallet.total_e8 > DEBT_MAX_E8:
        raise LedgerFault(f"{account} would owe more than the {DEBT_MAX_E8 // E8:,} that the ledger carries")
    if amounts_e8[0] > HOUR_MAX_E8 or max(amounts_e8) > SUM_MAX_E8:
        raise LedgerFault(f"{account} would be billed more than the {HOUR_MAX_E8 // E8:,} that an hour may come to")
