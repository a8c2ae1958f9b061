from __future__ import annotations

from loadtest.bench import path, path_probe


def test_the_probe_answers_every_request_with_every_feature() -> None:
    figures = path.measure(["plain"], rounds=1, repeats=1)
    assert list(figures["plain"]["steps"]) == list(path_probe.STEPS)
    assert set(figures["plain"]["admission"]) == {"1 level", "3 levels"}
    assert list(figures["plain"]["metering"]) == ["without", "with"]
    assert all(taken > 0 for part in figures["plain"].values() for taken in part.values())


def test_each_step_of_the_probe_adds_to_the_one_before() -> None:
    services = [path_probe.snapshot(step)["services"][0] for step in path_probe.STEPS]
    features = [
        (bool(s["limit"]), bool(s["routes"]), bool(s["auth"]), bool(s["allow"]), s["limit_mode"] == "shadow")
        for s in services
    ]
    assert [sum(switched_on) for switched_on in features] == [0, 0, 1, 2, 3, 4, 5]
    assert path_probe.snapshot("open")["instances"]["i"]["limit"] is None
    assert path_probe.snapshot("instance")["instances"]["i"]["limit"] is not None
