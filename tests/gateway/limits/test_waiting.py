"""The waiting room: order of arrival, its bounds, and the exact limits at every turn."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from gateway.limits.admission import LimitSet
from gateway.limits.limit import Bound
from gateway.limits.table import LimitTable
from gateway.limits.waiting import WAITING_MAX, Waiting, WaitingRoom
from tests.gateway.limits.contract import SECOND, assert_no_window_is_over, make_limit

MS = 1_000_000


class Visitors:
    """Those who waited, in the order they were decided."""

    def __init__(self, room: WaitingRoom) -> None:
        self.room = room
        self.admitted: list[str] = []
        self.refused: list[tuple[str, str]] = []

    def enter(self, name: str, limits: LimitSet, now_ns: int) -> Waiting:
        def decided(bound: Bound | None) -> None:
            if bound is None:
                self.admitted.append(name)
            else:
                self.refused.append((name, bound.level))

        waiting = Waiting(limits, limits.limits[-1], now_ns + self.room.wait_ns_max, decided)
        self.room.enter(waiting)
        return waiting


@pytest.fixture
def path(tmp_path: Path) -> Path:
    LimitTable.create(tmp_path / "t").close()
    return tmp_path / "t"


def used_up(*limits: object, now_ns: int = SECOND) -> LimitSet:
    made = LimitSet(limits)  # type: ignore[arg-type]
    while made.admit(now_ns) is None:
        pass
    return made


def test_admitted_in_order_of_arrival_as_the_limit_lets_them(path: Path) -> None:
    visitors = Visitors(WaitingRoom(1000))
    limits = used_up(make_limit(path, 0, 10))
    for name in "abcde":
        visitors.enter(name, limits, SECOND)
    assert visitors.room.turn(SECOND) == 100 * MS, "capacity is due in a tenth of a second"
    assert not visitors.admitted
    visitors.room.turn(SECOND + 100 * MS)
    assert visitors.admitted == ["a"]
    visitors.room.turn(SECOND + 300 * MS)
    assert visitors.admitted == ["a", "b", "c"]
    visitors.room.turn(SECOND + 500 * MS)
    assert visitors.admitted == list("abcde")
    assert visitors.room.is_empty


def test_whose_time_is_over_is_refused_with_the_level(path: Path) -> None:
    visitors = Visitors(WaitingRoom(50))
    limits = used_up(make_limit(path, 0, 1, "route"))
    visitors.enter("a", limits, SECOND)
    assert visitors.room.turn(SECOND) == 50 * MS, "the wait ends before capacity is due"
    visitors.room.turn(SECOND + 50 * MS)
    assert visitors.refused == [("a", "route")]
    assert visitors.room.is_empty


def test_one_without_capacity_does_not_hold_up_those_of_other_limits(path: Path) -> None:
    visitors = Visitors(WaitingRoom(5000))
    outer = make_limit(path, 0, 100)
    narrow, wide = used_up(outer, make_limit(path, 1, 1, "route")), LimitSet((outer,))
    for number in range(3):
        visitors.enter(f"narrow {number}", narrow, SECOND)
    visitors.enter("wide", wide, SECOND)
    visitors.room.turn(SECOND + 20 * MS)
    assert visitors.admitted == ["wide"]
    visitors.room.turn(2 * SECOND)
    assert visitors.admitted == ["wide", "narrow 0"]
    assert visitors.room.awaited(wide) is None
    assert visitors.room.awaited(narrow) is narrow.limits[1]


def test_who_has_left_is_passed_over_and_takes_nothing(path: Path) -> None:
    visitors = Visitors(WaitingRoom(5000))
    limits = used_up(make_limit(path, 0, 1))
    first = visitors.enter("a", limits, SECOND)
    visitors.enter("b", limits, SECOND)
    first.is_gone = True
    visitors.room.turn(2 * SECOND)
    assert visitors.admitted == ["b"]
    assert visitors.room.is_empty


def test_the_room_says_when_it_is_full(path: Path) -> None:
    visitors = Visitors(WaitingRoom(5000))
    limits = used_up(make_limit(path, 0, 1))
    for number in range(WAITING_MAX):
        assert not visitors.room.is_full
        visitors.enter(str(number), limits, SECOND)
    assert visitors.room.is_full


async def test_tended_in_real_time_it_stays_within_the_limit_and_ends(path: Path) -> None:
    room = WaitingRoom(20_000)
    visitors = Visitors(room)
    limits = used_up(make_limit(path, 0, 200), now_ns=time.monotonic_ns())
    instants = []
    for number in range(40):
        waiting = visitors.enter(str(number), limits, time.monotonic_ns())
        tell = waiting.decided

        def decided(bound: Bound | None, tell: object = tell) -> None:
            instants.append(time.monotonic_ns())
            tell(bound)  # type: ignore[operator]

        waiting.decided = decided
    async with asyncio.timeout(30):
        await room.tend()
    assert visitors.admitted == [str(number) for number in range(40)]
    # A turn's instant is a little before the calls that follow from it.
    assert_no_window_is_over(instants, 200, extra=2)
    assert instants[-1] - instants[0] >= 0.05 * SECOND


async def test_a_new_arrival_does_not_wait_for_the_turn_of_those_before_it(path: Path) -> None:
    room = WaitingRoom(60_000)
    visitors = Visitors(room)
    now_ns = time.monotonic_ns()
    visitors.enter("slow", used_up(make_limit(path, 0, 1, "route"), now_ns=now_ns + 50 * SECOND), now_ns)
    is_decided = asyncio.Event()

    async def arrive() -> None:
        await asyncio.sleep(0.01)  # The turn of the one before is over, and the next is due in a minute.
        visitors.enter("quick", LimitSet((make_limit(path, 1, 100),)), time.monotonic_ns()).decided = decided

    def decided(bound: Bound | None) -> None:
        assert bound is None
        is_decided.set()

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tending = tasks.create_task(room.tend(), name="tend")
        await arrive()
        await is_decided.wait()
        tending.cancel()
    assert not visitors.refused
