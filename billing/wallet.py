"""One account's balances, who pays first, what is held. Pure; every movement is remembered as a `Move`.

Three buckets of money, each with a hold beside it. `available` is what may be spent, `total` includes what is
held (B47). Cash may go below zero when a settlement takes more than there is (B25); the others never do.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

BUCKETS: Final = ("cash", "income", "gift")  # also the order of holds and of refund shares (P6, P7)
PAYING_ORDER: Final = ("gift", "income", "cash")  # X26
# The other sides of the books, one wallet each for every currency.
REVENUE: Final = "revenue"
VOUCHERS: Final = "voucher"
SOURCES: Final = {"cash": "topup", "income": "topup", "gift": "grant"}


def hold_of(bucket: str) -> str:
    """The name of the wallet that keeps what is held from a bucket."""
    return f"hold_{bucket}"


class Move(NamedTuple):
    """`amount_e8` > 0 leaves `debit` and arrives in `credit`. Names of buckets, holds or other sides.

    `journal` names the act it belongs to; within one journal no two moves have the same two ends, so
    journal and ends together identify a move for ever.
    """

    journal: str
    debit: str
    credit: str
    amount_e8: int


@dataclass(slots=True)
class Hold:
    """What one running instance keeps frozen (X25): the wish, and what there is of it by bucket."""

    target_e8: int
    held_e8: dict[str, int] = field(default_factory=lambda: dict.fromkeys(BUCKETS, 0))


@dataclass(frozen=True, slots=True)
class Payment:
    """Where an amount came from. The four parts add up to it."""

    voucher_e8: int = 0
    gift_e8: int = 0
    income_e8: int = 0
    cash_e8: int = 0

    @property
    def money_e8(self) -> dict[str, int]:
        """The parts that can come back (B38, B45)."""
        return {"cash": self.cash_e8, "income": self.income_e8, "gift": self.gift_e8}


class Wallet:
    """Balances of one account: `free` and `held`, e8 by bucket."""

    def __init__(self, free: Mapping[str, int], held: Mapping[str, int]) -> None:
        self.free = {bucket: free.get(bucket, 0) for bucket in BUCKETS}
        self.held = {bucket: held.get(bucket, 0) for bucket in BUCKETS}
        self.before_e8 = {bucket: self.balance_e8(bucket) for bucket in BUCKETS}
        self.moves: list[Move] = []

    def balance_e8(self, bucket: str) -> int:
        """What is in a bucket, free and held."""
        return self.free[bucket] + self.held[bucket]

    @property
    def available_e8(self) -> int:
        return sum(self.free.values())

    @property
    def held_e8(self) -> int:
        return sum(self.held.values())

    @property
    def total_e8(self) -> int:
        return self.available_e8 + self.held_e8

    def deposit(self, journal: str, bucket: str, amount_e8: int) -> None:
        """Money comes in from outside."""
        self._move(journal, SOURCES[bucket], bucket, amount_e8)
        self.free[bucket] += amount_e8

    def refund(self, journal: str, parts_e8: Mapping[str, int]) -> None:
        """Money that was paid comes back."""
        for bucket, amount_e8 in parts_e8.items():
            self._move(journal, REVENUE, bucket, amount_e8)
            self.free[bucket] += amount_e8

    def pay(self, journal: str, amount_e8: int, voucher_e8: int = 0) -> Payment:
        """Gift, then income, then cash pay what the voucher leaves; cash takes the rest, below zero if it must."""
        self._move(journal, VOUCHERS, REVENUE, voucher_e8)
        left_e8 = amount_e8 - voucher_e8
        parts = dict.fromkeys(BUCKETS, 0)
        for bucket in PAYING_ORDER:
            part_e8 = left_e8 if bucket == "cash" else min(left_e8, max(0, self.free[bucket]))
            self._move(journal, bucket, REVENUE, part_e8)
            self.free[bucket] -= part_e8
            parts[bucket] = part_e8
            left_e8 -= part_e8
        assert left_e8 == 0
        return Payment(voucher_e8, parts["gift"], parts["income"], parts["cash"])

    def pay_with_holds(self, journal: str, amount_e8: int, voucher_e8: int, holds: Iterable[Hold]) -> Payment:
        """Release every hold, pay, hold again as much as there is (X25). Only the net change of a hold moves."""
        before = dict(self.held)
        holds = list(holds)
        for hold in holds:
            self._release(hold)
        payment = self.pay(journal, amount_e8, voucher_e8)
        for hold in holds:
            self._place(hold)
        self._move_holds(journal, before)
        return payment

    def place(self, journal: str, hold: Hold) -> None:
        """Hold up to the target, as far as the available money goes; from cash, income, gift (P6)."""
        before = dict(self.held)
        self._place(hold)
        self._move_holds(journal, before)

    def release(self, journal: str, hold: Hold) -> None:
        """Give back what is held, to where it came from."""
        before = dict(self.held)
        self._release(hold)
        self._move_holds(journal, before)

    def _place(self, hold: Hold) -> None:
        left_e8 = max(0, min(hold.target_e8 - sum(hold.held_e8.values()), self.available_e8))
        for bucket in BUCKETS:
            part_e8 = min(left_e8, max(0, self.free[bucket]))
            self.free[bucket] -= part_e8
            self.held[bucket] += part_e8
            hold.held_e8[bucket] += part_e8
            left_e8 -= part_e8

    def _release(self, hold: Hold) -> None:
        for bucket, part_e8 in hold.held_e8.items():
            self.free[bucket] += part_e8
            self.held[bucket] -= part_e8
            hold.held_e8[bucket] = 0

    def _move_holds(self, journal: str, before: Mapping[str, int]) -> None:
        for bucket in BUCKETS:
            change_e8 = self.held[bucket] - before[bucket]
            self._move(journal, bucket, hold_of(bucket), max(0, change_e8))
            self._move(journal, hold_of(bucket), bucket, max(0, -change_e8))

    def _move(self, journal: str, debit: str, credit: str, amount_e8: int) -> None:
        assert amount_e8 >= 0
        if amount_e8:
            self.moves.append(Move(journal, debit, credit, amount_e8))
