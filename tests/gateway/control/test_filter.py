import pytest

from gateway.control.errors import Refusal
from gateway.control.filter import Filter


def test_a_query_makes_the_filter_that_makes_the_query() -> None:
    query = {"account": "acme", "month": "2026-01", "from": "2026-01-15T09:00:00Z", "to": "2026-01-15T11:00:00Z"}
    filter = Filter.parse(query)
    assert filter.to_hour is not None and filter.from_hour is not None
    assert filter.to_hour - filter.from_hour == 2
    assert filter.query() == query


def test_a_range_covers_every_hour_it_touches() -> None:
    filter = Filter.parse({"from": "2026-01-15T09:30:00+08:00", "to": "2026-01-15T10:30:00+08:00"})
    assert filter.holds_hour("2026-01-15T01:00:00Z")
    assert filter.holds_hour("2026-01-15T02:00:00Z")
    assert not filter.holds_hour("2026-01-15T03:00:00Z")


@pytest.mark.parametrize(
    "query",
    [
        pytest.param({"month": "2026-13"}, id="no such month"),
        pytest.param({"month": "2026-1"}, id="month in one digit"),
        pytest.param({"from": "yesterday"}, id="no time"),
        pytest.param({"acount": "acme"}, id="unknown filter"),
    ],
)
def test_a_bad_filter_is_refused_by_its_name(query: dict[str, str]) -> None:
    with pytest.raises(Refusal) as refused:
        Filter.parse(query)
    assert refused.value.code == "invalid"
    assert [fault.path for fault in refused.value.faults] == list(query)
