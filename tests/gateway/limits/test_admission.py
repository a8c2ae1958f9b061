"""The contract of DESIGN 1.5 for every window, over many workers on one shared state and a simulated clock."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.limits.admission import LimitSet
from gateway.limits.registry import SlotRegistry
from gateway.limits.table import SLOTS, LimitTable, LimitTableError
from tests.gateway.limits.contract import SECOND, assert_no_window_is_over, make_limit
from tests.gateway.limits.killing import LIMITS
from tests.node import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    LimitTable.create(tmp_path / "pool.lim").close()
    return tmp_path / "pool.lim"


def test_a_burst_after_a_rest_is_bounded_over_all_workers(path: Path) -> None:
    sets = [LimitSet((make_limit(path, 0, 500, workers=4),)) for _ in range(4)]
    for one in sets:
        one.admit(SECOND)  # Each holds a lease now.
    now_ns = 100 * SECOND
    admitted = [now_ns for _ in range(1000) for one in sets if one.admit(now_ns) is None]
    assert_no_window_is_over(admitted, 500)


def test_one_a_second_is_exact(path: Path) -> None:
    one = LimitSet((make_limit(path, 0, 1),))
    admitted = [ms for ms in range(0, 10_000, 10) if one.admit(SECOND + ms * 1_000_000) is None]
    assert len(admitted) == 11, "two at the start (burst), then one a second"


def test_all_levels_or_none(path: Path) -> None:
    """A refused request consumes nothing: the instance's capacity is there for other services."""
    instance, narrow, wide = (make_limit(path, slot, qps) for slot, qps in ((0, 100), (1, 1), (2, 100)))
    through_narrow, through_wide = LimitSet((instance, narrow)), LimitSet((instance, wide))
    outcomes = [through_narrow.admit(SECOND) for _ in range(50)]
    assert [one.level if one else None for one in outcomes[:3]] == [None, None, "service"]
    assert sum(through_wide.admit(SECOND) is None for _ in range(50)) == 11 - 2, "the instance's burst less two"


def test_each_of_three_limits_holds_at_once(path: Path) -> None:
    instance, service, route = (make_limit(path, slot, qps) for slot, qps in ((0, 100), (1, 80), (2, 50)))
    ways = {
        "route": LimitSet((instance, service, route)),
        "service": LimitSet((instance, service)),
        "other": LimitSet((instance, make_limit(path, 3, 100))),
    }
    chance = random.Random(7)
    admitted: dict[str, list[int]] = {name: [] for name in ways}
    for now_ns in range(SECOND, 6 * SECOND, SECOND // 1000):
        name = chance.choice(list(ways))
        if ways[name].admit(now_ns) is None:
            admitted[name].append(now_ns)
    assert_no_window_is_over(admitted["route"], 50)
    assert_no_window_is_over(sorted(admitted["route"] + admitted["service"]), 80)
    everything = sorted(now_ns for way in admitted.values() for now_ns in way)
    assert_no_window_is_over(everything, 100)
    assert len(everything) >= 0.98 * 100 * 5


def test_the_fields_and_the_wait_say_what_is(path: Path) -> None:
    instance, service = make_limit(path, 0, 300, "instance"), make_limit(path, 1, 1, "service")
    both = LimitSet((instance, service))
    assert both.admit(SECOND) is None
    assert both.fields(SECOND) == (
        b'RateLimit-Policy: "instance";q=300;w=1, "service";q=1;w=1\r\nRateLimit: "service";r=1;t=1\r\n'
    )
    assert both.admit(SECOND) is None
    refused = both.admit(SECOND)
    assert refused is service
    assert 0 < refused.wait_ns(SECOND) <= SECOND
    assert b'"service";r=0' in both.fields(SECOND)
    assert LimitSet(()).fields(SECOND) == b""
    assert LimitSet(()).admit(SECOND) is None


@pytest.mark.parametrize("seed", range(5))
def test_who_waits_as_long_as_the_fields_say_is_admitted(path: Path, seed: int) -> None:
    """By the real limits, whichever level refuses: `t` and `Retry-After` are one number, rounded up."""
    chance = random.Random(seed)
    levels = ((0, chance.choice((1, 2, 7, 100)), "instance"), (1, chance.choice((1, 3, 50)), "service"))
    limits = LimitSet(tuple(make_limit(path, slot, qps, level) for slot, qps, level in levels))
    now_ns = SECOND
    for _ in range(200):
        now_ns += chance.randrange(SECOND // 3)
        refused = limits.admit(now_ns)
        if refused is None:
            continue
        fields = limits.refusal_fields(refused, now_ns)
        after_s = int(fields.partition(b"Retry-After: ")[2].partition(b"\r\n")[0])
        assert fields.endswith(b'\r\nRateLimit: "%b";r=0;t=%d\r\n' % (refused.level.encode(), after_s))
        now_ns += after_s * SECOND
        assert limits.admit(now_ns) is None


def test_the_state_outlives_a_worker_and_a_control_process(path: Path) -> None:
    first = LimitSet((make_limit(path, 0, 1),))
    assert [first.admit(SECOND) is None for _ in range(3)] == [True, True, False]
    again = LimitTable.create(path)
    again.close()
    assert LimitSet((make_limit(path, 0, 1),)).admit(SECOND) is not None, "no free burst after a restart"


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"nonsense" * 100)
    with pytest.raises(LimitTableError, match="not a limit table"):
        LimitTable.open(tmp_path / "x")


def test_slots_are_kept_reset_and_bounded(path: Path, tmp_path: Path) -> None:
    table = LimitTable.create(path)
    registry = SlotRegistry(tmp_path / "slots.json", table)
    slots = [registry.slot(f"service:{number}") for number in range(3)]
    assert len(set(slots)) == 3
    table.words[slots[1] * 8] = 99
    registry.keep_only({"service:0", "service:2"})
    again = SlotRegistry(tmp_path / "slots.json", table)
    assert again.slot("service:2") == slots[2]
    assert again.slot("service:new") == slots[1]
    assert table.words[slots[1] * 8] == 0, "a new limit has no debt"
    assert SLOTS >= 2000 * 2
    table.close()


@pytest.mark.parametrize("seed", [1])
def test_two_hundred_deaths_with_the_lock_or_a_lease(path: Path, seed: int) -> None:
    """Nobody hangs and no window of any level is over: a third die in the lock, a third in it between two levels."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.gateway.limits.killing", str(path), "200", str(seed)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        timeout=120,
        check=True,
    )
    seen = json.loads(done.stdout)
    assert seen["went_on"], "the survivor was still admitted after the last death"
    for _, qps, _ in LIMITS:
        assert_no_window_is_over(seen["admitted"], qps)
    # A death loses a lease at each level, of a few tokens, and no time.
    least = min(qps for _, qps, _ in LIMITS) * seen["lasted_ns"] / SECOND
    assert len(seen["admitted"]) >= 0.5 * least - 200 * 3


CROWD = """
import sys, time
from pathlib import Path
from gateway.limits.admission import LimitSet
from gateway.limits.limit import Limit
from gateway.limits.table import LimitTable
table = LimitTable.open(Path(sys.argv[1]))
qps = int(sys.argv[2])
one = LimitSet((Limit(table, 9, qps, "service", "s", burst_ms=100, workers=2),))
sys.stdin.readline()
end = time.monotonic_ns() + 1_000_000_000
while (now := time.monotonic_ns()) < end:
    if one.admit(now) is None:
        print(now)
"""


@pytest.mark.parametrize("qps", [5, 500])
def test_real_processes_share_one_limit(path: Path, qps: int) -> None:
    """Two processes as fast as they can: together one limit."""
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", CROWD, str(path), str(qps)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in range(2)
    ]
    for child in crowd:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    admitted = []
    for child in crowd:
        admitted += [int(line) for line in child.communicate()[0].split()]
    assert_no_window_is_over(sorted(admitted), qps)
    assert len(admitted) >= 0.9 * qps
