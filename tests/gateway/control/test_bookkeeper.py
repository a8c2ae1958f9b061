"""What the control process does on its store, and how often."""

import pytest

from gateway.control.bookkeeper import collect_pause_s


@pytest.mark.parametrize(
    "cpu_s, pause_s",
    [(0.0, 0.5), (0.02, 0.5), (0.05, 0.95), (0.065, 1.235), (0.2, 1.1), (0.5, 0.5), (2.0, 0.5)],
)
def test_collecting_takes_a_twentieth_of_a_cpu_while_metrics_are_fresh(cpu_s: float, pause_s: float) -> None:
    assert collect_pause_s(cpu_s) == pytest.approx(pause_s)
