import pytest

from billing.calendar import hour_start
from billing.packs import Pack, PackState, Source, burn, refund_refusal, state_of, validity
from tests.billing.world import at


def pack(key: int, left: int = 10, from_hour: int = 0, to_hour: int = 100, **changes: object) -> Pack:
    made = Pack(key, f"p{key}", "calls", Source.PURCHASE, left, 0, from_hour, to_hour)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("packs", "order"),
    [
        pytest.param([pack(1), pack(2, source=Source.FREE)], [2, 1], id="free first (B19)"),
        pytest.param([pack(1, to_hour=90), pack(2, to_hour=80)], [2, 1], id="what ends first (X18)"),
        pytest.param([pack(1, from_hour=5), pack(2, from_hour=4)], [2, 1], id="then what began first"),
        pytest.param([pack(2), pack(1)], [1, 2], id="then what was bought first (P3)"),
        pytest.param([pack(1, meter="egress"), pack(2)], [2], id="its own meter only (B33)"),
        pytest.param([pack(1, from_hour=51), pack(2, to_hour=50), pack(3, to_hour=51)], [3], id="half-open validity"),
        pytest.param([pack(1, is_refunded=True), pack(2)], [2], id="not a refunded one (X32)"),
    ],
)
def test_packs_burn_in_order(packs: list[Pack], order: list[int]) -> None:
    assert [given.key for given, _ in burn(packs, "calls", 50, 1000)] == order


def test_a_burn_takes_no_more_than_asked_and_no_more_than_there_is() -> None:
    packs = [pack(1, left=10), pack(2, left=10)]
    assert [units for _, units in burn(packs, "calls", 50, 15)] == [10, 5]
    assert [units for _, units in burn(packs, "calls", 50, 15)] == [5]
    assert burn(packs, "calls", 50, 15) == []


@pytest.mark.parametrize(
    ("bought_at", "begins", "ends"),
    [
        pytest.param("2020-10-12 10:20:30", "2020-10-12 10:00", "2021-01-10 11:00", id="within an hour"),
        pytest.param("2020-10-12 10:59:59", "2020-10-12 10:00", "2021-01-10 11:00", id="at its end"),
        pytest.param("2020-10-12 10:00:01", "2020-10-12 10:00", "2021-01-10 11:00", id="a second into it"),
        pytest.param("2020-10-12 10:00:00", "2020-10-12 10:00", "2021-01-10 10:00", id="on the hour"),
    ],
)
def test_validity_is_never_short_of_thirty_days_a_month(bought_at: str, begins: str, ends: str) -> None:
    from_hour, to_hour = validity(at(bought_at), 3)
    assert (hour_start(from_hour), hour_start(to_hour)) == (at(begins), at(ends))
    assert at(bought_at) + 90 * 24 * 3600 <= hour_start(to_hour)


@pytest.mark.parametrize(
    ("one", "refusal"),
    [
        pytest.param(pack(1), None, id="unused, valid, bought"),
        pytest.param(pack(1, source=Source.CAMPAIGN), None, id="campaign (P4)"),
        pytest.param(pack(1, source=Source.FREE), "pack_source", id="free"),
        pytest.param(pack(1, used=1), "pack_used", id="used"),
        pytest.param(pack(1, to_hour=50), "pack_expired", id="expired"),
        pytest.param(pack(1, is_refunded=True), "pack_refunded", id="refunded before"),
    ],
)
def test_a_refund_needs_all_four_conditions(one: Pack, refusal: str | None) -> None:
    assert refund_refusal(one, hour_start(50)) == refusal


@pytest.mark.parametrize(
    ("one", "hour", "state"),
    [
        pytest.param(pack(1), 99, PackState.ACTIVE, id="active to its last hour"),
        pytest.param(pack(1), 100, PackState.EXPIRED, id="expired at its end"),
        pytest.param(pack(1, used=10), 99, PackState.USED_UP, id="used up"),
        pytest.param(pack(1, used=10), 100, PackState.EXPIRED, id="used up and expired (P4)"),
        pytest.param(pack(1, is_refunded=True), 100, PackState.REFUNDED, id="refunded for good"),
    ],
)
def test_states(one: Pack, hour: int, state: PackState) -> None:
    assert state_of(one, hour_start(hour)) is state
