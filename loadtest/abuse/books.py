"""What an attack cost, and whom: usage rows and bill lines."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from loadtest.node import Node

COUNTED_S_MAX: Final = 20.0  # `/v1/usage` is at most 2 s behind, where the control process is well
SETTLED_S_MAX: Final = 30.0  # an hour of the node's clock is over in six seconds
_STILL_S: Final = 2.5  # Unchanged for so long, usage is whole.
_POLL_S: Final = 0.25


@dataclass
class Counted:
    """Of one service."""

    calls: int = 0
    egress_bytes: int = 0  # to clients, as applications see it: what is billed
    refused: Counter[str] = field(default_factory=Counter)  # front-end errors, by code
    failed: Counter[str] = field(default_factory=Counter)  # back-end errors, by code


@dataclass
class Billed:
    """Of one account. ``calls``: in its bill lines; ``amount``: of all that traffic costs, in USD."""

    calls: int = 0
    amount: str = "0"


@dataclass
class Books:
    """By service, and by account."""

    counted: dict[str, Counted]
    billed: dict[str, Billed]

    def document(self) -> dict[str, Any]:
        services = {
            name: {**vars(one), "refused": dict(one.refused), "failed": dict(one.failed)}
            for name, one in self.counted.items()
        }
        return {"counted": services, "billed": {name: vars(one) for name, one in self.billed.items()}}


def books(node: Node, services: tuple[str, ...], accounts: tuple[str, ...], calls: Mapping[str, int]) -> Books:
    """Once these ``calls`` are counted by service, or were waited for, and nothing is any more, and it is settled."""
    rows = _usage(node, calls)
    _wait_settled(node, rows)
    return Books({name: counted(rows, name) for name in services}, {name: _billed(node, name) for name in accounts})


def _usage(node: Node, calls: Mapping[str, int]) -> list[dict[str, Any]]:
    deadline = time.monotonic() + COUNTED_S_MAX
    rows, since = _rows(node), time.monotonic()
    while time.monotonic() < deadline:
        is_here = all(counted(rows, service).calls >= number for service, number in calls.items())
        if is_here and time.monotonic() - since >= _STILL_S:
            break
        time.sleep(_POLL_S)
        now = _rows(node)
        if now != rows:
            rows, since = now, time.monotonic()
    return rows


def _rows(node: Node) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = node.call("GET", "/v1/usage")["items"]
    return rows


def counted(rows: list[dict[str, Any]], service: str) -> Counted:
    """The hours of a service together."""
    whole = Counted()
    for row in rows:
        if row["service"] != service:
            continue
        whole.calls += row["calls"]
        whole.refused.update(row["frontend_errors"])
        whole.failed.update(row["backend_errors"])
        for item in row["egress"]:
            if item["side"] == "client" and item["basis"] == "application":
                whole.egress_bytes += item["bytes"]
    return whole


def _wait_settled(node: Node, rows: list[dict[str, Any]]) -> None:
    """Every hour with calls has its settlement."""
    wanted = {(row["account"], row["hour"]) for row in rows if row["calls"]}
    deadline = time.monotonic() + SETTLED_S_MAX
    while time.monotonic() < deadline:
        items = node.call("GET", "/v1/settlements")["items"]
        if wanted <= {(item["account"], item["hour"]) for item in items}:
            return
        time.sleep(_POLL_S)


def _billed(node: Node, account: str) -> Billed:
    bills = node.call("GET", f"/v1/bills?account={account}")["bills"].values()
    lines = [line for bill in bills for line in bill["lines"] if line["meter"] != "instance_seconds"]
    amount = sum((Decimal(line["amount"]) for line in lines), Decimal(0))
    return Billed(sum(line["quantity"] for line in lines if line["meter"] == "calls"), format(amount.normalize(), "f"))
