"""Clients that never finish their heads cost the others nothing, and leave in time. Counts only, at a small size."""

from loadtest.slowloris import Size, slowloris
from loadtest.traffic import Mix


def test_the_others_are_all_served_and_the_slow_ones_are_answered_408() -> None:
    mix = Mix(rate=50, connections=8, slow_share=0)
    size = Size(mix, slow=200, seconds=4, rounds=1, head_timeout_s=2, byte_interval_s=0.5)
    phases, slow = slowloris(size)
    for name, counts in phases.items():
        assert counts.completed > 100, name
        assert (counts.failed, counts.unannounced) == (0, 0), (name, counts.reasons)
    assert slow.refused > 100
    assert slow.cut == 0
    assert slow.longest_s >= size.head_timeout_s  # no sooner, and, with a byte each half second, no later for it:
    assert slow.longest_s < size.seconds
