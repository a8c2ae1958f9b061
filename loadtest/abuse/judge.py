"""Whether the bounds held beside an attack. Pure: from an outcome to faults and doubts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from loadtest.abuse.attack import Attack, Seen
from loadtest.abuse.books import Books
from loadtest.abuse.others import ASKED
from loadtest.abuse.stage import ATTACKED, CALM, VICTIM
from loadtest.abuse.victim import Sample

LONGEST_MS_MAX: Final = 50.0
P99_RATIO_MAX: Final = 3.0
# Buffers of a connection are 64 KiB a side, and the most connections of an attack are 512: a worker that grows by more
# than all of them hold keeps something that it should not.
GROWN_MIB_MAX: Final = 128
LATE_MS_MAX: Final = 10.0  # A victim that is woken later misses its next request's time.


@dataclass
class Outcome:
    """What came of one attack."""

    alone: list[Sample]
    beside: list[Sample]
    seen: Seen
    noted: Mapping[str, int]  # what the probe, and the attacker, saw
    books: Books | None = None  # None: the node could not be asked
    deaths: int = 0  # of workers
    is_control_alive: bool = True
    grown_kib: int = 0  # the worker's most memory, after and before
    asked: int = 0  # by the victim, in all
    completed: int = 0
    read_bytes: int = 0


@dataclass
class Verdict:
    """``faults`` are the node's; ``doubts`` are bounds that did not hold while someone waited for a CPU."""

    faults: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def word(self) -> str:
        return "HURTS" if self.faults else "doubt" if self.doubts else "holds"


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def judge(attack: Attack, outcome: Outcome, patience: float = 1.0) -> Verdict:
    """``patience``: a factor on times, for a machine that others use, too."""
    verdict = Verdict()
    _judge_times(outcome, patience, verdict)
    verdict.faults += _faults_of_victim(attack, outcome)
    verdict.faults += _faults_of_node(attack, outcome)
    verdict.faults += _faults_of_books(attack, outcome)
    return verdict


def _judge_times(outcome: Outcome, patience: float, verdict: Verdict) -> None:
    """What breaks a bound only while it waits for a CPU is in doubt: it is the machine's as much as the node's."""
    if not outcome.beside:
        verdict.faults.append("the victim was not answered at all")
        return
    took, own = ([getattr(one, name) for one in outcome.beside] for name in ("took_ms", "own_ms"))
    p99_ms = percentile([one.took_ms for one in outcome.alone], 0.99)
    for what, share, most_ms in (
        ("longest", 1.0, LONGEST_MS_MAX * patience),
        ("p99", 0.99, P99_RATIO_MAX * p99_ms * patience),
    ):
        was_ms, is_own_ms = percentile(took, share), percentile(own, share)
        if was_ms < most_ms:
            continue
        text = f"{what} {was_ms:.1f} ms, not below {most_ms:.1f}"
        if is_own_ms >= most_ms:
            verdict.faults.append(text)
        else:
            verdict.doubts.append(f"{text}; without waits for a CPU {is_own_ms:.1f}")
    late_ms = percentile([one.late_ms for one in outcome.beside], 0.99)
    if late_ms > LATE_MS_MAX:
        verdict.doubts.append(f"the victim itself was woken late: p99 {late_ms:.1f} ms")


def _faults_of_victim(attack: Attack, outcome: Outcome) -> Iterator[str]:
    errors = [one.error for one in outcome.beside if one.error]
    if errors and not attack.kills_worker:
        yield f"{len(errors)} of the victim's requests failed: {max(errors, key=errors.count)}"


def _faults_of_node(attack: Attack, outcome: Outcome) -> Iterator[str]:
    if outcome.deaths > attack.kills_worker:
        yield f"{outcome.deaths} workers died"
    if not outcome.is_control_alive:
        yield "the control process died"
    if outcome.grown_kib > GROWN_MIB_MAX << 10:
        yield f"the worker grew by {outcome.grown_kib >> 10} MiB"
    for bound in attack.bounds:
        number = outcome.noted.get(bound.name, 0)
        if number < bound.least or (bound.most is not None and number > bound.most):
            most = "" if bound.most is None else f", at most {bound.most}"
            yield f"{bound.name}: {number} (at least {bound.least}{most})"


def _faults_of_books(attack: Attack, outcome: Outcome) -> Iterator[str]:
    """Requests under way when a worker dies may be counted or not; nobody pays for what was not asked."""
    if outcome.books is None:
        yield "the node does not tell what was counted"
        return
    counted, billed = outcome.books.counted, outcome.books.billed
    victim, marked = counted[CALM], counted[ATTACKED]
    if not outcome.completed <= victim.calls <= outcome.asked:
        yield f"the victim asked {outcome.asked} times, was answered {outcome.completed}, and has {victim.calls} calls"
    if outcome.asked == outcome.completed and victim.egress_bytes != outcome.read_bytes:
        yield f"the victim read {outcome.read_bytes} bytes and is to pay {victim.egress_bytes}"
    if VICTIM in billed and billed[VICTIM].calls != victim.calls:
        yield f"the victim is billed {billed[VICTIM].calls} calls of {victim.calls}"
    most = attack.calls_each_max * (outcome.seen.sent + outcome.noted.get(ASKED, 0))
    if marked.calls > most:
        yield f"{marked.calls} calls for {outcome.seen.sent} requests, at most {most}"


def document(outcome: Outcome, verdict: Verdict) -> dict[str, Any]:
    """For a file: figures, not samples."""
    return {
        "verdict": verdict.word,
        "faults": verdict.faults,
        "doubts": verdict.doubts,
        "alone": times(outcome.alone),
        "beside": times(outcome.beside),
        "errors": sum(bool(one.error) for one in outcome.beside),
        "deaths": outcome.deaths,
        "is_control_alive": outcome.is_control_alive,
        "grown_kib": outcome.grown_kib,
        "noted": dict(outcome.noted),
        "attacker": outcome.seen.document(),
        "books": None if outcome.books is None else outcome.books.document(),
    }


def times(samples: Sequence[Sample]) -> dict[str, float]:
    """Milliseconds. ``own``: of the longest, without waits for a CPU; ``late``: the victim's own waking, p99."""
    took = [one.took_ms for one in samples]
    return {
        "requests": len(samples),
        "p50": percentile(took, 0.5),
        "p99": percentile(took, 0.99),
        "longest": percentile(took, 1.0),
        "own_p99": percentile([one.own_ms for one in samples], 0.99),
        "own_longest": percentile([one.own_ms for one in samples], 1.0),
        "late_p99": percentile([one.late_ms for one in samples], 0.99),
    }
