"""Does it add up? What Locust sent and read, what the gateway counted, and what the account was billed. Pure.

Money is computed here anew from the bill's quantities and the guide's prices, with decimals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from loadtest.compare.plan import DEDICATED, SHARED
from loadtest.compare.recording import Recorder
from loadtest.compare.series import total

Row = dict[str, Any]
_E8: Final = Decimal("1e-8")
GIB: Final = 1 << 30
# Unit price and what it is for: B21, and B23 in this region. A dedicated instance's second is taken from its line.
PRICES: Final = {
    "calls": (Decimal("0.0089"), 10_000),
    "egress_client": (Decimal("0.12"), GIB),
    "egress_backend": (Decimal("0.12"), GIB),
}


@dataclass(frozen=True)
class Check:
    """Two figures that have to be the same. ``note`` says why they may not be, where there is a reason."""

    text: str
    outside: str
    inside: str
    is_equal: bool
    note: str = ""


def audit(seen: Mapping[str, Recorder], usage: Sequence[Row], lines: Sequence[Row]) -> list[Check]:
    """Every check, by instance, then the money. ``seen`` covers all runs; ``usage`` and ``lines`` likewise."""
    checks: list[Check] = []
    for instance in (SHARED, DEDICATED):
        rows = [row for row in usage if row["instance"] == instance]
        checks += _traffic(instance, seen[instance], rows)
        checks += _quantities(instance, rows, [line for line in lines if line["instance"] == instance])
    return [*checks, _money(lines)]


def _traffic(instance: str, record: Recorder, rows: Sequence[Row]) -> list[Check]:
    all_seen = total(record)
    errors = sum(sum(row["frontend_errors"].values()) for row in rows)
    calls, sockets = _sum(rows, "calls"), _sum(rows, "websocket_connections")
    limited = sum(row["frontend_errors"].get("rate_limited", 0) for row in rows)
    # Without an answer nobody outside can say what the gateway had got.
    note = f"{record.broken} without an answer" if record.broken else ""
    return [
        _same(
            f"{instance}: sent = calls + WebSockets + front-end errors", all_seen.sent, calls + sockets + errors, note
        ),
        _same(f"{instance}: 429 seen = rate_limited counted", all_seen.refused, limited, note),
        _same(f"{instance}: bytes read = bytes metered to clients", record.read_bytes, to_clients(rows), note),
    ]


def _quantities(instance: str, rows: Sequence[Row], lines: Sequence[Row]) -> list[Check]:
    """Shared pays for calls and bytes both ways (B7), dedicated for those to clients (B8); none for refusals (X11)."""
    metered = {"egress_client": egress(rows, "client", "internet")}
    if instance == SHARED:
        metered |= {"calls": _sum(rows, "calls"), "egress_backend": egress(rows, "backend", "internet")}
    return [
        _same(f"{instance}: {meter} metered = billed", quantity, _billed(lines, meter))
        for meter, quantity in sorted(metered.items())
    ]


def _money(lines: Sequence[Row]) -> Check:
    by_hand = amount_by_hand(lines)
    billed = sum((Decimal(line["amount"]) for line in lines), Decimal(0))
    return Check("money: quantities x prices = the bill, USD", f"{by_hand:.8f}", f"{billed:.8f}", by_hand == billed)


def amount_by_hand(lines: Sequence[Row]) -> Decimal:
    """What the quantities should cost: a month's total of each thing that is sold, rounded once, to 8 decimals (G9).

    Bytes both ways are one thing (P2). Good up to the first tier's end, ten million calls a month.
    """
    quantities: Counter[tuple[str, str, Decimal, int]] = Counter()
    for line in lines:
        price, per = PRICES.get(line["meter"], (Decimal(line["unit_price"]), line["per"]))
        thing = "egress" if line["meter"].startswith("egress") else line["meter"]
        quantities[line["month"], thing, price, per] += line["quantity"]
    amounts = (quantity * price / per for (_, _, price, per), quantity in quantities.items())
    return sum((amount.quantize(_E8, ROUND_HALF_UP) for amount in amounts), Decimal(0))


def to_clients(rows: Sequence[Row]) -> int:
    """What clients were sent: billed, and in answers that refuse (X11)."""
    return egress(rows, "client") + egress(rows, "refused")


def egress(rows: Sequence[Row], side: str, network: str | None = None) -> int:
    return sum(
        int(item["bytes"])
        for row in rows
        for item in row["egress"]
        if item["side"] == side and item["basis"] == "application" and network in (None, item["network"])
    )


def _billed(lines: Sequence[Row], meter: str) -> int:
    return sum(int(line["quantity"]) for line in lines if line["meter"] == meter)


def _sum(rows: Sequence[Row], key: str) -> int:
    return sum(int(row[key]) for row in rows)


def _same(text: str, outside: int, inside: int, note: str = "") -> Check:
    return Check(text, f"{outside:,}", f"{inside:,}", outside == inside, note)
