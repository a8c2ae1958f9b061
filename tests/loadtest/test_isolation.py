"""RULES L8: a flood on the shared instance, and deaths of its workers, are no error of a dedicated one."""

from loadtest.isolation import Size, isolation
from loadtest.traffic import Mix


def test_a_flood_and_kills_on_the_shared_instance_are_no_error_of_the_dedicated_one() -> None:
    done = isolation(Size(Mix(rate=50, connections=8, slow_share=0), seconds=3, kills=2))
    sent, admitted, refused, _ = done.flood
    assert done.killed == 2
    assert sent > admitted + refused > 0
    assert refused > admitted, "it was a flood"
    for name, counts in done.phases.items():
        assert counts.completed > 50, name
        assert (counts.failed, counts.excused, counts.unannounced) == (0, 0, 0), (name, counts.reasons)
    assert sum(counts.sent for counts in done.phases.values()) == sum(one.completed for one in done.phases.values())
