"""The G rows of RULES A.7 as data: `NAME.yaml` through the simulation gives what `NAME.expect.yaml` says, at least."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine

from billing.scenario import load_scenario
from billing.simulation import run

FOLDER = Path(__file__).parent / "goldens"
SCENARIOS = sorted(path for path in FOLDER.glob("*.yaml") if not path.name.endswith(".expect.yaml"))


def differences(expected: Any, actual: Any, path: str = "") -> list[str]:
    """Every expected value that is not there. Of a bill's lines, all with an amount have to be expected."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return [f"{path}: {actual!r} is no mapping"]
        missing = [f"{path}.{key}: missing" for key in expected if key not in actual]
        return missing + [
            found
            for key, value in expected.items()
            if key in actual
            for found in differences(value, actual[key], f"{path}.{key}")
        ]
    if path.endswith(".lines"):
        return line_differences(expected, actual, path)
    if isinstance(expected, list):
        if len(expected) != len(actual):
            return [f"{path}: {len(actual)} items, expected {len(expected)}: {actual}"]
        return [
            found
            for index, (value, item) in enumerate(zip(expected, actual, strict=True))
            for found in differences(value, item, f"{path}[{index}]")
        ]
    return [] if expected == actual else [f"{path}: {actual!r}, expected {expected!r}"]


def line_differences(expected: list[Any], actual: list[Any], path: str) -> list[str]:
    left = list(actual)
    found = []
    for line in expected:
        match = next((candidate for candidate in left if not differences(line, candidate)), None)
        if match is None:
            found.append(f"{path}: no line like {line}")
        else:
            left.remove(match)
    return found + [f"{path}: not expected: {line}" for line in left if float(line["amount"])]


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    check(path, run(load_scenario(path)))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_golden_in_a_store_of_each_engine(path: Path, engine: Engine) -> None:
    check(path, run(load_scenario(path), engine))


def check(path: Path, output: dict[str, Any]) -> None:
    expected = yaml.safe_load(path.with_suffix(".expect.yaml").read_text())
    found = [
        line
        for line in differences(expected, output)
        # The guide's example leaves its egress lines to the rounding rule; the total is fixed.
        if not (path.stem.startswith("g1_") and "not expected" in line and "egress_" in line)
    ]
    assert not found, "\n".join(found)


def test_a_wrong_expectation_is_found() -> None:
    line = {"lines": [{"amount": "1.00", "hour": "h"}]}
    assert differences({"lines": [{"amount": "1.00"}]}, line) == []
    assert differences({"lines": [{"amount": "2.00"}]}, line)
    assert differences({"lines": []}, line)
    assert differences({"a": {"b": 1}}, {"a": {}})
