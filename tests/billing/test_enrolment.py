"""The file names the desired state: carried out once, again and again."""

from typing import Any

import pytest

from billing.service import Billing
from billing.tables import create_all
from config.catalog import load_catalog
from config.money import E8
from config.prices import load_price_book
from config.schema import Account, InstanceSettings, Node, Opening, Prepaid, Settings
from metering.database import open_engine, transaction
from tests.billing.world import at

NOW = at("2024-02-01 00:00")
SHARED = {"id": "s", "account": "a", "type": "shared", "region": "ap-guangzhou"}
BY_SECOND = {
    "id": "d",
    "account": "a",
    "type": "dedicated",
    "region": "ap-guangzhou",
    "spec": "dedicated-2500",
    "charge": "payg",
}


def settings(*instances: dict[str, Any], cash: int = 100) -> Settings:
    account = {"id": "a", "activated_at": "2024-01-15T09:00:00+08:00", "free_quota": False}
    return Settings(
        version=1,
        node=Node.model_construct(data_dir=None),
        accounts=(Account(**account, opening=Opening.model_construct(cash=cash * E8, gift=0, income=0)),),
        instances=tuple(InstanceSettings(**instance) for instance in instances),
    )


@pytest.fixture
def billing() -> Billing:
    engine = open_engine("sqlite://")
    with transaction(engine) as connection:
        create_all(connection)
    return Billing(engine, load_price_book("usd"), load_catalog(), is_migrated=True)


def test_a_file_is_carried_out_once(billing: Billing) -> None:
    wish = settings(SHARED, BY_SECOND)
    assert billing.sync(wish, NOW) == {"refused": []}
    before = billing.account("a")
    assert billing.sync(wish, NOW + 60) == {"refused": []}
    assert billing.account("a") == before
    assert billing.entitlements() == {"s": True, "d": True}
    assert billing.balances() == [("a", "USD", 100 * E8)]


def test_another_opening_does_not_pay_again(billing: Billing) -> None:
    billing.sync(settings(), NOW)
    billing.sync(settings(cash=500), NOW)
    assert billing.balances() == [("a", "USD", 100 * E8)]


def test_what_left_the_file_is_released_and_may_come_back(billing: Billing) -> None:
    billing.sync(settings(SHARED, BY_SECOND), NOW)
    billing.sync(settings(), NOW + 60)
    assert billing.entitlements() == {"s": False, "d": False}
    assert billing.account("a")["wallet"]["held"] == "0.00000000"
    billing.sync(settings(SHARED, BY_SECOND), NOW + 120)
    assert billing.entitlements() == {"s": True, "d": True}


def test_a_prepaid_instance_runs_on_without_the_file(billing: Billing) -> None:
    prepaid = {**BY_SECOND, "charge": Prepaid(prepaid_months=1)}
    billing.sync(settings(prepaid, cash=5000), NOW)
    billing.sync(settings(cash=5000), NOW + 60)
    assert billing.entitlements() == {"d": True}


def test_instances_of_the_desk_are_none_of_the_files_business(billing: Billing) -> None:
    billing.sync(settings(), NOW)
    billing.open_shared_instance("a", "mine", "ap-guangzhou", NOW)
    billing.sync(settings(), NOW)
    assert billing.entitlements() == {"mine": True}


def test_a_purchase_that_cannot_be_paid_is_made_when_it_can(billing: Billing) -> None:
    assert billing.sync(settings(BY_SECOND, cash=0), NOW) == {
        "refused": [{"instance": "d", "reason": "insufficient_funds"}]
    }
    billing.settle(NOW + 60, lambda hour: True)
    assert billing.entitlements() == {}
    billing.top_up("a", cash=10 * E8, now=NOW + 90)
    billing.settle(NOW + 120, lambda hour: True)
    assert billing.entitlements() == {"d": True}


def test_a_suspended_account_serves_nothing(billing: Billing) -> None:
    billing.sync(settings(SHARED, BY_SECOND, cash=1), NOW)
    for hours in (24, 49):
        billing.settle(NOW + hours * 3600, lambda hour: True)
    assert billing.account("a")["state"] == "suspended"
    assert billing.entitlements() == {"s": False, "d": False}
    billing.top_up("a", cash=100 * E8, now=NOW + 50 * 3600)
    assert billing.entitlements() == {"s": True, "d": True}


def test_p12_a_node_that_was_away_at_midnight_gives_the_days_alert_when_it_starts(billing: Billing) -> None:
    low = settings(cash=1)
    low = low.model_copy(
        update={"accounts": tuple(one.model_copy(update={"alert_below": 2 * E8}) for one in low.accounts)}
    )
    billing.sync(low, NOW)
    billing.sync(low, NOW + 26 * 3600)
    billing.settle(NOW + 26 * 3600, lambda hour: True)
    billing.settle(NOW + 27 * 3600, lambda hour: True)
    assert [told["kind"] for told in billing.account("a")["notifications"]] == ["balance_alert", "balance_alert"]


def test_what_a_destroyed_account_had_is_made_anew_by_the_file_and_by_nobody_else(billing: Billing) -> None:
    """While it is destroyed they are reported; once it paid, the next sync makes its shared one (P13)."""
    wish = settings(SHARED, BY_SECOND, cash=1)
    billing.sync(wish, NOW)
    now = NOW
    while billing.account("a")["state"] != "destroyed":
        now = billing.next_instant() or now
        billing.settle(now, lambda hour: True)
    assert billing.destructions() == {"a": now}
    refused = [{"instance": "s", "reason": "destroyed"}, {"instance": "d", "reason": "exists"}]
    assert billing.sync(wish, now + 60)["refused"] == refused
    billing.top_up("a", cash=100 * E8, now=now + 120)
    billing.settle(now + 180, lambda hour: True)
    assert (billing.account("a")["state"], billing.entitlements()) == ("active", {"s": False, "d": False})
    assert billing.sync(wish, now + 240)["refused"] == [{"instance": "d", "reason": "exists"}]
    assert billing.entitlements() == {"s": True, "d": False}
    assert billing.destructions() == {"a": now}, "known for ever: what was configured before it is gone"
    bought = {"spec": "dedicated-2500", "region": "ap-guangzhou", "now": now + 300}
    billing.buy_instance("a", "d", **bought)
    assert billing.entitlements() == {"s": True, "d": True}
