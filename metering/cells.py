"""What is counted: the 64-bit cells of one (instance, service) row, and the meters they become."""

from __future__ import annotations

from typing import Final

FRONT_CODES: Final = (
    "bad_request",
    "unauthorized",
    "forbidden",
    "account_suspended",
    "no_route",
    "method_not_allowed",
    "upgrade_required",
    "request_timeout",
    "body_too_large",
    "uri_too_long",
    "head_too_large",
    "rate_limited",
    "not_implemented",
    "quota_exceeded",
    "internal_error",
    "loop_detected",
)
# What a request is held to, outermost first; a quota is a key's too.
LIMIT_LEVELS: Final = ("instance", "service", "route", "key", "quota")
SHADOW_LEVELS: Final = ("service", "route")  # what `limit_mode: shadow` covers (DESIGN 1.2)
# Why a connection of a client was closed, or not taken, for others' sake.
CONNECTION_REASONS: Final = ("address_limit", "worker_limit", "made_room")
SPAN_OUTCOMES: Final = ("exported", "dropped")
BACK_CODES: Final = ("backend_4xx", "backend_5xx", "bad_gateway", "no_healthy_target", "gateway_timeout")
SIDES: Final = ("client", "backend", "refused")  # refused: to clients too, and billed to nobody (X11)
NETWORKS: Final = ("internet", "vpc")
BASES: Final = ("application", "wire")
# Upper bounds (`le`) of the duration histogram; one more bucket takes the rest.
DURATION_BOUNDS_S: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)

CELLS: Final = 96  # Row width; what is not used yet stays zero, so that a later version can count more.

CALLS: Final = 0
WEBSOCKET_CONNECTIONS: Final = 1
INGRESS: Final = 2
DURATION_SUM_US: Final = 3
_EGRESS: Final = {"client": 4, "backend": 8, "refused": 80}  # 4 cells each: network, basis
# From a cell of bytes to clients to that of answers that refuse, over the same network and on the same basis.
REFUSED_BESIDE_CLIENT: Final = _EGRESS["refused"] - _EGRESS["client"]
DURATION_BUCKETS: Final = 12  # 16 cells, not cumulative: a call adds to one of them when it ends
OTHER_ENDS: Final = 28  # exchanges that ended and were no call: refusals and WebSocket connections
FRONTEND_ERRORS: Final = {code: 32 + index for index, code in enumerate(FRONT_CODES)}
BACKEND_ERRORS: Final = {code: 56 + index for index, code in enumerate(BACK_CODES)}
# For metrics alone, so they are no meters that a store keeps: the refusals stand in the front-end errors too.
LIMIT_REFUSALS: Final = {level: 64 + index for index, level in enumerate(LIMIT_LEVELS)}
SHADOW_REFUSALS: Final = {level: 72 + index for index, level in enumerate(SHADOW_LEVELS)}
SPANS: Final = {outcome: 76 + index for index, outcome in enumerate(SPAN_OUTCOMES)}
CONNECTIONS: Final = {reason: 88 + index for index, reason in enumerate(CONNECTION_REASONS)}


def egress_cell(side: str, network: str, basis: str) -> int:
    """The cell of bytes sent to a side over a network, measured on a basis (B7-B9, X16)."""
    return _EGRESS[side] + NETWORKS.index(network) * 2 + BASES.index(basis)


def _meters() -> dict[int, str]:
    meters = {
        CALLS: "calls",
        WEBSOCKET_CONNECTIONS: "websocket_connections",
        INGRESS: "ingress",
        DURATION_SUM_US: "duration_sum_us",
        OTHER_ENDS: "other_ends",
    }
    for side in SIDES:
        for network in NETWORKS:
            for basis in BASES:
                meters[egress_cell(side, network, basis)] = f"egress:{side}:{network}:{basis}"
    for index in range(len(DURATION_BOUNDS_S) + 1):
        meters[DURATION_BUCKETS + index] = f"duration_bucket:{index}"
    meters |= {cell: f"frontend_error:{code}" for code, cell in FRONTEND_ERRORS.items()}
    meters |= {cell: f"backend_error:{code}" for code, cell in BACKEND_ERRORS.items()}
    return meters


METERS: Final = _meters()
# Times are for metrics, which are made from the files: in the store nobody would read them.
STORED: Final = {cell: meter for cell, meter in METERS.items() if not meter.startswith("duration_")}
_COUNTED: Final = (CALLS, WEBSOCKET_CONNECTIONS, *FRONTEND_ERRORS.values())
_ENDED: Final = (*range(DURATION_BUCKETS, DURATION_BUCKETS + len(DURATION_BOUNDS_S) + 1), OTHER_ENDS)


def counted_and_ended(cells: list[int]) -> tuple[int, int]:
    """A row's requests by what they were counted as, and by how they ended: two counts of the same (DESIGN 1.6).

    They are made at different places and instants; with what is under way they have to agree.
    """
    return sum(cells[cell] for cell in _COUNTED), sum(cells[cell] for cell in _ENDED)
