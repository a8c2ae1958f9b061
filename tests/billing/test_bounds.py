"""Totals at the bounds: accounts at the greatest amounts that each operation takes. On both engines."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Engine, text

from billing.bounds import BUCKET_MAX_E8, DEBT_MAX_E8, TERM_MONTHS_MAX
from billing.errors import LedgerFault, Refused
from billing.service import Billing
from config.money import AMOUNT_MAX_E8, PRICE_MAX_E8, read_e8
from config.prices import PACK_UNITS_MAX
from metering.database import transaction
from metering.events import HOUR_BYTES_MAX, HOUR_CALLS_MAX
from tests.billing.world import World, at, count, count_rows

NOW = at("2024-01-10 10:30")
FULL: dict[str, int] = {"cash": BUCKET_MAX_E8, "income": BUCKET_MAX_E8, "gift": BUCKET_MAX_E8}
DEDICATED: dict[str, Any] = {"spec": "dedicated-2500", "region": "ap-guangzhou"}
ACCOUNTS = [f"full-{number:02d}" for number in range(14)]

Act = Callable[[Billing, str], object]


def fill(billing: Billing, account: str) -> None:
    """Everything at its greatest, one after the other, and the wallet full again at the end."""
    billing.open_account(account, at("2024-01-01 00:00"))
    billing.open_shared_instance(account, f"{account}-s", "ap-guangzhou", NOW)
    billing.give_voucher(account, "v", AMOUNT_MAX_E8, NOW + 10**9, NOW)
    for meter in ("calls", "egress"):
        pack = {"meter": meter, "quantity": PACK_UNITS_MAX, "months": 60, "price": 1}
        billing.buy_pack(account, f"{account}-{meter}", **pack, now=NOW)
    billing.buy_instance(account, f"{account}-d", **DEDICATED, months=TERM_MONTHS_MAX, price=0, now=NOW)
    billing.top_up(account, **FULL, now=NOW)
    for number in range(3):
        billing.buy_instance(account, f"{account}-p{number}", **DEDICATED, price=PRICE_MAX_E8, now=NOW)
    hour = (NOW // 3600) - 1
    values = {"calls": HOUR_CALLS_MAX, "egress:client:internet:application": HOUR_BYTES_MAX}
    count_rows(billing.engine, hour, values, account=account, instance=f"{account}-s")


def ask_for_all(billing: Billing) -> None:
    """What a node does and shows, by itself and when asked."""
    billing.balances()
    billing.entitlements()
    for document in billing.accounts():
        assert document["wallet"]
    for account in ("a", *ACCOUNTS):
        billing.account(account)
        billing.statement(account, "2024-01", NOW)
        billing.focus(account, "2024-01")
        with suppress(Refused):
            billing.what_if(account, "2024-01", now=NOW)
        for line in billing.bill_lines(account, "2024-01"):
            billing.explain(line["id"])
    billing.settlements()
    billing.due_notifications({}, NOW, "mail", 100)
    billing.lag_s(NOW)


def test_accounts_at_the_bounds_are_settled_shown_and_found_again(engine: Engine) -> None:
    world = World(engine, cash=100)
    for account in ACCOUNTS:
        fill(world.billing, account)
    world.count("2024-01-10 09:10", 10_000)
    world.billing.settle(NOW, lambda hour: True)
    ask_for_all(world.billing)
    world.billing.settle(NOW + 3600, lambda hour: True)  # and of instances at the greatest price
    again = world.reopened()
    again.settle(NOW + 4 * 3600, lambda hour: True)
    ask_for_all(again)
    assert again.reconcile() == []
    assert [line["amount"] for line in again.bill_lines("a", "2024-01")] == ["0.00890000"]
    with pytest.raises(Refused, match="too_large"):
        again.top_up(ACCOUNTS[0], gift=BUCKET_MAX_E8, now=NOW)


@pytest.mark.parametrize(
    "act, field",
    [
        pytest.param(lambda b, a: b.top_up(a, cash=1, now=NOW), "cash", id="cash"),
        pytest.param(lambda b, a: b.top_up(a, gift=1, now=NOW), "gift", id="gift"),
        pytest.param(lambda b, a: b.top_up(a, income=1, cash=0, now=NOW), "income", id="income"),
        pytest.param(
            lambda b, a: b.adjust(
                a, hour=NOW // 3600 - 2, instance="s1", meter="calls", amount_e8=1, reason="an outage", now=NOW
            ),
            "amount",
            id="an adjustment",
        ),
    ],
)
def test_what_would_bring_a_balance_above_its_bound_is_refused_by_its_field(
    engine: Engine, act: Act, field: str
) -> None:
    world = World(engine)
    world.billing.top_up("a", **FULL, now=NOW)
    before = world.document()
    with pytest.raises(Refused) as refused:
        act(world.billing, "a")
    assert (refused.value.code, refused.value.field) == ("too_large", field)
    assert world.document() == before
    # What takes nothing in goes on.
    world.billing.buy_pack("a", "p", meter="calls", quantity=1, months=1, price=BUCKET_MAX_E8, now=NOW)
    world.billing.top_up("a", gift=BUCKET_MAX_E8, now=NOW)


def test_a_refund_that_would_not_fit_is_refused_until_there_is_room(engine: Engine) -> None:
    world = World(engine)
    world.billing.top_up("a", cash=BUCKET_MAX_E8, now=NOW)
    world.billing.buy_pack("a", "p", meter="calls", quantity=1, months=1, price=1, now=NOW)
    world.billing.top_up("a", cash=1, now=NOW)
    with pytest.raises(Refused, match="too_large"):
        world.billing.refund_pack("p", now=NOW)
    world.billing.buy_pack("a", "q", meter="calls", quantity=1, months=1, price=1, now=NOW)
    assert world.billing.refund_pack("p", now=NOW)["state"] == "refunded"


def test_a_currencys_ledger_has_a_bound_before_its_sums_have_none(engine: Engine) -> None:
    """Money in and spent, again and again: what other accounts use is billed all the same."""
    world = World(engine, cash=100)
    world.billing.open_account("b", NOW, has_free_quota=False)
    refused: Refused | None = None
    for number in range(100):
        try:
            world.billing.top_up("b", **FULL, now=NOW)
            wish = {"meter": "calls", "quantity": 1, "months": 1, "price": 3 * BUCKET_MAX_E8}
            world.billing.buy_pack("b", f"p{number}", **wish, now=NOW)
        except Refused as refusal:
            refused = refusal
            break
    assert refused is not None and refused.code == "too_large" and "ledger of USD" in refused.detail
    world.count("2024-01-10 09:10", 10_000)
    assert world.billing.settle(NOW, lambda hour: True).settlements == 1
    assert world.billing.reconcile() == []
    # Another currency has its own.
    world.billing.open_account("c", NOW, currency="CNY")
    world.billing.top_up("c", cash=BUCKET_MAX_E8, now=NOW)


def test_vouchers_do_not_fill_the_ledger_past_its_bound_either(engine: Engine) -> None:
    world = World(engine, cash=1)
    with pytest.raises(Refused, match="too_large"):
        for number in range(100):
            world.billing.give_voucher("a", f"v{number}", AMOUNT_MAX_E8, NOW + 10**6, NOW)
            wish = {"meter": "calls", "quantity": 1, "months": 1, "price": AMOUNT_MAX_E8}
            world.billing.buy_pack("a", f"p{number}", **wish, now=NOW)
    world.count("2024-01-10 09:10", 10_000)
    assert world.billing.settle(NOW, lambda hour: True).settlements == 1


def test_a_term_has_a_bound(engine: Engine) -> None:
    world = World(engine, cash=1)
    world.billing.buy_instance("a", "d", **DEDICATED, months=TERM_MONTHS_MAX - 60, price=0, now=NOW)
    world.billing.renew_instance("d", months=60, now=NOW)
    with pytest.raises(Refused) as refused:
        world.billing.renew_instance("d", months=1, now=NOW)
    assert (refused.value.code, refused.value.field) == ("too_large", "months")


@pytest.mark.parametrize("when", ["1990-01-01 00:00", "2023-12-31 23:00"])
def test_nothing_is_given_back_for_an_hour_before_the_account_was_activated(engine: Engine, when: str) -> None:
    world = World(engine)
    wish: dict[str, Any] = {"instance": "s1", "meter": "calls", "amount_e8": 1, "reason": "an outage", "now": NOW}
    with pytest.raises(Refused, match="not_found"):
        world.billing.adjust("a", hour=at(when) // 3600, **wish)
    assert world.billing.adjust("a", hour=at("2024-01-01 00:00") // 3600, **wish)["amount"] == "-0.00000001"


# What an older version let in, by statements on an account `bad`: how it is settled now.
BAD_ROWS = {
    "a voucher without end": (["UPDATE voucher SET expires_at = 253402387139 WHERE account = 'bad'"], True),
    "an instance that ends after the calendar": (
        ["UPDATE instance SET expires_at = 9223372036854775807, ended_at = -9223372036854775807 WHERE id = 'bad-s'"],
        True,
    ),
    "counters that pass 64 bits together": (
        [
            "INSERT INTO counter SELECT 'ce:x', account, instance, region, service, meter, hour, 9223372036854775807"
            " FROM counter WHERE account = 'bad'"
        ],
        False,
    ),
    "a wallet at the end of 64 bits": (
        [
            "UPDATE wallet SET balance_e8 = 9223372036854775807 WHERE account = 'bad' AND bucket IN ('cash', 'gift')",
        ],
        True,
    ),
    "a wallet that owes 64 bits": (
        ["UPDATE wallet SET balance_e8 = -9223372036854775807 WHERE account = 'bad' AND bucket = 'cash'"],
        False,
    ),
    "a mark of an hour before the calendar": (["INSERT INTO dirty VALUES ('bad', -900000000)"], False),
    "an order that passes 64 bits with another": (
        [
            "INSERT INTO orders (account, at, kind, ref, list_e8, voucher_e8, gift_e8, income_e8, cash_e8) VALUES"
            " ('bad', 1704850000, 'pack', 'x', 9223372036854775807, 0, 9223372036854775807, 0, 0),"
            " ('bad', 1704850000, 'pack', 'y', 9223372036854775807, 0, 9223372036854775807, 0, 0)"
        ],
        True,
    ),
    "a position at the end of 64 bits": (
        ["INSERT INTO ladder VALUES ('bad', 'calls', '2024-01', 9223372036854775807)"],
        False,
    ),
}


@pytest.mark.parametrize("statements, is_settled", BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_row_that_is_bad_already_is_its_accounts_own(engine: Engine, statements: list[str], is_settled: bool) -> None:
    world = World(engine, cash=100)
    billing = world.billing
    billing.open_account("bad", at("2024-01-01 00:00"), has_free_quota=False, alert_below_e8=1)
    billing.open_shared_instance("bad", "bad-s", "ap-guangzhou", NOW)
    billing.give_voucher("bad", "v", 1, NOW + 10**6, NOW)
    for account, instance in (("a", "s1"), ("bad", "bad-s")):
        count(engine, "2024-01-10 09:10", 10_000, instance=instance, account=account)
    with transaction(engine) as connection:
        for statement in statements:
            connection.execute(text(statement))
    # A start, a tick, and all that is shown.
    billing = world.reopened()
    if is_settled:
        billing.settle(NOW, lambda hour: True)
    else:
        with pytest.raises(LedgerFault, match=r"^not settled: bad: [^;]*$"):
            billing.settle(NOW, lambda hour: True)
    assert [line["amount"] for line in billing.bill_lines("a", "2024-01")] == ["0.00890000"]
    assert [document["id"] for document in billing.accounts()] == ["a", "bad"]
    for account in ("a", "bad"):
        billing.account(account)
        billing.statement(account, "2024-01", NOW)
        billing.focus(account, "2024-01")
        with suppress(Refused):
            billing.what_if(account, "2024-01", now=NOW)
    assert len(billing.balances()) == 2
    billing.settlements()
    billing.reconcile(repair=True)
    assert billing.due_notifications({"bad": ["mail"]}, NOW, "mail", 100) is not None
    billing.set_alert("bad", 2, NOW)
    assert read_e8(str(billing.top_up("a", cash=1, now=NOW)["cash"])) == 1


def test_who_owes_nothing_is_billed_whatever_it_comes_to_and_who_owes_up_to_a_bound(engine: Engine) -> None:
    """So that an account is never served for nothing because it used too much: it is in arrears first."""
    world = World(engine, cash=1)
    world.billing.open_account("b", at("2024-01-01 00:00"), has_free_quota=False)
    world.billing.open_shared_instance("b", "b-s", "ap-guangzhou", NOW)
    most = 10 * DEBT_MAX_E8 // 89
    world.count("2024-01-10 08:10", most - 10**7)
    assert world.billing.settle(NOW, lambda hour: True).settlements == 1
    assert world.document()["state"] == "arrears"
    world.count("2024-01-10 09:10", 10**15)
    count(engine, "2024-01-10 09:10", 1, instance="b-s", account="b")
    with pytest.raises(LedgerFault, match=r"^not settled: a: a would owe more than the 1,000,000,000"):
        world.billing.settle(NOW, lambda hour: True)
    assert len(world.billing.settlements("b")) == 1
    # It is suspended like any other that does not pay.
    with pytest.raises(LedgerFault):
        world.billing.settle(NOW + 86_402, lambda hour: True)
    assert world.document()["state"] == "suspended"
