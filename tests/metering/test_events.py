"""What an event says, and what is wrong with one that says nothing we can count."""

from __future__ import annotations

from typing import Any

import pytest

from metering.clock import hour_of
from metering.events import AMOUNT_MAX, EVENTS_MAX, EventsInvalid, parse_events

NOW_S = 1_764_000_000.0  # 2025-11-24T16:00:00Z
ITEM = {"side": "client", "network": "internet", "basis": "application", "bytes": 1}
DATA = {"instance": "s1", "service": "orders", "calls": 12}


def event(**changes: Any) -> dict[str, Any]:
    document = {
        "specversion": "1.0",
        "id": "1",
        "source": "/edge/7",
        "type": "tollgate.usage",
        "time": "2025-11-24T15:59:59Z",
        "data": DATA,
    }
    return {name: value for name, value in {**document, **changes}.items() if value is not None}


def place_of(instance: str) -> tuple[str, str] | None:
    return ("acme", "ap-guangzhou") if instance == "s1" else None


def begin_of(account: str) -> int:
    return hour_of(NOW_S) - 3 * 24


def test_an_event_is_amounts_of_an_hour() -> None:
    item = {"side": "client", "network": "internet", "basis": "application", "bytes": 7}
    refused = {**item, "side": "refused"}
    (parsed,) = parse_events(
        [event(data={**DATA, "ingress": 5, "egress": [item, item, refused]}, extension="ignored")],
        NOW_S,
        place_of,
        is_batch=False,
    )
    assert (parsed.writer, parsed.account, parsed.region) == ("ce:/edge/7", "acme", "ap-guangzhou")
    assert parsed.hour == hour_of(NOW_S) - 1
    assert parsed.amounts == {
        "calls": 12,
        "ingress": 5,
        "egress:client:internet:application": 14,
        "egress:refused:internet:application": 7,
    }


@pytest.mark.parametrize(
    "changes, path",
    [
        pytest.param({"specversion": "0.3"}, "specversion", id="another version"),
        pytest.param({"type": "com.example.other"}, "type", id="another type"),
        pytest.param({"id": ""}, "id", id="no id"),
        pytest.param({"id": "x" * 201}, "id", id="a long id"),
        pytest.param({"id": "a\nb"}, "id", id="a line break in the id"),
        pytest.param({"source": None}, "source", id="no source"),
        pytest.param({"time": None}, "time", id="no time"),
        pytest.param({"time": "2025-11-24T15:59:59"}, "time", id="a time without its offset"),
        pytest.param({"time": "2025-11-24T16:06:00Z"}, "time", id="the future"),
        pytest.param({"time": "2025-08-24T16:00:00Z"}, "time", id="three months ago"),
        pytest.param({"time": "1990-01-01T00:00:00Z"}, "time", id="before there was any"),
        pytest.param({"time": "9999-12-31T23:59:59-23:59"}, "time", id="beyond the calendar"),
        pytest.param({"time": "0001-01-01T00:00:00+23:59"}, "time", id="before the calendar"),
        pytest.param({"time": "20251124T155959Z"}, "time", id="ISO 8601 that is no RFC 3339"),
        pytest.param({"time": "2025-11-24T15:59:59+00:60"}, "time", id="an offset of sixty minutes"),
        pytest.param({"time": "2025-11-24T24:00:00+12:00"}, "time", id="hour 24"),
        pytest.param({"time": "2025-11-24T15:59:59 Z"}, "time", id="a space before the offset"),
        pytest.param({"time": 1_763_999_999}, "time", id="seconds of the epoch"),
        pytest.param({"time": "2025-W48-1T15:59:59Z"}, "time", id="a week"),
        pytest.param({"time": "2025-11-20T23:59:59Z"}, "time", id="before the account was activated"),
        pytest.param({"data": {**DATA, "service": "a\x00b"}}, "data.service", id="a NUL"),
        pytest.param({"data": {**DATA, "service": "a\ud800"}}, "data.service", id="half a character"),
        pytest.param({"data": {**DATA, "service": "a\x1b[0m"}}, "data.service", id="a control character"),
        pytest.param(
            {"data": {**DATA, "egress": [{**ITEM, "bytes": AMOUNT_MAX}, {**ITEM, "bytes": 1}]}},
            "data.egress",
            id="items that each fit and whose sum does not",
        ),
        pytest.param(
            {"data": {**DATA, "egress": [{**ITEM, "side": ["client"]}]}}, "data.egress[0].side", id="a list for a text"
        ),
        pytest.param({"datacontenttype": "text/xml"}, "datacontenttype", id="data in XML"),
        pytest.param({"data": None}, "data", id="no data"),
        pytest.param({"data": {"instance": "s1"}}, "data", id="nothing to count"),
        pytest.param({"data": {**DATA, "instance": "s2"}}, "data.instance", id="no such instance"),
        pytest.param({"data": {**DATA, "service": "x" * 64}}, "data.service", id="a long service"),
        pytest.param({"data": {**DATA, "calls": -1}}, "data.calls", id="a negative amount"),
        pytest.param({"data": {**DATA, "calls": 1.5}}, "data.calls", id="a part of a call"),
        pytest.param({"data": {**DATA, "calls": True}}, "data.calls", id="a flag"),
        pytest.param({"data": {**DATA, "calls": AMOUNT_MAX + 1}}, "data.calls", id="too many"),
        pytest.param({"data": {**DATA, "cals": 1}}, "data.cals", id="an unknown name"),
        pytest.param({"data": {**DATA, "egress": {}}}, "data.egress", id="egress that is no list"),
        pytest.param(
            {"data": {**DATA, "egress": [{"side": "client", "network": "moon", "basis": "wire", "bytes": 1}]}},
            "data.egress[0].network",
            id="another network",
        ),
    ],
)
def test_a_fault_is_named_by_its_place(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(EventsInvalid) as single:
        parse_events([event(**changes)], NOW_S, place_of, is_batch=False, begin_of=begin_of)
    assert [fault.path for fault in single.value.faults] == [path]
    with pytest.raises(EventsInvalid) as batch:
        parse_events([event(id="0"), event(**changes)], NOW_S, place_of, is_batch=True, begin_of=begin_of)
    assert [fault.path for fault in batch.value.faults] == [f"[1].{path}"]


@pytest.mark.parametrize(
    "time",
    [
        "2025-11-24t15:59:59z",
        "2025-11-24T15:59:59.000000000001Z",
        "2025-11-24T23:44:59+07:45",
        "2025-11-24 15:00:00-00:00",
    ],
)
def test_a_time_is_any_of_rfc_3339(time: str) -> None:
    (parsed,) = parse_events([event(time=time)], NOW_S, place_of, is_batch=False)
    assert parsed.hour == hour_of(NOW_S) - 1


@pytest.mark.parametrize("document", [None, 1, "x", []])
def test_an_event_is_an_object(document: Any) -> None:
    with pytest.raises(EventsInvalid, match="1 faults"):
        parse_events([document], NOW_S, place_of, is_batch=True)


def test_a_batch_has_a_bound() -> None:
    with pytest.raises(EventsInvalid) as error:
        parse_events([event()] * (EVENTS_MAX + 1), NOW_S, place_of, is_batch=True)
    assert str(EVENTS_MAX) in error.value.faults[0].message
