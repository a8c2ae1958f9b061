"""An account by the rules, said once more and differently: hour by hour, no store, rating in fractions (`model.py`).

Knows money in three buckets, vouchers, packs, prepaid instances and ones paid by the second with their holds, late
usage, price changes, arrears, suspension and destruction. Operations answer None, or the code they are refused by.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from math import ceil, floor

from tests.billing.model import HOUR, Model, ModelPack

DAY = 24 * HOUR
SHANGHAI = timezone(timedelta(hours=8))
Money = dict[str, int]
CASH_FIRST = ("cash", "income", "gift")


def half_up(exact: Fraction) -> int:
    return floor(exact + Fraction(1, 2))


def local(instant: int) -> datetime:
    return datetime.fromtimestamp(instant, SHANGHAI)


def month_later(instant: int, months: int) -> int:
    start = local(instant)
    index = start.year * 12 + start.month - 1 + months
    for day in range(start.day, 27, -1):
        try:
            return int(start.replace(year=index // 12, month=index % 12 + 1, day=day).timestamp())
        except ValueError:
            continue
    return int(start.replace(year=index // 12, month=index % 12 + 1).timestamp())


@dataclass
class Instance:
    kind: str  # payg or prepaid
    price: int
    started: int
    state: str = "active"
    ends: int = 0
    since: int = 0
    paid: Money = field(default_factory=dict)
    held: Money = field(default_factory=lambda: dict.fromkeys(CASH_FIRST, 0))


@dataclass
class Voucher:
    left: int
    expires: int


@dataclass
class ModelAccount:
    rates: Model
    now: int
    region: str = "ap-guangzhou"
    state: str = "active"
    state_at: int = 0
    money: Money = field(default_factory=lambda: dict.fromkeys(CASH_FIRST, 0))
    vouchers: list[Voucher] = field(default_factory=list)
    packs: dict[str, tuple[ModelPack, Money, int]] = field(default_factory=dict)  # with what was paid, and the total
    refunded: set[str] = field(default_factory=set)
    instances: dict[str, Instance] = field(default_factory=dict)
    five_day_used: bool = False
    arrivals: defaultdict[int, list[tuple[int, str, int]]] = field(default_factory=lambda: defaultdict(list))
    seconds: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))  # hour → e8 of instances

    # What is asked

    def top_up(self, **parts: int) -> None:
        for bucket, amount in parts.items():
            self.money[bucket] += amount
        self.look()

    def give_voucher(self, amount: int, expires: int) -> str | None:
        if self.state == "destroyed":
            return "destroyed"
        self.vouchers.append(Voucher(amount, expires))
        return None

    def buy_pack(self, id: str, meter: str, quantity: int, price: int) -> str | None:
        refusal = self.may_not_buy() or self.buy(price)
        if isinstance(refusal, str):
            return refusal
        begins = self.now // HOUR
        pack = ModelPack(id, meter, False, begins, begins + 720, quantity, len(self.packs))
        self.packs[id] = (pack, refusal, quantity)
        self.rates.packs.append(pack)
        return None

    def refund_pack(self, id: str) -> str | None:
        if id not in self.packs:
            return "not_found"
        pack, paid, total = self.packs[id]
        if self.state == "destroyed":
            return "destroyed"
        if id in self.refunded:
            return "pack_refunded"
        if pack.left < total:
            return "pack_used"
        if self.now >= pack.ends * HOUR:
            return "pack_expired"
        self.refunded.add(id)
        self.rates.packs.remove(pack)
        self.top_up(**paid)
        return None

    def buy_instance(self, id: str, kind: str, price: int) -> str | None:
        refusal = self.may_not_buy()
        if refusal:
            return refusal
        one = Instance(kind, price, self.now, since=self.now)
        if kind == "payg":
            if sum(self.money.values()) < 3600 * price:
                return "insufficient_funds"
            self.hold(one)
        else:
            paid = self.buy(price)
            if isinstance(paid, str):
                return paid
            one.paid, one.ends = paid, month_later(self.now, 1)
        self.instances[id] = one
        self.look()
        return None

    def release(self, id: str) -> str | None:
        one = self.instances.get(id)
        if one is None:
            return "not_found"
        if self.state == "destroyed":
            return "destroyed"
        if one.kind == "prepaid":
            return "wrong_charge"
        if one.state != "active":
            return "not_active"
        self.run_clock(self.now)
        self.let_go(one)
        one.state = "released"
        self.look()
        return None

    def refund_instance(self, id: str) -> str | None:
        one = self.instances.get(id)
        if one is None:
            return "not_found"
        if self.state == "destroyed":
            return "destroyed"
        if one.kind == "payg":
            return "wrong_charge"
        if one.state != "active":
            return "not_active"
        last_day = local(one.started).date() + timedelta(days=5)
        if not self.five_day_used and local(self.now).date() <= last_day:
            back, self.five_day_used = dict(one.paid), True
        else:
            days = ceil(Fraction(self.now - one.started, DAY))
            used = min(Fraction(days * DAY, one.ends - one.started), Fraction(1))
            paid = sum(one.paid.values())
            left = max(0, paid - half_up(used * one.price))
            payers = [bucket for bucket in CASH_FIRST if one.paid[bucket]]
            back = {bucket: half_up(Fraction(left * one.paid[bucket], paid)) for bucket in payers[:-1]}
            if payers:
                back[payers[-1]] = left - sum(back.values())
        one.state, one.ends = "isolated", self.now + 7 * DAY
        self.top_up(**back)
        return None

    def use(self, at: int, meter: str, units: int, arrives: int) -> str | None:
        refusal = {"suspended": "suspended", "destroyed": "destroyed"}.get(self.state)
        if refusal is None:
            self.arrivals[max(at // HOUR + 1, -(-arrives // HOUR))].append((at // HOUR, meter, units))
        return refusal

    # What happens by itself

    def advance(self, to: int) -> None:
        while True:
            ends = [self.deadline(), *(self.end_of(one) for one in self.instances.values())]
            instant = min([(self.now // HOUR + 1) * HOUR, *(end + 1 for end in ends if end)])
            if instant > to:
                self.now = to
                return
            self.now = instant
            if instant % HOUR == 0:
                self.settle(instant // HOUR)
            self.pass_deadlines()

    def settle(self, tick: int) -> None:
        self.run_clock(tick * HOUR)
        by_hour: defaultdict[int, list[tuple[str, str, str, int]]] = defaultdict(list)
        for hour, meter, units in self.arrivals.pop(tick, []):
            by_hour[hour].append((meter, self.region, "s1", units))
        fees = {hour: self.seconds.pop(hour) for hour in list(self.seconds)}
        for hour in sorted({*by_hour, *fees}):
            before = sum(self.rates.totals_e8().values())
            month = f"{local(hour * HOUR):%Y-%m}"
            self.rates.settle(hour, month, _sums(by_hour[hour]))
            amount = sum(self.rates.totals_e8().values()) - before + fees.get(hour, 0)
            if fees.get(hour) or any(units for *_, units in by_hour[hour]):
                self.pay_bill(amount)

    def pay_bill(self, amount: int) -> None:
        running = [one for one in self.instances.values() if one.kind == "payg" and one.state == "active"]
        for one in running:
            self.let_go(one)
        self.pay(amount)
        for one in running:
            self.hold(one)
        self.look()

    def run_clock(self, to: int) -> None:
        """Seconds of what runs, up to an instant; none while suspended."""
        for one in self.instances.values():
            if one.kind != "payg" or one.state != "active":
                continue
            while self.state in ("active", "arrears") and one.since < to:
                stop = min(to, (one.since // HOUR + 1) * HOUR)
                self.seconds[one.since // HOUR] += (stop - one.since) * one.price
                one.since = stop

    def deadline(self) -> int | None:
        lasts = {"arrears": DAY, "suspended": 7 * DAY}.get(self.state)
        return None if lasts is None else self.state_at + lasts

    def end_of(self, one: Instance) -> int | None:
        return one.ends if one.kind == "prepaid" and one.state in ("active", "isolated") else None

    def pass_deadlines(self) -> None:
        end = self.deadline()
        if end is not None and end < self.now:
            if self.state == "arrears":
                self.run_clock(self.now)
                self.turn("suspended")
            else:
                self.turn("destroyed")
                for one in self.instances.values():
                    if one.state in ("active", "isolated"):
                        self.let_go(one)
                        one.state = "destroyed"
        for one in self.instances.values():
            end = self.end_of(one)
            if end is not None and end < self.now:
                one.state, one.ends = ("isolated", self.now + 7 * DAY) if one.state == "active" else ("destroyed", 0)

    # Money

    def may_not_buy(self) -> str | None:
        return {"arrears": "in_arrears", "suspended": "suspended", "destroyed": "destroyed"}.get(self.state)

    def buy(self, price: int) -> Money | str:
        voucher = self.voucher(price)
        if sum(self.money.values()) < price - (min(voucher.left, price) if voucher else 0):
            return "insufficient_funds"
        return self.pay(price)

    def pay(self, amount: int) -> Money:
        voucher = self.voucher(amount)
        if voucher:
            part = min(voucher.left, amount)
            voucher.left -= part
            amount -= part
        paid = dict.fromkeys(CASH_FIRST, 0)
        for bucket in ("gift", "income", "cash"):
            part = amount if bucket == "cash" else min(amount, max(0, self.money[bucket]))
            self.money[bucket] -= part
            paid[bucket] = part
            amount -= part
        return paid

    def voucher(self, amount: int) -> Voucher | None:
        if self.state != "active" or not amount:
            return None
        usable = [one for one in self.vouchers if one.left and one.expires >= self.now]
        return min(usable, key=lambda one: (one.expires, -min(one.left, amount), one.left), default=None)

    def hold(self, one: Instance) -> None:
        wanted = min(3600 * one.price, max(0, sum(self.money.values())))
        for bucket in CASH_FIRST:
            part = min(wanted, max(0, self.money[bucket]))
            self.money[bucket] -= part
            one.held[bucket] += part
            wanted -= part

    def let_go(self, one: Instance) -> None:
        for bucket, part in one.held.items():
            self.money[bucket] += part
            one.held[bucket] = 0

    def held(self) -> int:
        return sum(sum(one.held.values()) for one in self.instances.values())

    def look(self) -> None:
        owes = sum(self.money.values()) + self.held() < 0
        if owes and self.state == "active":
            self.turn("arrears")
        elif not owes and self.state in ("arrears", "suspended"):
            if self.state == "suspended":
                for one in self.instances.values():
                    one.since = self.now
            self.turn("active")

    def turn(self, state: str) -> None:
        self.state, self.state_at = state, self.now


def _sums(rows: list[tuple[str, str, str, int]]) -> list[tuple[str, str, str, int]]:
    sums: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for meter, region, instance, units in rows:
        sums[meter, region, instance] += units
    return [(*key, units) for key, units in sums.items()]
