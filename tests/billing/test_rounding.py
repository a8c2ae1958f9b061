import pytest

from billing.rounding import R


@pytest.mark.parametrize(
    ("quantity", "price_e8", "per", "amount_e8"),
    [
        pytest.param(0, 12_000_000, 2**30, 0, id="nothing"),
        pytest.param(44, 12_000_000, 2**30, 0, id="44 bytes: just below a half"),
        pytest.param(45, 12_000_000, 2**30, 1, id="45 bytes: just above"),
        pytest.param(1, 1, 2, 1, id="a half goes up"),
        pytest.param(3, 1, 2, 2, id="not to the even one"),
        pytest.param(1_283_457_024, 12_000_000, 2**30, 14_343_750, id="G6"),
        pytest.param(20 * 86400, 900 * 10**8, 92 * 86400, 19_565_217_391, id="G15: the used part"),
        pytest.param(2**60, 15_000_000, 2**30, 2**30 * 15_000_000, id="an exabyte does not overflow"),
    ],
)
def test_amounts_are_rounded_half_up(quantity: int, price_e8: int, per: int, amount_e8: int) -> None:
    assert R(quantity, price_e8, per) == amount_e8
