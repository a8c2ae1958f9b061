"""API keys by their digests (DESIGN 1.2, `auth`): what was admitted is known again, and nothing else is."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from gateway.limits.limit import Limit
from gateway.limits.quota import Quota
from gateway.proxy.service import KeyRule


def no_limit(level: str, name: str, document: dict[str, Any]) -> Limit:
    raise AssertionError("these keys have none")


def no_quota(name: str, document: dict[str, Any]) -> Quota:
    raise AssertionError("these keys have none")


def rule(**keys: bytes) -> KeyRule:
    items = [{"id": id, "sha256": hashlib.sha256(value).hexdigest()} for id, value in keys.items()]
    return KeyRule({"header": "Authorization", "strip": False, "keys": items}, "s", no_limit, no_quota)


def admitted(keys: KeyRule, value: bytes) -> str | None:
    key = keys.key_of(value)
    return None if key is None else key.id


def test_each_value_is_its_own_key() -> None:
    keys = rule(one=b"alpha", two=b"beta")
    for _ in range(2):
        assert [admitted(keys, value) for value in (b"alpha", b"beta", b"alpha ", b"Alpha", b"")] == [
            "one",
            "two",
            None,
            None,
            None,
        ]


def test_a_value_that_was_admitted_costs_no_second_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = rule(one=b"alpha")
    assert admitted(keys, b"alpha") == "one"

    def digested(value: bytes) -> None:
        raise AssertionError(f"a digest of {value!r}")

    monkeypatch.setattr(hashlib, "sha256", digested)
    assert admitted(keys, bytes(bytearray(b"alpha"))) == "one"
    with pytest.raises(AssertionError, match="beta"):
        keys.key_of(b"beta")


class Alike(bytes):
    """Values whose hashes are equal, which clients cannot find."""

    def __hash__(self) -> int:
        return 7


def test_an_equal_hash_is_not_enough() -> None:
    keys = rule(one=b"alpha")
    assert [admitted(keys, Alike(value)) for value in (b"alpha", b"beta", b"alpha")] == ["one", None, "one"]


def test_refused_values_are_not_kept() -> None:
    keys = rule(one=b"alpha")
    for number in range(100):
        assert keys.key_of(b"%d" % number) is None
    assert admitted(keys, b"alpha") == "one"
    assert len(keys._admitted) == 1
