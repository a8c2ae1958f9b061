"""Text and time: RFC 3339, within two hundred years, and nothing else."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.instants import INSTANT_END, INSTANT_MIN, instant_text, parse_instant, parse_month


@pytest.mark.parametrize(
    "text, instant",
    [
        ("2026-01-15T09:00:00Z", 1_768_467_600),
        ("2026-01-15T17:00:00+08:00", 1_768_467_600),
        ("2026-01-15 17:00:00.999+08:00", 1_768_467_600),
        ("2026-01-15t09:00:00z", 1_768_467_600),
        ("2026-01-14T09:01:00-23:59", 1_768_467_600),
        ("2000-01-01T00:00:00Z", INSTANT_MIN),
        ("2199-12-31T23:59:59Z", INSTANT_END - 1),
        (datetime(2026, 1, 15, 9, tzinfo=UTC), 1_768_467_600),
    ],
)
def test_an_instant_is_whole_seconds(text: object, instant: int) -> None:
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    "value",
    ["", "2026-01-15", "2026-01-15T09:00:00", "20260115T090000Z", "2026-W03-4T09:00:00Z", "2026-01-15T09:00Z",
     "2026-01-15T09:00:00+0800", "2026-01-15T09:00:00,5Z", "2026-02-30T00:00:00Z", "2026-01-15T24:00:00Z",
     "2026-01-15T09:00:00Z\n", " 2026-01-15T09:00:00Z", "٢٠٢٦-01-15T09:00:00Z", "2026-01-15T09:00:00+24:00",
     "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "0000-01-01T00:00:00Z", "1999-12-31T23:59:59Z",
     "2000-01-01T00:00:00+00:01", "2200-01-01T00:00:00Z", "2199-12-31T23:59:59-00:01",
     datetime(2026, 1, 15), 1_768_467_600, 1.5, True, None, [], {}],
)  # fmt: skip
def test_what_is_no_instant_or_beyond_them_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"has to be|no time"):
        parse_instant(value)


@given(st.integers(min_value=INSTANT_MIN, max_value=INSTANT_END - 1))
def test_what_is_kept_can_be_shown_and_read_again(instant: int) -> None:
    assert parse_instant(instant_text(instant)) == instant


@pytest.mark.parametrize("instant", [-(2**63), -62_135_596_801, 253_402_300_800, 2**63 - 1])
def test_what_an_older_version_let_in_is_shown_all_the_same(instant: int) -> None:
    assert instant_text(instant) in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")


@pytest.mark.parametrize("value", ["2000-01", "2199-12", "2026-11"])
def test_a_month_is_a_year_and_a_number(value: str) -> None:
    assert parse_month(value) == value


@pytest.mark.parametrize(
    "value",
    ["0000-01", "0001-01", "1969-12", "1999-12", "2200-01", "9999-12", "2026-13", "2026-1", "2026-01\n", "", 1, []],
)  # fmt: skip
def test_what_is_no_month_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"month|years"):
        parse_month(value)
