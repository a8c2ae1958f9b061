import pytest

from billing.rating import Accumulator, Slice, Tier, graduated, next_tier

TIERS = (Tier(10_000_000, 890_000), Tier(100_000_000, 590_000), Tier(None, 450_000))


@pytest.mark.parametrize(
    ("position", "units", "slices"),
    [
        pytest.param(0, 10_000_000, [Slice(1, 10_000_000)], id="last call of tier 1"),
        pytest.param(10_000_000, 1, [Slice(2, 1)], id="first call of tier 2"),
        pytest.param(99_999_999, 2, [Slice(2, 1), Slice(3, 1)], id="over the upper bound"),
        pytest.param(
            0, 150_000_000, [Slice(1, 10_000_000), Slice(2, 90_000_000), Slice(3, 50_000_000)], id="G3: all tiers"
        ),
        pytest.param(9_999_000, 3_000, [Slice(1, 1_000), Slice(2, 2_000)], id="G4"),
        pytest.param(5, 0, [], id="nothing"),
    ],
)
def test_calls_are_cut_at_the_tiers(position: int, units: int, slices: list[Slice]) -> None:
    assert graduated(TIERS, position, units) == slices


def test_the_next_call_decides_the_current_tier() -> None:
    assert [next_tier(TIERS, n) for n in (0, 9_999_999, 10_000_000, 100_000_000)] == [1, 1, 2, 3]


def test_an_open_tier_is_needed_at_the_end() -> None:
    with pytest.raises(AssertionError):
        graduated(TIERS[:1], 0, 10_000_001)


@pytest.mark.parametrize("pieces", [[135], [45, 45, 45], [1] * 135, [134, 1]])
def test_rounded_parts_add_up_to_the_rounded_whole(pieces: list[int]) -> None:
    accumulator = Accumulator()
    assert sum(accumulator.add(piece, 12_000_000, 2**30) for piece in pieces) == 2
