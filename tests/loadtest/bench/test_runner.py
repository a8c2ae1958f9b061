"""Rounds take turns, medians are medians, and a target that fails says so."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.bench import machine, paced, runner
from loadtest.bench.runner import Row, Sample
from loadtest.bench.stage import Run
from loadtest.bench.wrk import Load, Seen

FAKE_WRK = """#!/bin/sh
for word; do url=$word; done
echo "$url" >> "$TURNS"
echo "$*" >> "$TURNS.words"
case $url in *broken*) echo "unable to connect" >&2; exit 1;; esac
cat <<'END'
     50%    1.00ms
     99%    2.00ms
  1000 requests in 1.00s, 1.00MB read
Requests/sec:  1000.00
Transfer/sec:  1.00MB
END
"""


@pytest.fixture
def turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wrk on the path that writes down whom it was sent to."""
    program = tmp_path / "bin" / "wrk"
    program.parent.mkdir()
    program.write_text(FAKE_WRK)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TURNS", str(tmp_path / "turns"))
    return tmp_path / "turns"


def run(target: str) -> Run:
    return Run(target, f"http://{target}", Load(), (os.getpid(),))


def test_rounds_are_interleaved_after_a_warm_up(turns: Path, tmp_path: Path) -> None:
    rows = runner.measure([run("a"), run("b")], 2, 1, tmp_path)
    assert turns.read_text().split() == ["http://a", "http://b"] * 3
    assert [len(row.samples) for row in rows] == [2, 2]


def test_what_was_written_before_is_on_the_disk_when_the_first_run_begins(
    turns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sync", lambda: turns.write_text("sync\n"))
    runner.measure([run("a")], 1, 1, tmp_path)
    assert turns.read_text().split() == ["sync", "http://a", "http://a"]


def test_a_target_that_fails_is_reported_and_takes_no_further_turn(turns: Path, tmp_path: Path) -> None:
    good, broken = runner.measure([run("good"), run("broken")], 2, 1, tmp_path)
    assert good.error is None and len(good.samples) == 2
    assert "unable to connect" in broken.document()["error"]
    assert turns.read_text().split().count("http://broken") == 1


def test_a_round_is_as_long_as_its_run_needs_and_the_warm_up_is_not(turns: Path, tmp_path: Path) -> None:
    runner.measure([replace(run("a"), seconds_min=4.0)], 1, 1, tmp_path)
    words = turns.with_suffix(".words").read_text().splitlines()
    assert ["-d1s" in words[0], "-d4s" in words[1]] == [True, True]


def test_a_run_with_a_rate_is_the_paced_clients(turns: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    (row,) = runner.measure([replace(run("a"), url=url, rate=100.0)], 1, 1, tmp_path)
    assert row.error is not None and "paced client" in row.error
    assert not turns.exists()


@pytest.mark.parametrize("away, taken", [((0.5, 0.001), 2), ((0.5,), 1 + runner.TAKEN_AGAIN_MAX), ((0.0,), 1)])
def test_a_run_whose_client_was_away_is_taken_again_a_few_times(
    away: tuple[float, ...], taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []

    def paced_run(*_: object, **__: object) -> Seen:
        seen.append(0.0 if not seen else away[min(len(seen), len(away)) - 1])  # The first is the warm-up.
        return Seen(1, 100, 1, 2, away=seen[-1])

    monkeypatch.setattr(paced, "run", paced_run)
    (row,) = runner.measure([replace(run("a"), rate=100.0)], 1, 1, tmp_path)
    assert len(seen) == 1 + taken
    assert ([sample.seen.away for sample in row.samples], row.noisy_rounds) == ([away[-1]], away[-1] > runner.AWAY_MAX)


def test_a_row_says_medians_and_sums_of_failures() -> None:
    row = Row("a")
    for cpu_us, failed, elsewhere in ((10, 0, 0.0), (30, 2, 0.5), (11, 1, 0.0)):
        row.samples.append(Sample(Seen(1, 100, 1, 2, failed=failed), cpu_us, elsewhere))
    document = row.document()
    assert (document["cpu_us_per_request"], document["failed"], document["noisy_rounds"]) == (11, 3, 1)


def test_cpu_time_is_read_past_any_name() -> None:
    stat = "7 (a (b) c) S " + " ".join(str(number) for number in range(1, 50))
    assert machine._ticks(stat) == 11 + 12


def test_memory_is_the_share_of_the_process() -> None:
    rollup = "7f-8f ---p 0 00:00 0 [rollup]\nRss: 900 kB\nPss:             12 kB\nPss_Dirty: 7 kB\n"
    assert machine._pss_bytes(rollup) == 12 * 1024
    assert machine.pss_bytes([os.getpid()]) > 1 << 20


def test_workers_have_a_cpu_each_while_there_are_enough() -> None:
    assert machine.proxy_cpu(0) == machine.PROXY_CPU
    assert {machine.proxy_cpu(at) for at in range(64)} == os.sched_getaffinity(0)


def test_what_others_used_is_what_is_left_of_the_machine() -> None:
    tick_us = 1e6 / os.sysconf("SC_CLK_TCK")
    assert machine.busy_elsewhere((0, 0), (150, 200), 100 * tick_us) == 0.25
    assert machine.busy_elsewhere((0, 0), (90, 200), 100 * tick_us) == 0.0
