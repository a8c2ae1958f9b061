"""The command line against the store of a node that does not run, and against an admin API that does."""

import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.control.lock import DataDirLock
from tests.gateway.admin.desk import TOKEN, DeskNode
from tests.gateway.commands.conftest import Tollgate
from tests.gateway.control.conditions import free_port
from tests.gateway.control.configuration import service, write_config

HOUR = 3600


def test_an_account_is_shown_and_topped_up_once_for_its_key(tollgate: Tollgate) -> None:
    before = tollgate("account", "show", "acme", "--json").document
    assert (before["id"], before["state"]) == ("acme", "active")
    for _ in range(2):
        assert tollgate("top-up", "10.00", "--gift", "1.00", "--idempotency-key", "k").code == 0
    after = tollgate("account", "show", "acme", "--json").document
    assert Decimal(after["balance"]) == Decimal(before["balance"]) + 11
    assert after["wallet"]["gift"] == "1.00000000"
    assert after["balance"] in tollgate("account", "show").out


def test_a_service_is_added_listed_and_removed(tollgate: Tollgate, tmp_path: Path) -> None:
    file = tmp_path / "service.yaml"
    file.write_text(json.dumps(service("extra", qps=10)))
    assert tollgate("service", "add", str(file), "--json").document["path"] == "/extra"
    again = tollgate("service", "add", str(file))
    assert (again.code, again.errors) == (1, "tollgate: exists: there is a service extra\n")
    listed = tollgate("service", "list", "--instance", "acme-shared", "--json").document
    assert [(one["id"], one["source"]) for one in listed] == [("orders", "file"), ("extra", "api")]
    assert "extra" in tollgate("service", "list").out
    assert tollgate("service", "remove", "extra").code == 0
    assert "extra" not in tollgate("service", "list").out
    assert tollgate("service", "remove", "orders").errors.startswith("tollgate: from_file:")


def test_an_invalid_service_is_refused_with_every_place(tollgate: Tollgate, tmp_path: Path) -> None:
    file = tmp_path / "service.yaml"
    file.write_text("id: extra\ninstance: acme-shared\ncolour: blue\nupstream: {targets: []}\n")
    outcome = tollgate("service", "add", str(file))
    assert outcome.code == 1
    assert "\ntollgate:   colour: unknown key\n" in outcome.errors
    assert "upstream.targets" in outcome.errors


def test_a_service_file_is_read_as_strictly_as_the_configuration(tollgate: Tollgate, tmp_path: Path) -> None:
    file = tmp_path / "service.yaml"
    upstream = "upstream: {targets: [{url: 'http://127.0.0.1:1', weight: 0x1}]}"
    file.write_text(f"id: extra\ninstance: acme-shared\nqps: 0100\nstrip_path: no\n{upstream}\n")
    outcome = tollgate("service", "add", str(file))
    assert outcome.code == 1
    for said in ("qps: 0100 is", "write 100,", "strip_path: no is", "upstream.targets[0].weight: 0x1 is"):
        assert said in outcome.errors
    file.write_text("id: extra\nid: other\n")
    assert f"{file}:2:1: the key 'id' stands twice" in tollgate("service", "add", str(file)).errors


def test_a_pack_is_bought_listed_and_given_back_once(tollgate: Tollgate) -> None:
    bought = tollgate("pack", "buy", "--account", "acme", "--meter", "egress", "--quantity", "10GiB",
                      "--months", "3", "--price", "1.00", "--json").document  # fmt: skip
    assert (bought["meter"], bought["total"]) == ("egress", 10 * 2**30)
    assert bought["id"] in tollgate("pack", "list").out
    assert tollgate("pack", "refund", bought["id"]).code == 0
    again = tollgate("pack", "refund", bought["id"])
    assert (again.code, again.errors.split(":")[1]) == (1, " pack_refunded")


def test_instances_are_listed_with_their_limits(tollgate: Tollgate) -> None:
    listed = tollgate("instance", "list", "--json").document
    assert [(one["id"], one["limits"]["instance"]) for one in listed] == [
        ("acme-shared", 300),
        ("acme-dedicated", 2500),
    ]
    assert "dedicated-2500" in tollgate("instance", "list").out


def test_without_traffic_usage_and_bill_are_empty_and_well_formed(tollgate: Tollgate) -> None:
    assert tollgate("usage", "--json").document == []
    assert tollgate("usage", "--month", "2026-01").code == 0
    every = tollgate("bill", "--json").document
    assert every["accounts"]["acme"]["bills"] == {}
    assert tollgate("bill", "--account", "acme", "--json").document == every["accounts"]["acme"]
    assert tollgate("bill").code == 0


def test_a_bill_is_a_table_json_and_csv_with_the_same_lines(bare: Tollgate, tmp_path: Path) -> None:
    node = DeskNode(tmp_path)
    now = node.store.clock.now()
    node.store.biller.settle(now + 2 * HOUR, lambda hour: True)
    node.close()
    config = str(tmp_path / "tollgate.yaml")
    billed = bare("bill", "--account", "acme", "--json", "-c", config).document["bills"]
    lines = [line for statement in billed.values() for line in statement["lines"]]
    assert [line["meter"] for line in lines] and {line["meter"] for line in lines} == {"instance_seconds"}
    rows = list(csv.DictReader(io.StringIO(bare("bill", "--csv", "-c", config).out)))
    assert [(row["account"], row["hour"], row["amount"]) for row in rows] == [
        ("acme", line["hour"], line["amount"]) for line in lines
    ]
    table = bare("bill", "-c", config).out
    assert all(line["amount"] in table for line in lines)
    month = next(iter(billed))
    assert f"acme {month}  total {billed[month]['total']}" in table
    assert bare("bill", "--month", "2001-01", "--csv", "-c", config).out.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["no-such-command"], id="command"),
        pytest.param(["usage", "--no-such-option"], id="option"),
        pytest.param(["bill", "--json", "--csv"], id="two formats"),
        pytest.param(["top-up"], id="no amount"),
        pytest.param(["pack", "buy", "--account", "acme"], id="nothing to buy"),
    ],
)
def test_wrong_usage_is_2(bare: Tollgate, tmp_path: Path, arguments: list[str]) -> None:
    outcome = bare(*arguments)
    assert outcome.code == 2
    assert "Traceback" not in outcome.errors


@pytest.mark.parametrize(
    "arguments, said",
    [
        pytest.param(["usage", "-c", "none.yaml"], "none.yaml", id="no such file"),
        pytest.param(["usage", "--admin", "http://127.0.0.1:9"], "no node answers at http://127.0.0.1:9", id="no node"),
        pytest.param(["usage", "--admin", "ftp://x"], "is not an address", id="no address"),
        pytest.param(["usage", "--month", "13", "--admin", "http://127.0.0.1:9"], "month: not a month", id="no month"),
        pytest.param(["service", "add", "none.yaml"], "none.yaml", id="no service file"),
    ],
)
def test_what_fails_is_1_and_a_line(bare: Tollgate, arguments: list[str], said: str) -> None:
    outcome = bare(*arguments)
    assert outcome.code == 1
    assert said in outcome.errors and outcome.out == ""
    assert "Traceback" not in outcome.errors


def test_a_wrong_token_is_said(bare: Tollgate, remote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLGATE_ADMIN_TOKEN", "wrong")
    monkeypatch.setenv("TOLLGATE_ADMIN", remote)
    assert bare("account", "show").errors == "tollgate: unauthorized: the token is wrong\n"


def test_a_node_that_runs_is_asked_and_its_store_left_alone(bare: Tollgate, tmp_path: Path) -> None:
    """Who holds the data_dir answers for it: here it does not, and nothing is read behind its back."""
    config = write_config(tmp_path, admin=free_port())
    with DataDirLock(tmp_path / "data"):
        outcome = bare("account", "show", "-c", str(config))
    assert (outcome.code, "no node answers at" in outcome.errors) == (1, True)
    assert not (tmp_path / "data" / "tollgate.db").exists()


def test_a_broken_store_is_a_line(bare: Tollgate, tmp_path: Path) -> None:
    config = write_config(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tollgate.db").write_bytes(b"no database" * 1000)
    outcome = bare("usage", "-c", str(config))
    assert outcome.code == 1
    assert "file is not a database" in outcome.errors and "Traceback" not in outcome.errors


def test_restart_asks_the_running_node(bare: Tollgate, remote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLGATE_ADMIN_TOKEN", TOKEN)
    done = bare("restart", "--admin", remote)
    assert (done.code, done.errors) == (0, "1 workers of 1 pools are restarted\n")
    assert bare("restart", "--admin", remote, "--json").document["pools"]["shared"][0]["is_serving"] is True


def test_restart_without_a_node_is_refused(bare: Tollgate, tmp_path: Path) -> None:
    done = bare("restart", "-c", str(write_config(tmp_path)))
    assert done.code == 1
    assert "no node runs" in done.errors


def test_limits_are_a_running_nodes(bare: Tollgate, tmp_path: Path) -> None:
    refused = bare("limits", "-c", str(write_config(tmp_path)))
    assert (refused.code, refused.out) == (1, "")
    assert "not_running" in refused.errors
