"""What the store does not follow the file in is said, place by place."""

from typing import Any

import pytest

from billing.service import Billing
from config.schema import Account, Prepaid
from tests.billing.test_enrolment import BY_SECOND, NOW, SHARED, billing, settings  # noqa: F401  (a fixture)


def test_what_is_as_it_was_is_no_difference(billing: Billing) -> None:  # noqa: F811
    wish = settings(SHARED, BY_SECOND)
    billing.sync(wish, NOW)
    assert billing.differences(wish) == []
    assert billing.differences(settings(SHARED, {**BY_SECOND, "id": "other", "spec": "dedicated-5000"})) == []


@pytest.mark.parametrize(
    "changed",
    [{"free_quota": True}, {"currency": "CNY"}, {"activated_at": 1_700_000_000}, {"entity": "another"}],
)
def test_an_account_keeps_what_it_was_opened_with(billing: Billing, changed: dict[str, Any]) -> None:  # noqa: F811
    wish = settings()
    billing.sync(wish, NOW)
    before = billing.account("a")
    accounts = tuple(Account.model_construct(**{**dict(one), **changed}) for one in wish.accounts)
    now = wish.model_copy(update={"accounts": accounts})
    billing.sync(now, NOW)
    (told,) = billing.differences(now)
    assert told.startswith(f"accounts[0].{next(iter(changed))}: a keeps ")
    assert billing.account("a") == before


@pytest.mark.parametrize(
    "name, value",
    [("spec", "dedicated-5000"), ("region", "ap-shanghai"), ("charge", Prepaid(prepaid_months=1))],
)
def test_an_instance_is_billed_as_it_was_bought(billing: Billing, name: str, value: Any) -> None:  # noqa: F811
    billing.sync(settings(SHARED, BY_SECOND), NOW)
    now = settings(SHARED, BY_SECOND)
    changed = now.instances[1].model_copy(update={name: value})
    now = now.model_copy(update={"instances": (now.instances[0], changed)})
    billing.sync(now, NOW)
    (told,) = billing.differences(now)
    assert told.startswith(f"instances[1].{name}: d is billed by ")


def test_another_opening_is_told_of(billing: Billing) -> None:  # noqa: F811
    billing.sync(settings(), NOW)
    (told,) = billing.sync(settings(cash=500), NOW)["refused"]
    assert (told["account"], "once" in told["reason"]) == ("a", True)
