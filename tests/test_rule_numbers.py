"""Every numbered rule of the specification has a test named after it: `test_b21_…`, or a golden `g3_….yaml`."""

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


def named_in(source: str) -> set[str]:
    return {match.upper() for name in _IN_NAMES.findall(source) for match in re.findall(r"_([bxpg]\d+)(?=_|$)", name)}


def test_no_rule_is_without_a_test() -> None:
    found: set[str] = set()
    for path in ROOT.rglob("test_*.py"):
        if path != Path(__file__):
            found |= named_in(path.read_text())
    for path in (ROOT / "billing" / "goldens").glob("*.expect.yaml"):
        found.add(path.name.partition("_")[0].upper())
    assert sorted(NUMBERS - found) == []


def test_a_number_is_found_in_a_name_and_nowhere_else() -> None:
    assert named_in("def test_b2_x13_y_b46(): # As B47 says.") == {"B2", "X13", "B46"}
