"""An account by the rules, said once more and differently: instant by instant, no store, in fractions (`model.py`).

Knows money in three buckets, vouchers, packs, the free quota, prepaid instances with renewals and ones paid by the
second with their holds, late usage, price changes, arrears, suspension, destruction, balance alerts, and a settler that
stands still for a while. Operations answer None, or the code they are refused by.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from math import ceil

from tests.billing.model import GIB, HOUR, Model, ModelPack, Row, half_up
from tests.billing.model_time import DAY, free_periods, local, midnight, months_later

Money = dict[str, int]
CASH_FIRST = ("cash", "income", "gift")


@dataclass
class Instance:
    kind: str  # payg or prepaid
    price: int
    region: str
    started: int
    state: str = "active"
    ends: int = 0
    since: int = 0
    months: int = 0
    is_renewed: bool = False
    is_refunded: bool = False
    listed: int = 0
    paid: Money = field(default_factory=lambda: dict.fromkeys(CASH_FIRST, 0))
    held: Money = field(default_factory=lambda: dict.fromkeys(CASH_FIRST, 0))


@dataclass
class Voucher:
    left: int
    expires: int


@dataclass
class ModelAccount:
    """`region_of` has the shared instances; dedicated ones join `instances`. `five_day` is shared by the accounts."""

    rates: Model
    now: int
    entity: str
    five_day: set[str]
    region_of: dict[str, str]
    has_free_quota: bool = False
    activated: int = 0
    alert: int | None = None
    alerted_on: date | None = None
    has_begun: bool = False  # the first event was (P12)
    touched: int = 0
    state: str = "active"
    state_at: int = 0
    money: Money = field(default_factory=lambda: dict.fromkeys(CASH_FIRST, 0))
    vouchers: list[Voucher] = field(default_factory=list)
    packs: dict[str, tuple[ModelPack, Money, int]] = field(default_factory=dict)  # with what was paid, and the total
    refunded: set[str] = field(default_factory=set)
    instances: dict[str, Instance] = field(default_factory=dict)
    arrivals: defaultdict[int, list[tuple[int, Row]]] = field(default_factory=lambda: defaultdict(list))
    seconds: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))  # hour → e8 of instances
    bills: defaultdict[tuple[str, str | None], int] = field(default_factory=lambda: defaultdict(int))
    told: list[tuple[int, str]] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)  # shared instances that a destruction took
    grants: list[tuple[int, int]] = field(default_factory=list)  # still to come

    def __post_init__(self) -> None:
        self.grants = list(free_periods(self.activated)) if self.has_free_quota else []
        self.touched = self.now

    # What is asked

    def top_up(self, **parts: int) -> None:
        for bucket, amount in parts.items():
            self.money[bucket] += amount

    def give_voucher(self, amount: int, expires: int) -> str | None:
        if self.state == "destroyed":
            return "destroyed"
        self.vouchers.append(Voucher(amount, expires))
        return None

    def buy_pack(self, id: str, meter: str, quantity: int, price: int) -> str | None:
        paid = self.may_not_buy() or self.buy(price)
        if isinstance(paid, str):
            return paid
        begins, ends = self.now // HOUR, ceil(Fraction(self.now, HOUR)) + 720
        self.add_pack(ModelPack(id, meter, False, begins, ends, quantity, len(self.packs)), paid)
        return None

    def add_pack(self, pack: ModelPack, paid: Money) -> None:
        self.packs[pack.id] = (pack, paid, pack.left)
        self.rates.packs.append(pack)

    def refund_pack(self, id: str) -> str | None:
        pack, paid, total = self.packs[id]
        # What was used in hours that are over is drawn first, wherever the settler is.
        self.settle((self.now - 1) // HOUR)
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

    def buy_instance(self, id: str, kind: str, price: int, region: str) -> str | None:
        known = self.instances.get(id)
        if known and known.state not in ("released", "destroyed"):
            return "exists"
        refusal = self.may_not_buy()
        if refusal:
            return refusal
        if known and (known.kind, known.price) != (kind, price) and any(h * HOUR < known.since for h in self.seconds):
            return "exists"  # What it ran at the other price is not billed yet.
        one = Instance(kind, price, region, self.now, since=self.now)
        if kind == "payg":
            if sum(self.money.values()) < 3600 * price:
                return "insufficient_funds"
            self.hold(one)
        else:
            paid = self.buy(price)
            if isinstance(paid, str):
                return paid
            self.prolong(one, 1, paid)
        self.instances[id] = one
        return None

    def prolong(self, one: Instance, months: int, paid: Money) -> None:
        """From the start, whatever was paid before (X3, P8)."""
        one.months += months
        one.ends = int(months_later(local(one.started), one.months).timestamp())
        one.listed += months * one.price
        one.paid = {bucket: one.paid[bucket] + paid[bucket] for bucket in CASH_FIRST}

    def renew(self, id: str, months: int) -> str | None:
        one, refusal = self.instances[id], self.may_not_buy()
        if refusal:
            return refusal
        if one.kind == "payg":
            return "wrong_charge"
        if one.is_refunded or one.state not in ("active", "isolated"):
            return "not_active"
        paid = self.buy(months * one.price)
        if isinstance(paid, str):
            return paid
        self.prolong(one, months, paid)
        one.state, one.is_renewed = "active", True
        return None

    def release(self, id: str) -> str | None:
        one = self.instances[id]
        if self.state == "destroyed":
            return "destroyed"
        if one.kind == "prepaid":
            return "wrong_charge"
        if one.state != "active":
            return "not_active"
        self.run_clock(self.now)
        self.let_go(one)
        one.state = "released"
        return None

    def refund_instance(self, id: str) -> str | None:
        one = self.instances[id]
        if self.state == "destroyed":
            return "destroyed"
        if one.kind == "payg":
            return "wrong_charge"
        if one.state != "active":
            return "not_active"
        last_day = local(one.started).date() + timedelta(days=5)
        if self.entity not in self.five_day and not one.is_renewed and local(self.now).date() <= last_day:
            back = dict(one.paid)
            self.five_day.add(self.entity)
        else:
            days = ceil(Fraction(self.now - one.started, DAY))
            used = min(Fraction(days * DAY, one.ends - one.started), Fraction(1))
            paid = sum(one.paid.values())
            left = max(0, paid - half_up(used * one.listed))
            payers = [bucket for bucket in CASH_FIRST if one.paid[bucket]]
            back = {bucket: half_up(Fraction(left * one.paid[bucket], paid)) for bucket in payers[:-1]}
            if payers:
                back[payers[-1]] = left - sum(back.values())
        one.state, one.is_refunded, one.ends = "isolated", True, self.now + 7 * DAY
        self.top_up(**back)
        return None

    def use(self, at: int, instance: str, units: dict[str, int], arrives: int) -> str | None:
        if self.state in ("suspended", "destroyed"):
            return self.state
        bought = self.instances.get(instance)
        if instance in self.lost:
            return "not_active"
        if bought and bought.state != "active":
            return "not_active"
        tick = max(at // HOUR + 1, -(-arrives // HOUR))
        for meter, number in units.items():
            # A dedicated instance pays for bytes to clients (B1, B8).
            if bought is None or meter == "out_client":
                region = bought.region if bought else self.region_of[instance]
                self.arrivals[tick].append((at // HOUR, (meter, region, instance, number)))
        return None

    def touch(self) -> None:
        """After everything that happens to the account (P12)."""
        self.has_begun = True
        self.give_grants()
        self.look()

    def set_alert(self, below: int | None) -> None:
        """Not the account's own doing, so no first event; but the balance is looked at."""
        self.alert = below
        self.give_grants()
        self.look()

    # What happens by itself

    def advance(self, to: int) -> None:
        """The settler is there all the time."""
        while (instant := self.next_instant()) <= to:
            self.wake(max(instant, self.now))
        self.now = to

    def next_instant(self) -> int:
        """Of a full hour with something to bill, a deadline, an end, a grant, or a midnight."""
        instants = [midnight(local(self.now).date()) + DAY]
        if self.seconds or any(self.is_running(one) for one in self.instances.values()):
            instants.append((self.now // HOUR + 1) * HOUR)
        instants += [tick * HOUR for tick in self.arrivals] + [begins * HOUR for begins, _ in self.grants[:1]]
        deadline = self.deadline()
        instants += [] if deadline is None else [deadline + 1]
        instants += [end + 1 for one in self.instances.values() if (end := self.end_of(one))]
        return min(instants)

    def wake(self, instant: int) -> None:
        """The settler looks, perhaps after a long time."""
        self.now = instant
        self.give_grants()
        self.settle(instant // HOUR)
        self.pass_deadlines()

    def settle(self, tick: int) -> None:
        self.run_clock(tick * HOUR)
        by_hour: defaultdict[int, list[Row]] = defaultdict(list)
        for due in [due for due in self.arrivals if due <= tick]:
            for hour, row in self.arrivals.pop(due):
                by_hour[hour].append(row)
        fees = {hour: self.seconds.pop(hour) for hour in [hour for hour in self.seconds if hour < tick]}
        for hour in sorted({*by_hour, *fees}):
            month = f"{local(hour * HOUR):%Y-%m}"
            amount = self.rates.settle(hour, month, sums(by_hour[hour])) + fees.get(hour, 0)
            if fees.get(hour) or any(units for *_, units in by_hour[hour]):
                self.pay_bill(amount, hour)
                closes = months_later(local(hour * HOUR).replace(day=3, hour=0), 1)
                is_closed = self.now > closes.timestamp()
                self.bills[(f"{local(self.now):%Y-%m}", month) if is_closed else (month, None)] += amount

    def pay_bill(self, amount: int, hour: int) -> None:
        running = [
            (one.started, id) for id, one in self.instances.items() if one.kind == "payg" and one.state == "active"
        ]
        for _, id in running:
            self.let_go(self.instances[id])
        self.pay(amount, (hour + 1) * HOUR)
        for _, id in sorted(running):
            self.hold(self.instances[id])
        self.look()

    def run_clock(self, to: int) -> None:
        """Seconds of what runs, up to an instant; none while suspended."""
        for one in self.instances.values():
            while self.is_running(one) and one.since < to:
                stop = min(to, (one.since // HOUR + 1) * HOUR)
                self.seconds[one.since // HOUR] += (stop - one.since) * one.price
                one.since = stop

    def is_running(self, one: Instance) -> bool:
        return one.kind == "payg" and one.state == "active" and self.state in ("active", "arrears")

    def deadline(self) -> int | None:
        lasts = {"arrears": DAY, "suspended": 7 * DAY}.get(self.state)
        return None if lasts is None else self.state_at + lasts

    def end_of(self, one: Instance) -> int | None:
        return one.ends if one.kind == "prepaid" and one.state in ("active", "isolated") else None

    def pass_deadlines(self) -> None:
        """One step of the account and of each instance (X22); the balance is looked at then, and at midnight (P12)."""
        has_passed = midnight(local(self.now).date()) > self.touched
        end = self.deadline()
        if end is not None and end < self.now:
            has_passed = True
            if self.state == "arrears":
                self.run_clock(self.now)
                self.turn("suspended")
            else:
                self.turn("destroyed")
                self.lost = set(self.region_of)
                for one in self.instances.values():
                    if one.state in ("active", "isolated"):
                        self.let_go(one)
                        one.state = "destroyed"
        for one in self.instances.values():
            end = self.end_of(one)
            if end is not None and end < self.now:
                has_passed = True
                one.state, one.ends = ("isolated", self.now + 7 * DAY) if one.state == "active" else ("destroyed", 0)
        if has_passed:
            self.look()

    def give_grants(self) -> None:
        """Two packs for each period that has begun (B14, P3)."""
        while self.grants and self.grants[0][0] * HOUR <= self.now:
            begins, ends = self.grants.pop(0)
            for meter, units in (("calls", 1_000_000), ("egress", GIB)):
                id = f"free-{meter}-{12 - len(self.grants)}"
                self.add_pack(ModelPack(id, meter, True, begins, ends, units, len(self.packs)), {})

    # Money

    def may_not_buy(self) -> str | None:
        return {"arrears": "in_arrears", "suspended": "suspended", "destroyed": "destroyed"}.get(self.state)

    def buy(self, price: int) -> Money | str:
        voucher = self.voucher(price, self.now)
        if sum(self.money.values()) < price - (min(voucher.left, price) if voucher else 0):
            return "insufficient_funds"
        return self.pay(price, self.now)

    def pay(self, amount: int, at: int) -> Money:
        """`at`: of a bill the end of its hour, of an order now (P5)."""
        voucher = self.voucher(amount, at)
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

    def voucher(self, amount: int, at: int) -> Voucher | None:
        if self.state != "active" or not amount:
            return None
        usable = [one for one in self.vouchers if one.left and one.expires >= at]
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

    # The balance

    def look(self) -> None:
        self.touched = self.now
        owes = sum(self.money.values()) + self.held() < 0
        if owes and self.state == "active":
            self.turn("arrears")
        elif not owes and self.state == "destroyed":
            self.state, self.state_at = "active", self.now
            self.told.append((self.now, "reopened"))
        elif not owes and self.state in ("arrears", "suspended"):
            if self.state == "suspended":
                for one in self.instances.values():
                    one.since = self.now
            self.turn("active")
        is_low = self.alert is not None and sum(self.money.values()) < self.alert
        if is_low and self.has_begun and self.state in ("active", "arrears") and self.alerted_on != self.today():
            self.alerted_on = self.today()
            self.told.append((self.now, "balance_alert"))

    def today(self) -> date:
        return local(self.now).date()

    def turn(self, state: str) -> None:
        self.state, self.state_at = state, self.now
        self.told.append((self.now, "resumed" if state == "active" else state))


def sums(rows: list[Row]) -> list[Row]:
    found: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for meter, region, instance, units in rows:
        found[meter, region, instance] += units
    return [(*key, units) for key, units in found.items()]
