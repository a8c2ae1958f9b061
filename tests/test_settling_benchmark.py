"""The benchmark of settling runs, checks what it settled, and draws."""

from pathlib import Path

import pytest

from loadtest.settling import main


def test_it_settles_every_account_hour_and_plots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "plot.svg"
    assert main(["--accounts", "2", "--hours", "3", "--points", "2", "--plot", str(plot)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["hourly", "1"], ["late", "1"], ["hourly", "2"], ["late", "2"]]
    assert plot.read_text().count("<polyline") == 2
