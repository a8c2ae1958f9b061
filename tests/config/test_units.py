"""Sizes, durations and money: text to integers and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from config.money import AMOUNT_MAX_E8, PRICE_MAX_E8, format_e8, parse_amount_e8, parse_e8, parse_price_e8, read_e8
from config.units import parse_duration, parse_size
from config.values import Duration


@pytest.mark.parametrize(
    "text, size", [("1B", 1), ("1KiB", 1024), ("1KB", 1024), ("16MiB", 16 << 20), ("10 GiB", 10 << 30), ("0B", 0)]
)
def test_sizes_are_1024_based(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "1", 1, "1.5MiB", "-1B", "1TB", "MiB", "1kib"])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize("text, seconds", [("100ms", 0.1), ("1.5s", 1.5), ("2m", 120), ("1h", 3600), ("7d", 604800)])
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "30", 30, "-1s", "1w", "s"])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["1ms", "1.5ms", "0.3s", "30s", "86399.999s", "100000.5s", "7d", "36500d"])
def test_a_duration_that_is_shown_can_be_handed_in_again(text: str) -> None:
    duration: TypeAdapter[float] = TypeAdapter(Duration)
    seconds = duration.validate_python(text)
    assert duration.validate_python(duration.dump_python(seconds, mode="json")) == seconds


@given(st.integers(min_value=0, max_value=10**18 - 1))
def test_money_survives_a_round_trip(amount_e8: int) -> None:
    assert parse_e8(format_e8(amount_e8)) == amount_e8
    assert parse_e8(format_e8(-amount_e8), signed=True) == -amount_e8


@pytest.mark.parametrize("text", ["", "1.", ".5", "1e3", "0.123456789", "-1", "1,5", " 1", "١", "12345678901"])
def test_what_is_no_money_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no amount"):
        parse_e8(text)


def test_an_amount_that_is_handed_in_has_a_bound() -> None:
    assert parse_amount_e8("1000000000.00") == AMOUNT_MAX_E8
    assert parse_price_e8("1000.00") == PRICE_MAX_E8
    for parse, text in ((parse_amount_e8, "1000000000.00000001"), (parse_price_e8, "1000.00000001")):
        with pytest.raises(ValueError, match="at most"):
            parse(text)


@given(st.integers(min_value=-(2**80), max_value=2**80))
def test_what_was_written_can_be_read_however_large_it_is(amount_e8: int) -> None:
    assert read_e8(format_e8(amount_e8)) == amount_e8


def test_a_float_is_no_money() -> None:
    with pytest.raises(ValueError, match="quoted"):
        parse_e8(0.1)  # type: ignore[arg-type]
