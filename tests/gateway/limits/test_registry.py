from pathlib import Path

import pytest

from gateway.limits.registry import SlotRegistry
from gateway.limits.table import HEADER_BYTES, SLOT_BYTES, LimitTable


@pytest.fixture
def table(tmp_path: Path) -> LimitTable:
    return LimitTable.create(tmp_path / "pool.lim")


def test_a_hundred_thousand_limits_have_a_slot_each_and_keep_it(table: LimitTable, tmp_path: Path) -> None:
    """Each in constant time: a look for the lowest free one at every name takes hours here."""
    names = {f"route:s/{number}" for number in range(100_000)}
    registry = SlotRegistry(tmp_path / "slots.json", table)
    slots = {name: registry.slot(name) for name in names}
    assert len(set(slots.values())) == len(names)
    registry.keep_only(names)
    again = SlotRegistry(tmp_path / "slots.json", table)
    assert {name: again.slot(name) for name in names} == slots


def test_freed_slots_are_used_first_the_lowest_before_others(table: LimitTable, tmp_path: Path) -> None:
    registry = SlotRegistry(tmp_path / "slots.json", table)
    for name in "abcd":
        registry.slot(name)
    registry.keep_only({"b", "d"})
    again = SlotRegistry(tmp_path / "slots.json", table)
    assert [again.slot(name) for name in ("e", "f", "g")] == [0, 2, 4]


def test_the_book_is_written_only_when_it_changed(table: LimitTable, tmp_path: Path) -> None:
    path = tmp_path / "slots.json"
    registry = SlotRegistry(path, table)
    registry.slot("a")
    registry.keep_only({"a"})
    written = path.stat().st_ino
    registry.slot("a")
    registry.keep_only({"a", "unknown"})
    assert path.stat().st_ino == written
    registry.slot("b")
    registry.keep_only({"a", "b"})
    assert path.stat().st_ino != written


def test_more_limits_than_slots_are_refused(table: LimitTable, tmp_path: Path) -> None:
    registry = SlotRegistry(tmp_path / "slots.json", table, 2)
    registry.slot("a"), registry.slot("b")
    with pytest.raises(ValueError, match="more than 2 limits"):
        registry.slot("c")
    assert registry.slot("a") == 0


def test_a_table_with_fewer_slots_grows_and_keeps_its_state(tmp_path: Path) -> None:
    path = tmp_path / "pool.lim"
    table = LimitTable.create(path)
    table.words[0] = 7
    table.close()
    with path.open("r+b") as file:
        file.truncate(HEADER_BYTES + 1000 * SLOT_BYTES)
    grown = LimitTable.create(path)
    assert grown.words[0] == 7
    grown.reset(100_000)
    grown.close()
