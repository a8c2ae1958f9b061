"""Traffic since the first start, as rows for people: the collector's totals, summed up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from metering.cells import BACKEND_ERRORS, CALLS, FRONTEND_ERRORS, INGRESS, SIDES, WEBSOCKET_CONNECTIONS, egress_cell

_EGRESS: Final = {
    network: [egress_cell(side, network, "application") for side in SIDES] for network in ("internet", "vpc")
}


def traffic_rows(totals: Mapping[tuple[str, str], list[int]]) -> list[dict[str, Any]]:
    """One row for each instance and service that anything was counted for; bytes are the application's."""
    return [
        {
            "instance": instance,
            "service": service,
            "calls": cells[CALLS],
            "websocket_connections": cells[WEBSOCKET_CONNECTIONS],
            "frontend_errors": sum(cells[cell] for cell in FRONTEND_ERRORS.values()),
            "backend_errors": sum(cells[cell] for cell in BACKEND_ERRORS.values()),
            "ingress": cells[INGRESS],
            "egress_internet": sum(cells[cell] for cell in _EGRESS["internet"]),
            "egress_vpc": sum(cells[cell] for cell in _EGRESS["vpc"]),
        }
        for (instance, service), cells in sorted(totals.items())
    ]
