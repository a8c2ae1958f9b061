"""Vouchers pay before money does: one for each bill or order (X26, P5)."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(slots=True)
class Voucher:
    """`key` grows in the order they were given. Valid up to and including `expires_at` (P5, P9)."""

    key: int
    id: str
    total_e8: int
    left_e8: int
    expires_at: int


def choose(vouchers: Iterable[Voucher], amount_e8: int, valid_at: int) -> Voucher | None:
    """The one to use for an amount: ends first, then deducts most, then has least left (X26, G16).

    `valid_at`: of a bill the end of its hour, whenever that is settled; of an order the instant of the purchase (P5).
    """

    def rank(voucher: Voucher) -> tuple[int, int, int, int]:
        return (voucher.expires_at, -min(voucher.left_e8, amount_e8), voucher.left_e8, voucher.key)

    usable = [v for v in vouchers if v.left_e8 and valid_at <= v.expires_at]
    return min(usable, key=rank, default=None) if amount_e8 else None
