from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from billing.commands import simulate
from billing.scenario import load_scenario, parse_scenario
from config.errors import ConfigError

GOOD = """
price_book: usd
accounts: [{id: a, entity: e1, currency: USD, activated_at: "2019-11-10T17:13:14+08:00", free_quota: true}]
instances: [{id: s1, account: a, type: shared, region: ap-guangzhou}]
events:
  - {at: "2020-12-01T00:00:00+08:00", do: top_up, account: a, cash: "100.00", gift: "0", income: "0"}
  - {at: "2020-12-01T00:00:00Z", do: buy_pack, account: a, id: p1, meter: calls, quantity: 5, months: 3, price: "3.5"}
  - {at: "2020-12-02T00:00:00+08:00", do: refund_pack, id: p1}
  - {at: "2020-12-02T00:00:00+08:00", do: usage, instance: s1, calls: 5}
  - {at: "2020-12-03T00:00:00+08:00", do: price, sku: calls, tiers: [[10, "0.0089"], [null, "0.0045"]]}
until: "2021-01-02T00:00:00+08:00"
"""

APP = typer.Typer()
APP.command()(simulate)


def faults(change: Any) -> list[str]:
    document = yaml.safe_load(GOOD)
    change(document)
    with pytest.raises(ConfigError) as caught:
        parse_scenario(document, Path())
    return [str(fault) for fault in caught.value.faults]


def put(*path: Any) -> Any:
    """A change: follow the path, and set the last key to the last value."""
    *keys, key, value = path

    def change(document: Any) -> None:
        for one in keys:
            document = document[one]
        document[key] = value

    return change


def test_a_good_scenario_has_no_fault() -> None:
    scenario = parse_scenario(yaml.safe_load(GOOD), Path())
    assert len(scenario.events) == 5


@pytest.mark.parametrize(
    ("change", "path"),
    [
        pytest.param(put("hello", 1), "hello", id="unknown key"),
        pytest.param(put("events", 0, "bonus", "1.00"), "events[0].bonus", id="unknown key of an event"),
        pytest.param(put("instances", 0, "region", "ap-atlantis"), "instances[0].region", id="unknown region"),
        pytest.param(put("instances", 0, "type", "dedicated"), "instances[0].type", id="dedicated ones are bought"),
        pytest.param(put("instances", 0, "account", "b"), "instances[0].account", id="account declared nowhere"),
        pytest.param(put("events", 3, "instance", "s9"), "events[3].instance", id="instance declared nowhere"),
        pytest.param(put("events", 2, "id", "p9"), "events[2].id", id="pack declared nowhere"),
        pytest.param(put("events", 0, "cash", 100.0), "events[0].cash", id="money as a float"),
        pytest.param(put("events", 0, "cash", 100), "events[0].cash", id="money as an integer"),
        pytest.param(put("events", 0, "cash", "-1.00"), "events[0].cash", id="negative money"),
        pytest.param(put("events", 0, "cash", "0.000000001"), "events[0].cash", id="nine decimals"),
        pytest.param(put("events", 3, "calls", -1), "events[3].calls", id="negative number"),
        pytest.param(put("events", 3, "calls", True), "events[3].calls", id="a truth value is no number"),
        pytest.param(put("events", 3, "calls", "5"), "events[3].calls", id="text is no number"),
        pytest.param(put("events", 1, "source", "free"), "events[1].source", id="no free pack can be bought (P4)"),
        pytest.param(put("events", 1, "meter", "ingress"), "events[1].meter", id="unknown meter"),
        pytest.param(put("events", 3, "at", "2020-01-01T00:00:00+08:00"), "events[3].at", id="unsorted"),
        pytest.param(put("events", 3, "at", "2020-12-02T00:00:00"), "events[3].at", id="a time without offset"),
        pytest.param(put("events", 3, "at", "soon"), "events[3].at", id="no time"),
        pytest.param(
            put("events", 3, "arrives_at", "2020-12-01T00:00:00+08:00"),
            "events[3].arrives_at",
            id="arrives before it happened",
        ),
        pytest.param(put("events", 0, "do", "dance"), "events[0].do", id="unknown event"),
        pytest.param(put("events", 0, "text"), "events[0]", id="no mapping"),
        pytest.param(
            put("events", 4, "tiers", [[10, "1"], [5, "1"], [None, "1"]]), "events[4].tiers", id="falling tiers"
        ),
        pytest.param(put("events", 4, "tiers", [[10, "1"]]), "events[4].tiers", id="no open tier"),
        pytest.param(put("events", 4, "region", "ap-guangzhou"), "events[4].region", id="calls have no region"),
        pytest.param(put("accounts", 0, "activated_at", None), "accounts[0].activated_at", id="no activation"),
        pytest.param(put("accounts", 0, "activated_at", "1990-01-01T00:00:00Z"), "accounts[0].activated_at", id="1990"),
        pytest.param(
            put("accounts", 0, "activated_at", "9999-12-31T23:59:59-23:59"), "accounts[0].activated_at", id="year 10000"
        ),
        pytest.param(put("accounts", 0, "entity", "a\x1b[0m"), "accounts[0].entity", id="a control character"),
        pytest.param(put("until", "2200-01-01T00:00:00Z"), "until", id="until is too late"),
        pytest.param(put("until", "2024-W05-1T00:00:00Z"), "until", id="until is no RFC 3339"),
        pytest.param(put("events", 4, "tiers", [[None, "1000.01"]]), "events[4].tiers[0][1]", id="a price too large"),
        pytest.param(
            put("accounts", 0, "alert_below", "1000000000.01"), "accounts[0].alert_below", id="an amount too large"
        ),
        pytest.param(put("price_book", "nowhere.yaml"), "price_book", id="no such price book"),
        pytest.param(put("price_book", 5), "price_book", id="price book no text"),
        pytest.param(put("until", None), "until", id="until no time"),
        pytest.param(put("events", {}), "events", id="events no list"),
        pytest.param(lambda document: document.pop("until"), "until", id="until missing"),
        pytest.param(
            lambda document: document["accounts"].append(dict(document["accounts"][0])), "accounts[1].id", id="twice"
        ),
    ],
)
def test_a_fault_names_its_place(change: Any, path: str) -> None:
    assert [fault.split(": ")[0] for fault in faults(change)] == [path]


@pytest.mark.parametrize(
    ("event", "path"),
    [
        pytest.param({"spec": "dedicated-1"}, "events[5].spec", id="unknown spec"),
        pytest.param({"charge": "prepaid"}, "events[5].months", id="prepaid without months"),
        pytest.param({"months": 1}, "events[5].months", id="by the second with months"),
        pytest.param({"region": "nowhere"}, "events[5].region", id="unknown region"),
    ],
)
def test_faults_of_instance_purchases(event: dict[str, Any], path: str) -> None:
    good = {"at": "2020-12-04T00:00:00+08:00", "do": "buy_instance", "account": "a", "id": "d1"}
    wish = {"spec": "dedicated-2500", "region": "ap-guangzhou", "charge": "payg", "price": "0.1"}
    found = faults(lambda document: document["events"].append({**good, **wish, **event}))
    assert [fault.split(": ")[0] for fault in found] == [path]


def test_egress_has_a_region_and_a_price_and_no_tiers() -> None:
    found = faults(put("events", 4, "sku", "egress"))
    assert [fault.split(": ")[0] for fault in found] == ["events[4].region", "events[4].price", "events[4].tiers"]


def test_a_step_back_shows_beside_another_fault() -> None:
    def change(document: Any) -> None:
        document["events"][1] |= {"at": "2020-01-01T00:00:00+08:00", "quantity": 0}

    found = faults(change)
    assert [fault.split(": ")[0] for fault in found] == ["events[1].quantity", "events[1].at"]


def test_all_faults_come_at_once() -> None:
    def change(document: Any) -> None:
        document["events"][0]["cash"] = 1.5
        document["events"][3]["calls"] = -1
        document["instances"][0]["region"] = "x"
        document["extra"] = 1

    assert len(faults(change)) == 4


def test_a_grant_may_be_named_where_there_are_grants() -> None:
    document = yaml.safe_load(GOOD)
    document["events"][2]["id"] = "free-calls-1"
    parse_scenario(document, Path())
    document["accounts"][0]["free_quota"] = False
    with pytest.raises(ConfigError):
        parse_scenario(document, Path())


def test_no_mapping_and_no_file_are_faults(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        parse_scenario([], tmp_path)
    with pytest.raises(ConfigError):
        load_scenario(tmp_path / "none.yaml")


def test_a_price_book_is_found_beside_the_scenario(tmp_path: Path) -> None:
    book = Path(__file__).parents[2] / "config" / "prices" / "usd.yaml"
    (tmp_path / "mine.yaml").write_text(book.read_text().replace("ap-mumbai", "ap-elsewhere"))
    (tmp_path / "scenario.yaml").write_text(GOOD.replace("price_book: usd", "price_book: mine.yaml"))
    assert "ap-elsewhere" in load_scenario(tmp_path / "scenario.yaml").price_book.egress
    (tmp_path / "scenario.yaml").write_text(
        GOOD.replace("price_book: usd", "price_book: mine.yaml").replace("ap-guangzhou", "ap-mumbai")
    )
    with pytest.raises(ConfigError, match="no price"):
        load_scenario(tmp_path / "scenario.yaml")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (put("instances", 0, "type", "dedicated"),
         "instances[0].type: shared is needed: dedicated instances are bought, by an event (B40, B41)"),
        (put("instances", 0, "region", "ap-atlantis"), "instances[0].region: unknown region 'ap-atlantis' (B23)"),
        (put("events", 1, "source", "free"),
         "events[1].source: purchase or campaign is needed: the free quota is given, not bought (P4)"),
        (put("events", 1, "meter", "ingress"),
         "events[1].meter: calls or egress is needed: there are packs of no other meter (B28)"),
        (put("events", 4, "tiers", [[10, "1"], [5, "1"], [None, "1"]]),
         "events[4].tiers: bounds have to rise from above 0 and end with null (B21)"),
        (put("events", 4, "region", "ap-guangzhou"), "events[4].region: a price of calls has none (B21, X6)"),
        (put("events", 0, "cash", 0.1), 'events[0].cash: money is a quoted decimal string, as "12.34"'),
        (put("events", 3, "at", "2020-12-01T00:00:00+08:00"), "events[3].at: earlier than the event before it"),
        (put("events", 3, "arrives_at", "2020-12-01T00:00:00+08:00"),
         "events[3].arrives_at: usage cannot arrive before it happened"),
        (put("events", 2, "id", "p9"), "events[2].id: no pack 'p9' is declared"),
        (put("events", 3, "bonus", 1), "events[3].bonus: unknown key"),
    ],
)  # fmt: skip
def test_a_malformed_scenario_names_the_place_and_the_rule_and_nothing_runs(
    change: Any, fault: str, tmp_path: Path
) -> None:
    """As `tollgate simulate` says it: on stderr, with status 1, and no output."""
    document = yaml.safe_load(GOOD)
    change(document)
    (tmp_path / "scenario.yaml").write_text(yaml.safe_dump(document))
    outcome = CliRunner().invoke(APP, [str(tmp_path / "scenario.yaml")])
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (1, "", f"{fault}\n")
