"""Hours that are alike are settled together, and nobody can tell: against settling them one by one."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from billing.service import Billing
from tests.billing.world import GIB, act, payg, prepaid, simulate, top_up, use

DAY_MINUTES = 24 * 60


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Billing, "quiet_until", lambda billing: (None, None))


def when(minute: int) -> str:
    day, rest = divmod(minute, DAY_MINUTES)
    month, day = (1, day + 1) if day < 31 else (2, day - 30)
    return f"2024-{month:02d}-{day:02d} {rest // 60:02d}:{rest % 60:02d}"


def history(seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A few things in sixty days, most of them full hours, of an account that now and then runs out of money."""
    random = Random(seed)
    events: list[dict[str, Any]] = [top_up(when(0), f"{random.randrange(1, 60)}.00", gift=f"0.0{random.randrange(9)}")]
    minutes = sorted(
        random.choice([random.randrange(58 * DAY_MINUTES), random.randrange(58 * 24) * 60]) for _ in range(14)
    )
    for number, minute in enumerate(minutes):
        at, id = when(minute), f"d{number}"
        events.append(
            random.choice(
                [
                    payg(at, id, price=f"0.0000{random.randrange(1, 99):02d}00"),
                    payg(at, id, price="0.00000001"),
                    prepaid(at, id, price="1.00"),
                    act(at, "release_instance", f"d{random.randrange(number + 1)}"),
                    top_up(at, f"{random.randrange(9)}.{random.randrange(99):02d}"),
                    use(at, calls=random.randrange(2000), out_client=random.randrange(GIB)),
                    {"at": at, "do": "voucher", "account": "a", "id": f"v{number}", "amount": "0.50",
                     "expires_at": when(min(minute + 3000, 59 * DAY_MINUTES))},
                ]
            )
        )  # fmt: skip
    ids = {event["id"] for event in events if event["do"] == "buy_instance"}
    events = [event for event in events if event["do"] != "release_instance" or event["id"] in ids]
    account: dict[str, Any] = {"free_quota": random.random() < 0.5}
    if random.random() < 0.5:
        account["alert_below"] = f"{random.randrange(20)}.00"
    return events, account


@pytest.mark.parametrize("seed", range(40))
def test_what_comes_of_a_scenario_is_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    events, account = history(seed)
    fast = simulate(*events, until="2024-03-10 12:30", **account)
    one_by_one(monkeypatch)
    assert fast == simulate(*events, until="2024-03-10 12:30", **account)


def test_a_year_of_one_instance_is_few_settlements(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks: list[float] = []
    settle = Billing.settle

    def counted(billing: Billing, now: float, ready: Any) -> Any:
        ticks.append(now)
        return settle(billing, now, ready)

    monkeypatch.setattr(Billing, "settle", counted)
    output = simulate(top_up("2024-01-01 00:00", "10000.00"), payg("2024-01-02 00:10:05"), until="2025-01-02 00:00")
    lines = [line for bill in output["accounts"]["a"]["bills"].values() for line in bill["lines"]]
    assert len(lines) == 366 * 24
    assert len(ticks) < 40


def test_histories_run_out_of_money_and_are_told_of_it() -> None:
    """Else the hours that are not alike were not met."""
    kinds: set[str] = set()
    for seed in range(40):
        events, account = history(seed)
        output = simulate(*events, until="2024-03-10 12:30", **account)
        kinds |= {told["kind"] for told in output["accounts"]["a"]["notifications"]}
    assert {"arrears", "suspended", "balance_alert", "destroyed"} <= kinds
