import pytest

from billing.calendar import LocalCalendar
from billing.refunds import pro_rata_e8, shares, within_five_days
from billing.wallet import BUCKETS
from tests.billing.world import at

SHANGHAI = LocalCalendar("Asia/Shanghai")


@pytest.mark.parametrize(
    ("now", "is_within"),
    [
        pytest.param("2024-03-01 23:59:59", True, id="the day of purchase does not count"),
        pytest.param("2024-03-06 23:59:59", True, id="the fifth day is in"),
        pytest.param("2024-03-07 00:00:00", False, id="the sixth is out"),
    ],
)
def test_five_days_are_local_dates(now: str, is_within: bool) -> None:
    assert within_five_days(at("2024-03-01 23:59"), at(now), SHANGHAI) is is_within


@pytest.mark.parametrize(
    ("now", "refund_e8"),
    [
        pytest.param("2024-03-01 00:00", 800_00000000, id="at once"),
        pytest.param("2024-03-02 00:00", 790_21739130, id="one day"),
        pytest.param("2024-03-02 00:00:01", 780_43478261, id="a second day begun"),
        pytest.param("2024-03-20 10:00", 604_34782609, id="G15"),
        pytest.param("2024-05-31 12:00", 0, id="never negative"),
    ],
)
def test_a_refund_leaves_out_started_days(now: str, refund_e8: int) -> None:
    begin, end = at("2024-03-01 00:00"), at("2024-06-01 00:00")
    assert pro_rata_e8(900 * 10**8, 800 * 10**8, begin, end, at(now)) == refund_e8


@pytest.mark.parametrize(
    ("amount_e8", "paid", "split"),
    [
        pytest.param(362_60000000, (200_00000000, 0, 207_96000000), (177_76252574, 0, 184_83747426), id="G14"),
        pytest.param(604_34782609, (500_00000000, 0, 300_00000000), (377_71739131, 0, 226_63043478), id="G15"),
        pytest.param(10, (0, 7, 0), (0, 10, 0), id="one payer gets all"),
        pytest.param(0, (0, 0, 0), (0, 0, 0), id="nothing of nothing"),
        pytest.param(1, (1, 1, 1), (0, 0, 1), id="the last gets the remainder"),
        pytest.param(90, (100, 200, 0), (30, 60, 0), id="G17"),
    ],
)
def test_shares_add_up(amount_e8: int, paid: tuple[int, ...], split: tuple[int, ...]) -> None:
    parts = shares(amount_e8, dict(zip(BUCKETS, paid, strict=True)), BUCKETS)
    assert tuple(parts.values()) == split
    assert sum(parts.values()) == amount_e8
