"""Which bounds an outcome breaks, by tables."""

from collections import Counter
from dataclasses import replace

import pytest

from loadtest.abuse.attack import Attack, Bound, Seen
from loadtest.abuse.books import Billed, Books, Counted
from loadtest.abuse.judge import Outcome, judge, percentile
from loadtest.abuse.stage import ATTACKED, CALM, MARK, VICTIM
from loadtest.abuse.victim import Sample

CALM_SAMPLE = Sample(due_s=0.0, took_ms=1.0, late_ms=0.1, waited_ms=0.0, error="", bytes_read=300)


async def _nothing(*_: object) -> None: ...


ATTACK = Attack("none", "nothing", _nothing, bounds=(Bound("new client", least=1), Bound("arrivals", most=2)))


def _slow(took_ms: float, waited_ms: float = 0.0) -> list[Sample]:
    return [CALM_SAMPLE] * 199 + [CALM_SAMPLE._replace(took_ms=took_ms, waited_ms=waited_ms)]


def _outcome() -> Outcome:
    """All bounds hold: 400 requests, each with 300 bytes, are counted and billed."""
    return Outcome(
        alone=[CALM_SAMPLE] * 200,
        beside=[CALM_SAMPLE] * 200,
        seen=Seen(sent=100, answered=Counter({429: 90, 200: 10})),
        noted={"new client": 1, "arrivals": 2},
        books=Books(
            {CALM: Counted(calls=400, egress_bytes=120_000), ATTACKED: Counted(calls=10)},
            {VICTIM: Billed(calls=400, amount="0.0004"), MARK: Billed(calls=10)},
        ),
        asked=400,
        completed=400,
        read_bytes=120_000,
    )


def _with_books(calm: Counted, billed: int, attacked: Counted | None = None) -> Books:
    return Books({CALM: calm, ATTACKED: attacked or Counted()}, {VICTIM: Billed(billed), MARK: Billed()})


WHOLE = Counted(calls=400, egress_bytes=120_000)


def test_an_outcome_within_all_bounds_holds() -> None:
    verdict = judge(ATTACK, _outcome())
    assert (verdict.word, verdict.faults, verdict.doubts) == ("holds", [], [])


@pytest.mark.parametrize(
    "changed, fault",
    [
        pytest.param({"beside": _slow(50.0)}, "longest 50.0 ms, not below 50.0", id="a long request"),
        pytest.param({"beside": _slow(70.0, waited_ms=15.0)}, "longest 70.0 ms", id="55 ms of 70 are the node's"),
        pytest.param(
            {"beside": [CALM_SAMPLE._replace(took_ms=3.0)] * 200}, "p99 3.0 ms, not below 3.0", id="a slow p99"
        ),
        pytest.param({"beside": []}, "the victim was not answered at all", id="no sample"),
        pytest.param(
            {"beside": [CALM_SAMPLE] * 99 + [CALM_SAMPLE._replace(error="status 503")]},
            "1 of the victim's requests failed: status 503",
            id="an error",
        ),
        pytest.param({"deaths": 1}, "1 workers died", id="a worker's death"),
        pytest.param({"is_control_alive": False}, "the control process died", id="the control process's death"),
        pytest.param({"grown_kib": 200 << 10}, "the worker grew by 200 MiB", id="memory"),
        pytest.param({"noted": {"arrivals": 3, "new client": 1}}, "arrivals: 3 (at least 0, at most 2)", id="too much"),
        pytest.param({"noted": {}}, "new client: 0 (at least 1)", id="what was not noted is 0"),
        pytest.param({"books": None}, "the node does not tell what was counted", id="a node that says nothing"),
        pytest.param(
            {"books": _with_books(Counted(401, 120_000), 401)},
            "asked 400 times, was answered 400, and has 401",
            id="a call too many",
        ),
        pytest.param({"books": _with_books(Counted(399, 120_000), 399)}, "and has 399 calls", id="a call too few"),
        pytest.param(
            {"books": _with_books(Counted(400, 120_001), 400)}, "read 120000 bytes and is to pay 120001", id="bytes"
        ),
        pytest.param({"books": _with_books(WHOLE, 401)}, "billed 401 calls of 400", id="a bill of others' calls"),
        pytest.param(
            {"books": _with_books(WHOLE, 400, Counted(calls=101))}, "101 calls for 100 requests", id="multiplied"
        ),
    ],
)
def test_a_bound_that_does_not_hold_is_a_fault(changed: dict[str, object], fault: str) -> None:
    verdict = judge(ATTACK, replace(_outcome(), **changed))  # type: ignore[arg-type]
    assert verdict.word == "HURTS"
    assert any(fault in text for text in verdict.faults), verdict.faults


@pytest.mark.parametrize(
    "beside, doubt",
    [
        pytest.param(_slow(70.0, waited_ms=30.0), "without waits for a CPU 40.0", id="a wait for a CPU"),
        pytest.param(
            [CALM_SAMPLE._replace(late_ms=20.0)] * 200, "the victim itself was woken late", id="a late victim"
        ),
    ],
)
def test_what_waited_for_a_cpu_is_in_doubt_and_not_the_nodes_fault(beside: list[Sample], doubt: str) -> None:
    verdict = judge(ATTACK, replace(_outcome(), beside=beside))
    assert (verdict.word, verdict.faults) == ("doubt", [])
    assert doubt in verdict.doubts[0]


def test_patience_is_a_factor_on_times_and_on_nothing_else() -> None:
    outcome = replace(_outcome(), beside=_slow(70.0))
    assert judge(ATTACK, outcome, patience=2).word == "holds"
    assert judge(ATTACK, replace(outcome, deaths=1), patience=2).word == "HURTS"


def test_a_death_that_the_probe_caused_is_no_fault_and_a_second_one_is() -> None:
    attack = replace(ATTACK, kills_worker=True)
    assert judge(attack, replace(_outcome(), deaths=1)).word == "holds"
    assert judge(attack, replace(_outcome(), deaths=2)).word == "HURTS"


@pytest.mark.parametrize("share, value", [(0.5, 51.0), (0.99, 100.0), (1.0, 100.0)])
def test_percentiles_are_of_the_samples(share: float, value: float) -> None:
    assert percentile([float(one) for one in range(1, 101)], share) == value
    assert percentile([], share) == 0.0
