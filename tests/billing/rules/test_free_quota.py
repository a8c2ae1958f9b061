"""RULES A.2, B14 to B20: the first year's free quota. B20 is in test_operator.py."""

from typing import Any

import pytest

from tests.billing.rules.bill import by_id, lines
from tests.billing.world import GIB, account_of, prepaid, simulate, top_up, use

GUIDE = {"activated_at": "2019-11-10T17:13:14+08:00", "free_quota": True}


def test_b14_a_million_calls_and_a_gigabyte_in_each_period() -> None:
    document = account_of(until="2019-11-11 00:00", **GUIDE)
    assert [(p["id"], p["total"], p["source"]) for p in document["packs"]] == [
        ("free-calls-1", 1_000_000, "free"),
        ("free-egress-1", GIB, "free"),
    ]


def test_b15_twelve_grants_and_what_is_left_of_one_is_void_when_the_next_begins() -> None:
    document = account_of(
        use("2019-11-20 10:00", calls=10),
        use("2019-12-20 10:00", calls=1_000_001),
        until="2021-01-01 00:00",
        **GUIDE,
    )
    packs = by_id(document["packs"])
    assert len(packs) == 24
    assert packs["free-calls-1"]["used"] == 10
    assert lines(document, "2019-12", "pack", "quantity") == [("free-calls-2", 1_000_000), (None, 1)]


def test_b16_the_grant_covers_the_whole_account_dedicated_egress_too() -> None:
    document = account_of(
        top_up("2024-02-01 00:00", "500.00"),
        prepaid("2024-02-01 10:00", region="ap-hongkong"),
        use("2024-02-01 10:00", "d1", out_client=GIB // 2),
        use("2024-02-01 10:00", out_client=GIB // 4, out_backend=GIB // 4),
        until="2024-02-01 11:00",
        free_quota=True,
    )
    assert {line[0] for line in lines(document, "2024-02", "cover")} == {"free"}
    assert by_id(document["packs"])["free-egress-2"]["used"] == GIB


def test_b17_it_is_there_without_asking_and_cannot_be_given_back() -> None:
    output = simulate(
        {"at": "2024-01-01 00:00", "do": "refund_pack", "id": "free-egress-1"},
        until="2024-01-02 00:00",
        free_quota=True,
    )
    assert output["refused"] == [{"event": 0, "reason": "pack_source"}]
    assert output["accounts"]["a"]["packs"][0]["valid_from"] == "2023-12-31T16:00:00Z"


def test_b17_also_where_the_account_has_nothing_else() -> None:
    from pathlib import Path

    from billing.scenario import parse_scenario
    from billing.simulation import run

    now = "2024-01-01T00:00:00+08:00"
    document: dict[str, Any] = {
        "accounts": [{"id": "a", "currency": "USD", "activated_at": now}],
        "events": [{"at": now, "do": "refund_pack", "id": "free-calls-1"}],
        "until": now,
    }
    assert run(parse_scenario(document, Path()))["refused"] == [{"event": 0, "reason": "pack_source"}]


@pytest.mark.parametrize(
    ("at", "covered"),
    [
        ("2019-11-10 17:13:14", "free-calls-1"),
        ("2019-12-09 23:59:59", "free-calls-1"),
        ("2019-12-10 00:00:00", "free-calls-2"),
        ("2020-10-09 23:59:59", "free-calls-11"),
        ("2020-10-10 00:00:00", "free-calls-12"),
        ("2020-11-10 23:59:59", "free-calls-12"),
        ("2020-11-11 00:00:00", None),
    ],
)
def test_b18_the_guides_dates(at: str, covered: str | None) -> None:
    document = account_of(use(at, calls=1), until="2020-12-01 00:00", **GUIDE)
    assert lines(document, at[:7], "pack") == [(covered,)]


def test_b19_free_then_pack_then_money() -> None:
    document = account_of(
        top_up("2024-02-02 00:00", "10.00"),
        {"at": "2024-02-02 00:00", "do": "buy_pack", "account": "a", "id": "p", "meter": "calls", "quantity": 500,
         "months": 1, "price": "1.00", "source": "purchase"},
        use("2024-02-02 00:10", calls=1_000_700),
        until="2024-02-02 01:00",
        free_quota=True,
    )  # fmt: skip
    assert lines(document, "2024-02", "cover", "quantity", "amount", "list", "pack") == [
        ("free", 1_000_000, "0.00000000", "0.89000000", "free-calls-2"),
        ("pack", 500, "0.00000000", "0.00044500", "p"),
        ("payg", 200, "0.00017800", "0.00017800", None),
    ]
