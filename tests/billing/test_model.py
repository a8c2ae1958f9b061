"""Random histories: the product and the model of `model.py` come to the same bills, packs and balance."""

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.scenario import parse_scenario
from billing.simulation import run
from config.money import format_e8
from tests.billing.model import GIB, HOUR, Model, ModelPack
from tests.billing.world import at

# Two days over a month's end, with the bill of January still open.
START = at("2024-01-30 12:00")
HOURS = 48
REGIONS = {"gz": "ap-guangzhou", "hk": "ap-hongkong", "zj": "ap-guangzhou"}
TIERS = [(40, "0.0089"), (90, "0.0059"), (None, "0.0045")]

hours = st.integers(0, HOURS - 1)
usage = st.fixed_dictionaries(
    {
        "do": st.just("usage"),
        "hour": hours,
        "instance": st.sampled_from(sorted(REGIONS)),
        "calls": st.integers(0, 60),
        "out_client": st.integers(0, GIB),
        "out_backend": st.integers(0, 5000),
        "late": st.sampled_from([0, 0, 1, 7]),
    }
)
packs = st.fixed_dictionaries(
    {
        "do": st.just("buy_pack"),
        "hour": hours,
        "meter": st.sampled_from(["calls", "egress"]),
        "size": st.integers(1, 99),
    }
)
prices = st.fixed_dictionaries(
    {"do": st.just("price"), "hour": hours, "calls": st.booleans(), "price": st.sampled_from(["0.07", "1.00000001"])}
)
histories = st.lists(st.one_of(usage, usage, usage, packs, prices), max_size=14).map(
    lambda events: sorted(events, key=lambda event: event["hour"])
)


def scenario_of(history: list[dict[str, Any]]) -> dict[str, Any]:
    events: list[dict[str, Any]] = [{"at": time(START - 10), "do": "top_up", "account": "a", "cash": "1000000.00"}]
    for number, event in enumerate(history):
        instant = START + event["hour"] * HOUR + 600
        common = {"at": time(instant), "do": event["do"]}
        match event["do"]:
            case "usage":
                units = {key: event[key] for key in ("instance", "calls", "out_client", "out_backend")}
                events.append({**common, **units, "arrives_at": time(instant + event["late"] * HOUR)})
            case "buy_pack":
                size = event["size"] * (1 if event["meter"] == "calls" else GIB // 50)
                wish = {"meter": event["meter"], "quantity": size, "months": 1, "price": "1.00"}
                events.append({**common, "account": "a", "id": f"p{number}", **wish})
            case "price" if event["calls"]:
                events.append({**common, "sku": "calls", "tiers": [[30, event["price"]], [None, "0.0045"]]})
            case "price":
                events.append({**common, "sku": "egress", "region": "ap-guangzhou", "price": event["price"]})
    return {
        "accounts": [{"id": "a", "currency": "USD", "activated_at": time(at("2024-01-01 00:00")), "free_quota": False}],
        "instances": [{"id": id, "account": "a", "type": "shared", "region": region} for id, region in REGIONS.items()],
        "events": [{"at": time(START - 20), "do": "price", "sku": "calls", "tiers": [list(t) for t in TIERS]}, *events],
        "until": time(START + (HOURS + 10) * HOUR),
    }


def modelled(history: list[dict[str, Any]]) -> Model:
    first = START // HOUR
    model = Model(
        [
            (0, "calls", None, [(up_to, Fraction(price)) for up_to, price in TIERS]),
            (0, "egress", "ap-guangzhou", [(None, Fraction("0.12"))]),
            (0, "egress", "ap-hongkong", [(None, Fraction("0.15"))]),
        ]
    )
    arrivals: dict[int, dict[int, list[tuple[str, str, str, int]]]] = {}
    for number, event in enumerate(history):
        hour = first + event["hour"]
        match event["do"]:
            case "usage":
                rows = arrivals.setdefault(hour + 1 + event["late"], {}).setdefault(hour, [])
                for meter in ("calls", "out_client", "out_backend"):
                    rows.append((meter, REGIONS[event["instance"]], event["instance"], event[meter]))
            case "buy_pack":
                size = event["size"] * (1 if event["meter"] == "calls" else GIB // 50)
                model.packs.append(ModelPack(f"p{number}", event["meter"], False, hour, hour + 720, size, number))
            case "price" if event["calls"]:
                tiers = [(30, Fraction(event["price"])), (None, Fraction("0.0045"))]
                model.prices.append((hour + 1, "calls", None, tiers))
            case "price":
                model.prices.append((hour + 1, "egress", "ap-guangzhou", [(None, Fraction(event["price"]))]))
    new_month = at("2024-02-01 00:00") // HOUR
    for tick in sorted(arrivals):
        for hour, rows in sorted(arrivals[tick].items()):
            model.settle(hour, "2024-01" if hour < new_month else "2024-02", merged(rows))
    return model


def merged(rows: list[tuple[str, str, str, int]]) -> list[tuple[str, str, str, int]]:
    sums: dict[tuple[str, str, str], int] = {}
    for *key, units in rows:
        sums[key[0], key[1], key[2]] = sums.get((key[0], key[1], key[2]), 0) + units
    return [(*key, units) for key, units in sums.items()]


def time(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).isoformat()


@settings(max_examples=60, deadline=None)
@given(histories)
def test_random_histories_come_to_what_the_rules_say(history: list[dict[str, Any]]) -> None:
    output = run(parse_scenario(scenario_of(history), Path()))
    assert output["refused"] == []
    account = output["accounts"]["a"]
    model = modelled(history)
    totals_e8 = model.totals_e8()
    assert {month: bill["total"] for month, bill in account["bills"].items() if float(bill["total"])} == {
        month: format_e8(total_e8) for month, total_e8 in totals_e8.items() if total_e8
    }
    assert {pack["id"]: pack["total"] - pack["used"] for pack in account["packs"]} == {
        pack.id: pack.left for pack in model.packs
    }
    spent_e8 = sum(totals_e8.values()) + len(model.packs) * 10**8
    assert account["wallet"]["cash"] == format_e8(1_000_000 * 10**8 - spent_e8)
