"""One attack from its beginning to what it cost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from http.client import HTTPException
from typing import IO, Any, Final

from loadtest.abuse.attack import Attack, Seen
from loadtest.abuse.books import books
from loadtest.abuse.judge import Outcome
from loadtest.abuse.stage import ATTACKED, CALM, MARK, VICTIM, Stage, staged
from loadtest.abuse.victim import ANSWER_S_MAX, Sample, samples_of

WARM_S: Final = 0.5  # Connections are made, code is warm.
AFTER_S: Final = 0.5  # What an attack leaves behind is the victim's, too.
END_S_MAX: Final = ANSWER_S_MAX + 10.0
_PROBE_S_MAX: Final = 120.0

Report = Callable[[str], None]


class _Apart:
    """A process that ends when its standard input does, and prints a document."""

    def __init__(self, arguments: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def wait_ready(self) -> None:
        said = _of(self.process.stdout).readline()
        if said != "ready\n":
            raise RuntimeError(f"the attacker did not start: {said!r}")

    def begin(self) -> None:
        _of(self.process.stdin).write("begin\n")
        _of(self.process.stdin).flush()

    def document(self) -> Any:
        printed, _ = self.process.communicate(timeout=END_S_MAX)
        return json.loads(printed.splitlines()[-1])

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def _of(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def run(attack: Attack, seconds: float, report: Report = lambda _: None) -> Outcome:
    """The victim alone for ``seconds``, then beside the attack for as long."""
    report("starting the node")
    with ExitStack() as stack:
        stage = stack.enter_context(staged(attack.setup))
        seconds_max = str(2 * seconds + _PROBE_S_MAX)
        attacker = _Apart(_attacker(attack, stage, seconds_max))
        stack.callback(attacker.close)
        attacker.wait_ready()
        victim = _Apart(_victim(attack, stage, seconds_max))
        stack.callback(victim.close)
        time.sleep(WARM_S)
        report("the victim alone")
        alone_s = time.monotonic()
        time.sleep(seconds)
        peak_kib = stage.worker_peak_kib()
        report(f"beside {attack.what}")
        begun_s = time.monotonic()
        attacker.begin()
        time.sleep(seconds)
        ended_s = time.monotonic()
        grown_kib = max(0, stage.worker_peak_kib() - peak_kib)
        noted = attack.probe(stage) if attack.probe is not None else {}
        seen = Seen.of(attacker.document())
        time.sleep(AFTER_S)
        samples = samples_of(victim.document())
        report("what it cost")
        # What the probe does to the node is not the attack's doing.
        outcome = Outcome(
            alone=_within(samples, alone_s, begun_s),
            beside=_within(samples, begun_s, ended_s if attack.probe is not None else float("inf")),
            seen=seen,
            noted={**noted, **seen.noted},
            grown_kib=grown_kib,
        )
        _close_books(stage, outcome, samples)
        return outcome


def _attacker(attack: Attack, stage: Stage, seconds_max: str) -> list[str]:
    ports = {"--entry": stage.entry, "--admin": stage.node.admin_port, "--upstream": stage.upstream}
    arguments = [text for name, port in ports.items() for text in (name, str(port))]
    return ["loadtest.abuse.attacker", attack.name, *arguments, "--seconds", seconds_max]


def _victim(attack: Attack, stage: Stage, seconds_max: str) -> list[str]:
    arguments = ["--port", str(stage.entry), "--worker", str(stage.worker), "--seconds", seconds_max]
    return ["loadtest.abuse.victim", *arguments, *(["--tls"] if attack.setup.is_tls else [])]


def _within(samples: list[Sample], from_s: float, to_s: float) -> list[Sample]:
    return [one for one in samples if from_s <= one.due_s < to_s]


def _close_books(stage: Stage, outcome: Outcome, samples: list[Sample]) -> None:
    """What the node says after it; of one that says nothing, that."""
    asked = [one for one in samples if one.is_asked]
    outcome.asked = len(asked)
    outcome.completed = sum(not one.error for one in asked)
    outcome.read_bytes = sum(one.bytes_read for one in samples)
    try:
        accounts = (MARK,) if stage.pool == MARK else (VICTIM, MARK)
        outcome.books = books(stage.node, (CALM, ATTACKED), accounts, {CALM: outcome.completed})
        outcome.deaths = max(stage.restarts(), int(stage.worker_now() != stage.worker))
    except (OSError, HTTPException):
        outcome.deaths = int(stage.worker_peak_kib() == 0)
    outcome.is_control_alive = stage.node.process.poll() is None
