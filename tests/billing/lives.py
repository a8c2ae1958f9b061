"""The product and `model_account.py` side by side, through random lives of three accounts in one store.

Everything that can be asked and everything that time brings: money, vouchers, packs, the free quota, instances and
their renewal, usage in time and late, price changes, thresholds, jumps of the clock over hours and weeks, and a settler
that is away.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from billing import views
from billing.errors import Refused
from billing.rating import Tier
from billing.upsert import insert_or_replace
from config.money import E8, parse_e8
from metering.database import transaction
from metering.tables import counter, dirty
from tests.billing.life_stores import ACCOUNTS, ACTIVATED, BEGIN, Stores
from tests.billing.model import GIB, HOUR, Model
from tests.billing.model_account import ModelAccount
from tests.billing.model_time import DAY, local, months_later

METERS = {
    "calls": "calls",
    "out_client": "egress:client:internet:application",
    "out_backend": "egress:backend:internet:application",
}
# Small tiers and dear calls: bounds are met, and money runs out, but not for good.
TIERS = [(40, "0.89"), (90, "0.59"), (None, "0.05")]
EGRESS = {"ap-guangzhou": "0.12", "ap-hongkong": "0.15"}
DEDICATED = {"x": "ap-guangzhou", "y": "ap-hongkong", "z": "ap-guangzhou"}

cents = st.integers(0, 400).map(lambda number: number * E8 // 100 + number % 3)
accounts = st.sampled_from([*"aab", *"bc"])
bought = st.sampled_from(sorted(DEDICATED))
numbers = st.integers(0, 5)  # of what there is
second = st.integers(0, HOUR - 1)
used = st.sampled_from(["s", "s", "t", *sorted(DEDICATED)])
units = st.tuples(
    st.one_of(st.integers(0, 60), st.integers(999_970, 1_000_030)), st.integers(0, 3 * GIB), st.integers(0, 5000)
)


class Lives(RuleBasedStateMachine):
    def __init__(self, stores: Stores) -> None:
        super().__init__()
        self.stores = stores

    @initialize(begin_with=st.lists(cents, min_size=3, max_size=3))
    def begin(self, begin_with: list[int]) -> None:
        self.billing = self.stores.fresh()
        # Each process enters its price book's prices, so here and not in the store that was founded.
        self.billing.change_price("calls", None, [Tier(up_to, parse_e8(price)) for up_to, price in TIERS], BEGIN)
        self.totals: defaultdict[tuple[str, str, str, int], int] = defaultdict(int)
        self.pending: defaultdict[int, list[tuple[str, str, str, int, int]]] = defaultdict(list)
        self.now = BEGIN
        self.is_behind = False  # the settler was away, and is still
        self.packs: dict[str, str] = {}  # bought, with whose they are
        self.owners: dict[str, str] = {}  # of dedicated instances
        egress = [(0, "egress", region, [(None, Fraction(price))]) for region, price in EGRESS.items()]
        ladder = [(up_to, Fraction(price)) for up_to, price in TIERS]
        self.prices: list[Any] = [*egress, (BEGIN // HOUR, "calls", None, ladder)]
        five_day: set[str] = set()
        self.models = {
            id: ModelAccount(
                Model(self.prices),
                BEGIN,
                entity,
                five_day,
                {f"s-{id}": "ap-guangzhou", f"t-{id}": "ap-hongkong"},
                has_free_quota,
                ACTIVATED.get(id, BEGIN),
            )
            for id, (entity, has_free_quota) in ACCOUNTS.items()
        }
        for model in self.models.values():
            model.give_grants()
        for id, cash in zip(ACCOUNTS, begin_with, strict=True):
            self.top_up(id, cash, 0, 0)

    def both(self, account: str, operation: Callable[[], Any], modelled: Callable[[], str | None]) -> None:
        """What the product answers is what the model answers; then they stand alike."""
        model = self.models[account]
        model.give_grants()
        expected = modelled()
        try:
            operation()
            code = None
        except Refused as refused:
            code = refused.code
            # As the gateway does with what it refuses: an event of the account all the same (P12).
            self.billing.note_event(account, self.now)
        model.touch()
        assert code == expected, (code, expected)
        self.compare(account)

    @rule(account=accounts, cash=cents, gift=cents, income=cents)
    def top_up(self, account: str, cash: int, gift: int, income: int) -> None:
        parts = {"cash": cash, "gift": gift, "income": income}
        self.both(
            account,
            lambda: self.billing.top_up(account, **parts, now=self.now),
            lambda: self.models[account].top_up(**parts),
        )

    @precondition(lambda self: any(model.state in ("arrears", "suspended") for model in self.models.values()))
    @rule(number=numbers, missing=st.sampled_from([0, 0, 1, -E8]))
    def pay_debt(self, number: int, missing: int) -> None:
        """To the last e8, or all but one."""
        owing = [id for id, model in self.models.items() if model.state in ("arrears", "suspended")]
        id = owing[number % len(owing)]
        debt = -sum(self.models[id].money.values()) - self.models[id].held()
        self.top_up(id, max(0, debt - missing), 0, 0)

    @rule(account=accounts, amount=cents, lasts=st.integers(0, 20 * DAY))
    def voucher(self, account: str, amount: int, lasts: int) -> None:
        id, expires = f"v{len(self.models[account].vouchers)}", self.now + lasts
        self.both(
            account,
            lambda: self.billing.give_voucher(account, id, amount, expires, self.now),
            lambda: self.models[account].give_voucher(amount, expires),
        )

    @rule(account=accounts, meter=st.sampled_from(["calls", "egress"]), size=st.integers(1, 99), price=cents)
    def buy_pack(self, account: str, meter: str, size: int, price: int) -> None:
        id = f"p{len(self.packs)}"
        quantity = size if meter == "calls" else size * GIB // 20
        wish: dict[str, Any] = {"meter": meter, "quantity": quantity, "months": 1, "price": price, "now": self.now}
        self.both(
            account,
            lambda: self.billing.buy_pack(account, id, **wish),
            lambda: self.models[account].buy_pack(id, meter, quantity, price),
        )
        if id in self.models[account].packs:
            self.packs[id] = account

    @precondition(lambda self: self.packs)
    @rule(number=numbers)
    def refund_pack(self, number: int) -> None:
        id, account = list(self.packs.items())[number % len(self.packs)]
        # What is counted for hours that are over is billed first, also where the settler is away.
        for tick in [tick for tick in self.pending if tick * HOUR < self.now]:
            self.deliver(self.pending.pop(tick))
        self.both(
            account,
            lambda: self.billing.refund_pack(id, now=self.now),
            lambda: self.models[account].refund_pack(id),
        )

    @rule(account=accounts, id=bought, kind=st.sampled_from(["payg", "prepaid"]), price=st.integers(1, 300))
    def buy_instance(self, account: str, id: str, kind: str, price: int) -> None:
        # By the second so dear that it does not run for weeks: each of its hours is a settlement.
        price = (2000 + price * 100) if kind == "payg" else price * E8 // 100
        months = None if kind == "payg" else 1
        owner, region = self.owners.get(id, account), DEDICATED[id]
        self.both(
            account,
            lambda: self.billing.buy_instance(
                account, id, spec="dedicated-2500", region=region, months=months, price=price, now=self.now
            ),
            lambda: self.models[account].buy_instance(id, kind, price, region) if owner == account else "exists",
        )
        if id in self.models[account].instances:
            self.owners[id] = account

    @precondition(lambda self: self.released())
    @rule(number=numbers, kind=st.sampled_from(["payg", "payg", "prepaid"]), price=st.integers(1, 300))
    def buy_again(self, number: int, kind: str, price: int) -> None:
        id = self.released()[number % len(self.released())]
        self.buy_instance(self.owners[id], id, kind, price)

    @precondition(lambda self: self.running())
    @rule(number=numbers, minute=st.integers(0, 59), kind=st.sampled_from(["payg", "prepaid"]), price=st.integers(1, 9))
    def let_run_release_and_buy_again(self, number: int, minute: int, kind: str, price: int) -> None:
        id = self.running()[number % len(self.running())]
        self.wait(0, minute * 60)
        self.of_owner(
            list(self.owners).index(id),
            lambda id: self.billing.release_instance(id, now=self.now),
            lambda model, id: model.release(id),
        )
        self.buy_instance(self.owners[id], id, kind, price)

    def released(self) -> list[str]:
        return [id for id, account in self.owners.items() if self.models[account].instances[id].state == "released"]

    def running(self) -> list[str]:
        models = [(id, self.models[account]) for id, account in self.owners.items()]
        return [id for id, model in models if model.is_running(model.instances[id])]

    def of_owner(
        self, number: int, operation: Callable[[str], Any], modelled: Callable[[ModelAccount, str], str | None]
    ) -> None:
        id, account = list(self.owners.items())[number % len(self.owners)]
        self.both(account, lambda: operation(id), lambda: modelled(self.models[account], id))

    @precondition(lambda self: self.owners)
    @rule(number=numbers)
    def release(self, number: int) -> None:
        self.of_owner(
            number, lambda id: self.billing.release_instance(id, now=self.now), lambda model, id: model.release(id)
        )

    @precondition(lambda self: self.owners)
    @rule(number=numbers)
    def refund_instance(self, number: int) -> None:
        self.of_owner(
            number,
            lambda id: self.billing.refund_instance(id, now=self.now),
            lambda model, id: model.refund_instance(id),
        )

    @precondition(lambda self: self.owners)
    @rule(number=numbers, months=st.integers(1, 2))
    def renew(self, number: int, months: int) -> None:
        self.of_owner(
            number,
            lambda id: self.billing.renew_instance(id, months=months, now=self.now),
            lambda model, id: model.renew(id, months),
        )

    @rule(account=accounts, instance=used, units=units)
    def use_now(self, account: str, instance: str, units: tuple[int, int, int]) -> None:
        self.use(account, instance, units, 0)

    @rule(account=accounts, instance=used, units=units, hours=st.integers(-1, 1))
    def use_that_comes_when_its_month_closes(
        self, account: str, instance: str, units: tuple[int, int, int], hours: int
    ) -> None:
        closing = int(months_later(local(self.now).replace(day=3, hour=0, minute=0, second=0), 1).timestamp())
        self.use(account, instance, units, -(-(closing - self.now) // HOUR) + hours)

    @rule(account=accounts, instance=used, units=units, late=st.sampled_from([1, 7, 40, 500, 1000]))
    def use_that_comes_late(self, account: str, instance: str, units: tuple[int, int, int], late: int) -> None:
        self.use(account, instance, units, late)

    def use(self, account: str, instance: str, units: tuple[int, int, int], late: int) -> None:
        if instance in DEDICATED:
            if instance not in self.owners:
                return
            account = self.owners[instance]
        else:
            instance = f"{instance}-{account}"
        model, arrives, used = self.models[account], self.now + late * HOUR, dict(zip(METERS, units, strict=True))

        def use() -> None:
            self.billing.require_service(instance)
            self.billing.note_event(account, self.now)
            tick = max(self.now // HOUR + 1, -(-arrives // HOUR))
            rows = [(account, instance, METERS[m], self.now // HOUR, n) for m, n in used.items() if n]
            if rows:
                self.pending[tick] += rows

        self.both(account, use, lambda: model.use(self.now, instance, used, arrives))

    @rule(is_calls=st.booleans(), price=st.sampled_from(["0.07", "1.00000001", "0.5"]))
    def change_price(self, is_calls: bool, price: str) -> None:
        sku, region = ("calls", None) if is_calls else ("egress", "ap-guangzhou")
        tiers: list[Any] = [(30, price), (None, "0.05")] if is_calls else [(None, price)]
        self.billing.change_price(sku, region, [Tier(up_to, parse_e8(each)) for up_to, each in tiers], self.now)
        self.prices.append((-(-self.now // HOUR), sku, region, [(up_to, Fraction(each)) for up_to, each in tiers]))

    @rule(account=accounts, below=st.one_of(st.none(), cents))
    def set_alert(self, account: str, below: int | None) -> None:
        self.billing.set_alert(account, below, self.now)
        self.models[account].set_alert(below)
        self.compare(account)

    @rule(hours=st.sampled_from([0, 0, 1, 1, 2, 3]), second=second)
    def wait_for_hours(self, hours: int, second: int) -> None:
        self.wait(hours, second)

    @rule(hours=st.sampled_from([23, 24, 25, 48, 100, 170]), second=second)
    def wait_for_days(self, hours: int, second: int) -> None:
        self.wait(hours, second)

    @rule(days=st.integers(15, 40), second=second)
    def wait_for_weeks(self, days: int, second: int) -> None:
        self.wait(days * 24, second)

    @precondition(lambda self: self.deadlines())
    @rule(number=numbers, seconds=st.sampled_from([0, 1, 1, 2, HOUR]))
    def wait_for_a_deadline(self, number: int, seconds: int) -> None:
        """Of an account in debt, or of an instance that ends: the instant, and those after it (P9)."""
        self.wait_until(self.deadlines()[number % len(self.deadlines())] + seconds)

    def deadlines(self) -> list[int]:
        found = []
        for model in self.models.values():
            found += [model.deadline(), *(model.end_of(one) for one in model.instances.values())]
        return [instant for instant in found if instant]

    @rule(hours=st.sampled_from([1, 2, 26, 200, 800]), second=second)
    def wait_without_a_settler(self, hours: int, second: int) -> None:
        self.wait(hours, second, is_settled=False)

    def wait(self, hours: int, second: int, *, is_settled: bool = True) -> None:
        self.wait_until((self.now // HOUR + hours) * HOUR + second, is_settled=is_settled)

    def wait_until(self, to: int, *, is_settled: bool = True) -> None:
        if to <= self.now:
            return
        if is_settled:
            self.settle_until(to)
        self.is_behind = not is_settled
        self.now = to
        for model in self.models.values():
            model.now = to
        for account in ACCOUNTS if is_settled else ():
            self.compare(account)

    def settle_until(self, to: int) -> None:
        if self.is_behind:
            self.settle_at(self.now)
            for model in self.models.values():
                model.wake(self.now)
            self.is_behind = False
        while True:
            due = self.billing.next_instant()
            instant = min([to + 1, *(tick * HOUR for tick in self.pending), *([] if due is None else [due])])
            if instant > to:
                break
            self.settle_at(max(instant, self.now))
        for model in self.models.values():
            model.advance(to)

    def settle_at(self, instant: int) -> None:
        for tick in [tick for tick in self.pending if tick * HOUR <= instant]:
            self.deliver(self.pending.pop(tick))
        self.billing.settle(instant, lambda hour: True)

    def deliver(self, arrived: list[tuple[str, str, str, int, int]]) -> None:
        rows = {}
        for account, instance, meter, hour, units in arrived:
            key = (account, instance, meter, hour)
            self.totals[key] += units
            region = DEDICATED.get(instance, "ap-hongkong" if instance.startswith("t") else "ap-guangzhou")
            names = {"writer": "w", "account": account, "instance": instance, "region": region, "service": "x"}
            rows[key] = {**names, "meter": meter, "hour": hour, "value": self.totals[key]}
        marks = sorted({(account, hour) for account, _, _, hour in rows})
        with transaction(self.billing.engine) as connection:
            connection.execute(insert_or_replace(connection, counter, "value"), list(rows.values()))
            statement = insert_or_replace(connection, dirty, "hour")
            connection.execute(statement, [{"account": account, "hour": hour} for account, hour in marks])

    def compare(self, account: str) -> None:
        with transaction(self.billing.engine) as connection:
            document = views.account_document(connection, account, self.now, with_bills=False)
        stored, modelled = _stored(document), _modelled(self.models[account])
        different = {key: (stored[key], modelled[key]) for key in stored if stored[key] != modelled[key]}
        assert not different, f"{account} at {self.now}, stored and modelled: {different}"

    def teardown(self) -> None:
        if not hasattr(self, "billing"):
            return
        if self.is_behind:
            self.settle_until(self.now)
        for account, model in self.models.items():
            self.compare(account)
            bills = {}
            for month, bill in self.billing.bill(account)["bills"].items():
                for line in bill["lines"]:
                    key = (month, line["corrects_month"])
                    bills[key] = bills.get(key, 0) + parse_e8(line["amount"], signed=True)
            assert {key: e8 for key, e8 in bills.items() if e8} == {key: e8 for key, e8 in model.bills.items() if e8}
        assert self.billing.reconcile() == []
        assert self.billing.settle(self.now, lambda hour: True).settlements == 0


def _stored(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "state": document["state"],
        "wallet": {bucket: parse_e8(text, signed=True) for bucket, text in document["wallet"].items()},
        "packs": {p["id"]: (p["total"] - p["used"], p["state"] == "refunded") for p in document["packs"]},
        "vouchers": [parse_e8(voucher["left"]) for voucher in document["vouchers"]],
        "instances": {one["id"]: one["state"] for one in document["instances"] if one["type"] == "dedicated"},
        "notifications": [(told["at"], told["kind"]) for told in document["notifications"]],
    }


def _modelled(model: ModelAccount) -> dict[str, Any]:
    return {
        "state": model.state,
        "wallet": {**model.money, "held": model.held()},
        "packs": {id: (pack.left, id in model.refunded) for id, (pack, _, _) in model.packs.items()},
        "vouchers": [voucher.left for voucher in model.vouchers],
        "instances": {id: one.state for id, one in model.instances.items()},
        "notifications": [
            (f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%dT%H:%M:%SZ}", kind) for instant, kind in model.told
        ],
    }
