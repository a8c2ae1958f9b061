import io
import json
from pathlib import Path

import typer
from rich.console import Console
from typer.testing import CliRunner

from billing.commands import print_bills, simulate, stored_bills
from billing.service import Billing
from config.catalog import load_catalog
from config.money import E8
from config.prices import load_price_book
from metering.database import open_engine
from tests.billing.world import at

GOLDENS = Path(__file__).parent / "goldens"
app = typer.Typer()
app.command()(simulate)


def test_simulate_prints_json_with_and_without_the_option() -> None:
    path = str(GOLDENS / "g1_guide_second_year.yaml")
    plain, as_json = (CliRunner().invoke(app, [path, *more]) for more in ([], ["--json"]))
    assert plain.exit_code == 0
    assert plain.stdout == as_json.stdout
    assert json.loads(plain.stdout)["accounts"]["a"]["bills"]["2020-12"]["total"] == "6.73881836"


def test_faults_go_to_stderr_one_line_each(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text('price_book: usd\naccounts: []\ninstances: 5\nevents: [{do: dance}]\nuntil: "soon"\n')
    result = CliRunner().invoke(app, [str(path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["instances", "events[0].do", "until"]


def test_a_stored_bill_is_read_without_a_node_and_printed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    engine = open_engine(url)
    billing = Billing(engine, load_price_book("usd"), load_catalog())
    billing.open_account("quiet", at("2024-01-01 00:00"))
    billing.open_account("a", at("2024-01-01 00:00"), has_free_quota=False)
    billing.top_up("a", cash=E8, now=at("2024-01-01 00:00"))
    billing.buy_instance("a", "d", spec="dedicated-2500", region="ap-guangzhou", price=100, now=at("2024-02-01 00:00"))
    billing.settle(at("2024-02-01 01:00"), lambda hour: True)
    expected = billing.bill("a", "2024-02")
    engine.dispose()

    documents = stored_bills(url, "usd", "Asia/Shanghai", month="2024-02", now=at("2024-02-01 01:00"))
    assert documents["a"] == expected
    assert list(stored_bills(url, "usd", "Asia/Shanghai", account="a")) == ["a"]
    out = io.StringIO()
    print_bills(documents, Console(file=out, width=160))
    assert "a · 2024-02 · 0.00360000 USD" in out.getvalue()
    assert "quiet: nothing billed" in out.getvalue()
