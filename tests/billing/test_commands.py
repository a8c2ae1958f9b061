import json
from pathlib import Path

import typer
from typer.testing import CliRunner

from billing.commands import simulate

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
