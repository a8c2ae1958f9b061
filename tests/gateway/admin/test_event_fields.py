"""How the binary mode spells an attribute (CloudEvents HTTP binding 3.1.3.2)."""

from __future__ import annotations

import pytest

from gateway.admin.event_fields import attributes_of, decoded
from gateway.control.errors import Refusal


@pytest.mark.parametrize(
    "spelt, said",
    [
        pytest.param("a1", "a1", id="as it is"),
        pytest.param('"a1"', "a1", id="quoted"),
        pytest.param(r'"a\"\1"', 'a"1', id="with escapes in the quotes"),
        pytest.param('"Euro%20%E2%82%AC"', "Euro €", id="quoted and encoded"),
        pytest.param("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀", id="encoded, as the binding's example"),
        pytest.param("%61%31", "a1", id="encoded without need"),
        pytest.param("%e2%82%ac", "€", id="small hex digits"),
        pytest.param("a%2561", "a%61", id="one round and no second one"),
        pytest.param('"a%2561"', "a%61", id="one round within quotes"),
        pytest.param('a"1', 'a"1', id="a quote in the middle"),
        pytest.param('""', "", id="nothing, quoted"),
    ],
)
def test_a_value_is_unquoted_and_decoded_once(spelt: str, said: str) -> None:
    assert decoded(spelt) == said


@pytest.mark.parametrize(
    "spelt",
    ["%FF", "%C0%AF", "%ED%A0%80", "%E2%82", "%", "a%4", "%zz", "%u20AC", '"a', '"a"b', '"a\\"', "é", "\udcff", '"é"'],
)
def test_what_says_nothing_is_refused_with_its_name(spelt: str) -> None:
    with pytest.raises(Refusal) as refusal:
        attributes_of([("Ce-Id", spelt), ("ce-source", "/edge"), ("ce-time", "%")])
    assert [fault.path for fault in refusal.value.faults] == ["id", "time"]


def test_an_attribute_that_comes_twice_is_refused() -> None:
    with pytest.raises(Refusal) as refusal:
        attributes_of([("ce-id", "1"), ("CE-ID", "1"), ("Accept", "a"), ("Accept", "b")])
    assert [fault.path for fault in refusal.value.faults] == ["id"]
