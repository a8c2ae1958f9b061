"""DESIGN 1.5 over many worker processes on one shared state, by seeded schedules and a simulated clock.

More seeds: TOLLGATE_SEEDS=200 pytest tests/gateway/limits/test_contract.py.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.limits.setting import Setting
from gateway.limits.table import LimitTable
from tests.gateway.limits.contract import SECOND, Process, admit_at_once, assert_no_window_is_over, crowd, most_over

SEEDS = range(int(os.environ.get("TOLLGATE_SEEDS", "3")))
CROWD = 4
REQUESTS_MAX = 1500


@pytest.fixture(scope="module")
def processes() -> Iterator[list[Process]]:
    with crowd(CROWD) as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    LimitTable.create(tmp_path / "pool.lim").close()
    return tmp_path / "pool.lim"


def make(processes: list[Process], path: Path, limits: list[tuple[int, int, str]], burst_ms: int = 100) -> None:
    """Every process gets fresh handles; set 0 is all limits together, set n the outer n."""
    for process in processes:
        process.ask("limits", str(path), len(processes), burst_ms, limits, members(limits))
    for process in processes:
        assert process.answer() == "made"


def members(limits: list[tuple[int, int, str]]) -> list[list[int]]:
    return [list(range(size)) for size in (len(limits), *range(1, len(limits)))]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("qps", [1, 5, 50, 500, 2500, 50_000])
def test_no_window_is_over_and_the_limit_is_reached(processes: list[Process], path: Path, qps: int, seed: int) -> None:
    """Steady load at 1.25 L over all processes, uneven by process; then whims: bursts, rests, single requests."""
    chance = random.Random(seed * 100_003 + qps)
    used = processes[: chance.choice((1, 2, 4))]
    make(used, path, [(0, qps, "service")])
    weights = [chance.choice((0.02, 1, 1, 5)) for _ in used]
    now_ns, admitted = SECOND, []
    batch = max(1, qps // 200)
    rounds = REQUESTS_MAX // 4
    for _ in range(rounds):
        now_ns += round(batch / (1.25 * qps) * SECOND)
        counts = [0] * len(used)
        for chosen in chance.choices(range(len(used)), weights, k=batch):
            counts[chosen] += 1
        admitted += [now_ns] * sum(admit_at_once(used, 0, now_ns, counts))
    span_s = (now_ns - SECOND) / SECOND
    assert_no_window_is_over(admitted, qps)
    # A lease that is held at the end has not been admitted; it is an eighth of the burst at most.
    assert len(admitted) >= 0.98 * qps * span_s - 1 - Setting(qps, 100, len(used)).burst / 8
    for _ in range(rounds // 4):
        now_ns += round(chance.choice((0.0, 0.01, 0.3, 1, 30, 3000)) / qps * SECOND)
        counts = [chance.choice((0, 0, 1, 3, round(qps * 0.06) + 1)) for _ in used]
        admitted += [now_ns] * sum(admit_at_once(used, 0, now_ns, counts))
    assert_no_window_is_over(admitted, qps)


@pytest.mark.parametrize("seed", SEEDS)
def test_three_levels_hold_at_once_over_processes_that_die(processes: list[Process], path: Path, seed: int) -> None:
    chance = random.Random(seed)
    limits = [(0, 1000, "instance"), (1, 800, "service"), (2, 500, "route")]
    make(processes, path, limits)
    now_ns = SECOND
    admitted: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for number in range(400):
        now_ns += chance.randrange(SECOND // 100)
        which = chance.randrange(3)
        counts = [chance.randrange(8) for _ in processes]
        admitted[which] += [now_ns] * sum(admit_at_once(processes, which, now_ns, counts))
        if number % 80 == 79:  # Its leases die with it; the next one has none.
            victim = chance.randrange(CROWD)
            processes[victim].kill()
            processes[victim] = Process()
            processes[victim].ask("limits", str(path), CROWD, 100, limits, members(limits))
            assert processes[victim].answer() == "made"
    assert_no_window_is_over(admitted[0], 500)
    assert_no_window_is_over(admitted[0] + admitted[2], 800)
    everything = admitted[0] + admitted[1] + admitted[2]
    assert_no_window_is_over(everything, 1000)
    assert len(everything) >= 0.9 * 1000 * (now_ns - SECOND) / SECOND


@pytest.mark.parametrize("are_swapped", [True, False], ids=["all swap", "none swaps"])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("before, after", [(1, 50_000), (50_000, 1), (2500, 500), (500, 2500), (5, 50)])
def test_a_change_holds_for_all_at_once(
    processes: list[Process], path: Path, before: int, after: int, seed: int, are_swapped: bool
) -> None:
    """Raised and lowered, with workers that take the new snapshot at once and with some that never do."""
    chance = random.Random(seed)
    table = LimitTable.open(path)
    old, new = Setting(before, 100, CROWD), Setting(after, 100, CROWD)
    table.set([(0, old)], SECOND)
    make(processes, path, [(0, before, "service")])
    now_ns, first, second = SECOND, [], []
    for _ in range(60):
        now_ns += round(chance.uniform(0.5, 1.5) / before * SECOND)
        first += [now_ns] * sum(admit_at_once(processes, 0, now_ns, [chance.randrange(30) for _ in processes]))
    table.set([(0, new)], now_ns)
    if are_swapped:
        make(processes, path, [(0, after, "service")])
    changed_ns = now_ns
    for _ in range(120):
        now_ns += round(chance.uniform(0.2, 0.8) / after * SECOND)
        second += [now_ns] * sum(admit_at_once(processes, 0, now_ns, [chance.randrange(30) for _ in processes]))
    assert_no_window_is_over(first, before)
    held = 0 if are_swapped else 2 * CROWD * (old.lease - 1)
    assert_no_window_is_over(second, after, extra=held)
    assert held <= old.burst / 8
    span_s = (now_ns - changed_ns) / SECOND
    # Nothing that the old setting lent is waited for; at the most the new setting's own burst.
    assert len(second) >= after * span_s - new.burst - 2
    table.close()


@pytest.mark.parametrize("workers", [(1, 4), (4, 1), (2, 3)])
def test_more_or_fewer_workers_share_the_same_limit(
    processes: list[Process], path: Path, workers: tuple[int, int]
) -> None:
    """At a change of the number the old workers serve on while the new ones do already, each by its own number."""
    table = LimitTable.open(path)
    now_ns, admitted = SECOND, []
    for number in workers:
        table.set([(0, Setting(2500, 100, number))], now_ns)
        used = processes[:number]
        make(used, path, [(0, 2500, "service")])
        for _ in range(200):
            now_ns += SECOND // 500
            admitted += [now_ns] * sum(admit_at_once(used, 0, now_ns, [7] * len(used)))
    held = 2 * workers[0] * (Setting(2500, 100, workers[0]).lease - 1)
    assert_no_window_is_over(admitted, 2500, extra=held)
    table.close()


def test_another_burst_is_taken_up(processes: list[Process], path: Path) -> None:
    table = LimitTable.open(path)
    make(processes, path, [(0, 500, "service")])
    table.set([(0, Setting(500, 1000, CROWD))], SECOND)
    at_once = sum(admit_at_once(processes, 0, SECOND, [1000] * CROWD))
    assert 500 * 7 / 8 <= at_once <= 501
    table.set([(0, Setting(500, 10, CROWD))], SECOND)
    later_ns = 3600 * SECOND
    assert sum(admit_at_once(processes, 0, later_ns, [1000] * CROWD)) <= 6 + 2 * CROWD * 64
    assert sum(admit_at_once(processes, 0, 2 * later_ns, [1000] * CROWD)) <= 6, "what was held is spent"
    table.close()


def test_the_check_of_every_window_finds_one_that_is_over() -> None:
    assert most_over([0, 0, 0], 1) == 3
    assert most_over([0, SECOND, 2 * SECOND], 1) == 1
    assert most_over([0, 0, 5 * SECOND, 5 * SECOND, 5 * SECOND, 6 * SECOND], 1) == 3
    with pytest.raises(AssertionError, match="beyond"):
        assert_no_window_is_over([0] * 3, 1)
