"""The benchmark of settling runs, checks what it settled, and draws."""

from pathlib import Path

import pytest

from loadtest.settling import main


def test_it_settles_every_account_hour_and_plots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "plot.png"
    assert main(["--account-hours", "100", "--rows", "24", "--points", "2", "--plot", str(plot)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    kinds = [*[("ticks", n) for n in (50, 100)], ("hourly", 1), ("late", 1), *[("rows", 1)] * 2, *[("history", 1)] * 2]
    kinds = [*[("ticks", n) for n in (50, 100)], ("hourly", 1), ("late", 1), *[("rows", 1)] * 2, *[("history", 1)] * 2]
    assert [(line[1], int(line[2])) for line in lines] == kinds
    assert plot.read_bytes().startswith(b"\x89PNG")
