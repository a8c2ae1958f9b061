"""Buying, explaining, exporting: on the store and over the admin API."""

import csv
import io
from pathlib import Path

import pytest

from billing.focus import COLUMNS
from tests.billing.world import count_rows
from tests.gateway.admin.desk import DeskNode
from tests.gateway.commands.conftest import Tollgate
from tests.gateway.control.configuration import write_config
from tests.node import free_port


def test_a_prepaid_instance_is_bought_renewed_and_given_back(tollgate: Tollgate) -> None:
    wish = ("--account", "acme", "--spec", "dedicated-2500", "--region", "ap-guangzhou", "--price", "9.00")
    assert tollgate("instance", "buy", "d", *wish, "--months", "1", "--json").document["id"] == "d"
    assert tollgate("instance", "renew", "d", "--months", "2").code == 0
    assert tollgate("instance", "refund", "d").code == 0
    again = tollgate("instance", "refund", "d")
    assert (again.code, again.errors.split(":")[1]) == (1, " not_active")
    assert "not_found" in tollgate("instance", "release", "nothing").errors


@pytest.mark.parametrize("months", ["9" * 12, "9" * 40])
def test_a_number_of_months_that_nobody_can_have_is_refused(tollgate: Tollgate, months: str) -> None:
    """Over the admin API one of more than 64 bits was an unforeseen error."""
    for words in (
        ("instance", "renew", "acme-shared", "--months", months),
        ("instance", "buy", "d", "--account", "acme", "--spec", "dedicated-2500", "--region", "ap-guangzhou",
         "--bind", "127.0.0.1:20001", "--months", months),
        ("pack", "buy", "--account", "acme", "--meter", "calls", "--quantity", "5", "--months", months,
         "--price", "1.00"),
    ):  # fmt: skip
        refused = tollgate(*words)
        assert refused.code in (1, 2), words
        assert "unforeseen" not in refused.errors, refused.errors


def test_one_paid_by_the_second_is_released(tollgate: Tollgate) -> None:
    wish = ("--account", "acme", "--spec", "dedicated-2500", "--region", "ap-guangzhou")
    assert tollgate("instance", "buy", "sec", *wish, "--idempotency-key", "k").code == 0
    assert tollgate("instance", "buy", "sec", *wish, "--idempotency-key", "k").code == 0
    assert tollgate("instance", "release", "sec").code == 0
    assert "region: unknown region" in tollgate("instance", "buy", "x", *wish[:4], "--region", "moon").errors


def test_it_is_said_whether_a_bought_instance_serves(tollgate: Tollgate) -> None:
    wish = ("--account", "acme", "--spec", "dedicated-2500", "--region", "ap-guangzhou")
    assert tollgate("instance", "buy", "x", *wish).errors == "x is bought; it serves once the node's file has x\n"
    bind = f"127.0.0.1:{free_port()}"
    assert tollgate("instance", "buy", "y", *wish, "--entry", bind).errors == "y is bought\n"
    taken = tollgate("instance", "buy", "z", *wish, "--entry", "127.0.0.1:18443", "--network", "moon")
    assert (taken.code, "entry[0].network: input should be 'internet' or 'vpc'" in taken.errors) == (1, True)


def test_what_if_needs_wishes_that_make_sense(tollgate: Tollgate) -> None:
    asked = ("whatif", "--account", "acme", "--month", "2026-01")
    found = tollgate(*asked, "--price-book", "cny", "--json").document
    assert (found["what_if"], found["currency"]) == ("0.00000000", "CNY")
    pack = ("--meter", "egress", "--quantity", "10GiB", "--months", "1", "--price", "1.50")
    assert tollgate(*asked, *pack, "--json").document["parts"]["pack"] == "1.50000000"
    assert "1.50000000" in tollgate(*asked, *pack).out
    assert tollgate(*asked, "--meter", "egress").code == 2
    assert "spec: one of dedicated-2500" in tollgate(*asked, "--spec", "huge").errors


def test_a_sound_store_reconciles(tollgate: Tollgate) -> None:
    outcome = tollgate("reconcile", "--json")
    assert (outcome.code, outcome.document) == (0, [])
    assert tollgate("reconcile", "--repair").code == 0


@pytest.fixture
def billed(tmp_path: Path) -> tuple[str, str]:
    """The file of a node that billed an hour, and the bill's month."""
    node = DeskNode(tmp_path)
    now = node.store.clock.now()
    hour = int(now) // 3600 - 1
    count_rows(node.store.engine, hour, {"calls": 1500}, account="acme", instance="acme-shared")
    node.store.biller.settle(now, lambda hour: True)
    month = next(iter(node.store.office.bills(_of_acme())["bills"]))
    node.close()
    return str(write_config(tmp_path)), month


def _of_acme() -> object:
    from gateway.control.filter import Filter

    return Filter(account="acme")


def test_a_line_of_the_bill_is_explained_by_its_number(bare: Tollgate, billed: tuple[str, str]) -> None:
    config, _ = billed
    table = bare("bill", "-c", config).out
    number = table.splitlines()[2].split()[0]
    found = bare("explain", number, "--json", "-c", config).document
    assert found["counters"][0]["value"] == 1500
    assert "counted by w" in bare("explain", number, "-c", config).out
    missing = bare("explain", "999", "-c", config)
    assert (missing.code, missing.errors.split(":")[1]) == (1, " not_found")


def test_the_bill_as_focus_and_as_a_page(bare: Tollgate, billed: tuple[str, str]) -> None:
    config, month = billed
    rows = list(csv.DictReader(io.StringIO(bare("bill", "--focus", "--month", month, "-c", config).out)))
    assert tuple(rows[0]) == COLUMNS
    assert {row["ChargeCategory"] for row in rows} == {"Usage"}
    page = bare("bill", "--html", "--month", month, "-c", config).out
    assert page.startswith("<!doctype html>") and f"Statement {month}" in page
    assert bare("bill", "--html", "-c", config).code == 2
    assert bare("bill", "--focus", "--csv", "--month", month, "-c", config).code == 2


def test_a_contradiction_is_1_and_named(bare: Tollgate, tmp_path: Path, billed: tuple[str, str]) -> None:
    from sqlalchemy import text

    from metering.database import open_engine, transaction

    engine = open_engine(f"sqlite:///{tmp_path}/data/tollgate.db")
    with transaction(engine) as connection:
        connection.execute(text("UPDATE wallet SET balance_e8 = balance_e8 + 1 WHERE bucket = 'cash'"))
    engine.dispose()
    outcome = bare("reconcile", "-c", billed[0])
    assert outcome.code == 1
    assert "wallet account:acme:cash" in outcome.out


def test_a_reason_is_no_formula_in_an_export(bare: Tollgate, tmp_path: Path, billed: tuple[str, str]) -> None:
    config, month = billed
    node = DeskNode(tmp_path)
    line = node.store.biller.bill_lines("acme", month)[0]
    wish = {"hour": line["hour"], "instance": line["instance"], "meter": "calls", "amount": "1.00"}
    node.store.office.adjust("acme", {**wish, "reason": "=cmd|' /C calc'!A0"}, None)
    node.close()
    rows = list(csv.DictReader(io.StringIO(bare("bill", "--focus", "--month", month, "-c", config).out)))
    [adjustment] = (row for row in rows if row["ChargeCategory"] == "Adjustment")
    assert adjustment["ChargeDescription"] == "'=cmd|' /C calc'!A0"
    assert adjustment["BilledCost"] == "-1.00000000"
