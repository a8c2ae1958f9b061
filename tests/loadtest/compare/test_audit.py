"""The audit finds what does not add up: every fault is put in once."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest

from loadtest.compare.audit import amount_by_hand, audit
from loadtest.compare.recording import Recorder


def seen() -> dict[str, Recorder]:
    made = {}
    for instance in ("shared", "dedicated"):
        recorder = made[instance] = Recorder()
        for status in (200, 200, 429, 101):
            recorder.add("json", status, 1000.0, 1.0)
        recorder.read_bytes = 3 * 2**30 + 400
    return made


def usage_row(instance: str, **more: Any) -> dict[str, Any]:
    egress = [
        {"side": "client", "network": "internet", "basis": "application", "bytes": 3 * 2**30},
        {"side": "refused", "network": "internet", "basis": "application", "bytes": 400},
        {"side": "refused", "network": "internet", "basis": "wire", "bytes": 10**11},
        {"side": "client", "network": "internet", "basis": "wire", "bytes": 10**12},
        {"side": "backend", "network": "internet", "basis": "application", "bytes": 2**30},
    ]
    row = {"instance": instance, "calls": 2, "websocket_connections": 1, "frontend_errors": {"rate_limited": 1}}
    return {**row, "egress": egress, **more}


USAGE = [usage_row("shared"), usage_row("dedicated")]


def line(instance: str, meter: str, quantity: int, unit_price: str, per: int, amount: str) -> dict[str, Any]:
    figures = {"quantity": quantity, "unit_price": unit_price, "per": per, "amount": amount}
    return {"month": "2026-11", "instance": instance, "meter": meter, **figures}


LINES = [
    line("shared", "calls", 2, "0.0089", 10_000, "0.00000178"),
    line("shared", "egress_client", 3 * 2**30, "0.12", 2**30, "0.36000000"),
    line("shared", "egress_backend", 2**30, "0.12", 2**30, "0.12000000"),
    line("dedicated", "egress_client", 3 * 2**30, "0.12", 2**30, "0.36000000"),
    line("dedicated", "instance_seconds", 3600, "0.00013889", 1, "0.50000400"),
]


def wrong(seen: dict[str, Recorder], usage: Any = USAGE, lines: Any = LINES) -> list[str]:
    return [check.text for check in audit(seen, usage, lines) if not check.is_equal]


def test_what_adds_up_passes() -> None:
    assert wrong(seen()) == []
    assert len(audit(seen(), USAGE, LINES)) == 11


def test_a_request_that_was_not_counted_is_found() -> None:
    usage = [usage_row("shared", calls=1), usage_row("dedicated")]
    assert wrong(seen(), usage) == [
        "shared: sent = calls + WebSockets + front-end errors",
        "shared: calls metered = billed",
    ]


def test_a_refusal_that_was_counted_as_something_else_is_found() -> None:
    usage = [usage_row("shared", frontend_errors={"no_route": 1}), usage_row("dedicated")]
    assert wrong(seen(), usage) == ["shared: 429 seen = rate_limited counted"]


def test_one_byte_is_found() -> None:
    records = seen()
    records["dedicated"].read_bytes += 1
    assert wrong(records) == ["dedicated: bytes read = bytes metered to clients"]


def test_a_refusal_whose_bytes_were_billed_is_found() -> None:
    """X11."""
    lines = copy.deepcopy(LINES)
    lines[1]["quantity"] += 400
    assert "shared: egress_client metered = billed" in wrong(seen(), lines=lines)


def test_without_an_answer_the_reason_is_said() -> None:
    records = seen()
    records["shared"].add("json", 0, 1000.0, 1.0)
    checks = [check for check in audit(records, USAGE, LINES) if not check.is_equal]
    assert [check.note for check in checks] == ["1 without an answer"]


@pytest.mark.parametrize("at, meter", [(0, "calls"), (1, "egress_client"), (2, "egress_backend")])
def test_a_quantity_that_was_billed_twice_is_found(at: int, meter: str) -> None:
    assert f"shared: {meter} metered = billed" in wrong(seen(), lines=[*LINES, copy.deepcopy(LINES[at])])


def test_a_wrong_price_or_amount_is_found() -> None:
    lines = copy.deepcopy(LINES)
    lines[1]["amount"] = "0.36000001"
    assert wrong(seen(), lines=lines) == ["money: quantities x prices = the bill, USD"]
    cheaper = [{**LINES[0], "unit_price": "0.0001", "amount": "0.00000002"}, *LINES[1:]]
    assert wrong(seen(), lines=cheaper) == ["money: quantities x prices = the bill, USD"]


def test_money_is_rounded_once_a_month_not_once_a_line() -> None:
    """RULES G9: 45 bytes in each of three hours are 2e-8 together."""
    lines = [line("shared", "egress_client", 45, "0.12", 2**30, "0") for _ in range(3)]
    assert amount_by_hand(lines) == Decimal("0.00000002")
    assert amount_by_hand([{**one, "month": f"2026-{at}"} for at, one in enumerate(lines)]) == Decimal("0.00000003")
