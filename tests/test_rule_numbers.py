"""Every numbered rule of the specification has a test that can be found by its number: `test_b21_…`, or `B21` in it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent
NUMBERS = {
    f"{letter}{number}"
    for letter, last in (("B", 53), ("X", 33), ("P", 16), ("G", 20))
    for number in range(1, last + 1)
}  # fmt: skip
_IN_NAMES = re.compile(r"def test_\w+")
_IN_TEXT = re.compile(r"(?<![A-Za-z0-9])([BXPG][1-9][0-9]?)(?![0-9A-Za-z])")


def named_in(source: str) -> set[str]:
    found = {match.upper() for name in _IN_NAMES.findall(source) for match in re.findall(r"_([bxpg]\d+)(?=_|$)", name)}
    return found | set(_IN_TEXT.findall(source))


def test_no_rule_is_without_a_test() -> None:
    found: set[str] = set()
    for path in ROOT.rglob("test_*.py"):
        if path != Path(__file__):
            found |= named_in(path.read_text())
    for path in (ROOT / "billing" / "goldens").glob("*.expect.yaml"):
        found.add(path.name.partition("_")[0].upper())
    assert sorted(NUMBERS - found) == []


def test_a_number_is_found_in_a_name_and_in_a_text() -> None:
    assert named_in("def test_b2_x13_y():\n    '''As B46 says, not B461.'''") == {"B2", "X13", "B46"}
