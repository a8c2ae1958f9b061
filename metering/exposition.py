"""The usage metrics of DESIGN 1.6, from the collector's totals. Prometheus is a view: bills never read it.

Written here and not by prometheus_client, whose general writer takes five times as long for the 50,000 series of
2,000 services. Series exist once something was counted, so they are as many as services and codes that were met.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from metering.cells import (
    BACKEND_ERRORS,
    BASES,
    CALLS,
    CONNECTIONS,
    DURATION_BOUNDS_S,
    DURATION_BUCKETS,
    DURATION_SUM_US,
    FRONTEND_ERRORS,
    INGRESS,
    LIMIT_REFUSALS,
    NETWORKS,
    SHADOW_REFUSALS,
    SIDES,
    SPANS,
    WEBSOCKET_CONNECTIONS,
    egress_cell,
)

Totals = Mapping[tuple[str, str], list[int]]
_Write = Callable[[str, list[int], list[str]], None]  # labels, cells, lines to add to

_LE: Final = [*(repr(bound) for bound in DURATION_BOUNDS_S), "+Inf"]
_EGRESS: Final = [
    (egress_cell(side, network, basis), f'side="{side}",network="{network}",basis="{basis}"')
    for side in SIDES
    for network in NETWORKS
    for basis in BASES
]


class _Family(NamedTuple):
    name: str
    kind: str
    help: str
    write: _Write


def _counter(name: str, cell: int, *, with_zero: bool = False) -> _Write:
    def write(labels: str, cells: list[int], lines: list[str]) -> None:
        if cells[cell] or with_zero:
            lines.append(f"{name}_total{{{labels}}} {cells[cell]}")

    return write


def _counters(name: str, variants: list[tuple[int, str]]) -> _Write:
    def write(labels: str, cells: list[int], lines: list[str]) -> None:
        for cell, more in variants:
            if cells[cell]:
                lines.append(f"{name}_total{{{labels},{more}}} {cells[cell]}")

    return write


def _by(label: str, name: str, cells: Mapping[str, int]) -> _Write:
    return _counters(name, [(cell, f'{label}="{value}"') for value, cell in cells.items()])


def _duration(labels: str, cells: list[int], lines: list[str]) -> None:
    if not cells[CALLS]:
        return
    count = 0
    begin = f"tollgate_request_duration_seconds_bucket{{{labels},le="
    for value, bound in zip(cells[DURATION_BUCKETS : DURATION_BUCKETS + len(_LE)], _LE, strict=True):
        count += value
        lines.append(f'{begin}"{bound}"}} {count}')
    lines.append(f"tollgate_request_duration_seconds_count{{{labels}}} {count}")
    lines.append(f"tollgate_request_duration_seconds_sum{{{labels}}} {cells[DURATION_SUM_US] / 1e6!r}")


_FAMILIES: Final = (
    _Family("tollgate_calls", "counter", "Valid calls.", _counter("tollgate_calls", CALLS, with_zero=True)),
    _Family(
        "tollgate_websocket_connections",
        "counter",
        "WebSocket connections.",
        _counter("tollgate_websocket_connections", WEBSOCKET_CONNECTIONS),
    ),
    _Family(
        "tollgate_frontend_errors",
        "counter",
        "Requests refused before an upstream. Not billed.",
        _by("code", "tollgate_frontend_errors", FRONTEND_ERRORS),
    ),
    _Family(
        "tollgate_backend_errors",
        "counter",
        "Calls that failed behind the gateway.",
        _by("code", "tollgate_backend_errors", BACKEND_ERRORS),
    ),
    _Family(
        "tollgate_limit_refused",
        "counter",
        "Requests refused, by the limit that refused.",
        _by("level", "tollgate_limit_refused", LIMIT_REFUSALS),
    ),
    _Family(
        "tollgate_limit_shadow_refusals",
        "counter",
        "Requests that a limit in shadow mode would have refused.",
        _by("level", "tollgate_limit_shadow_refusals", SHADOW_REFUSALS),
    ),
    _Family(
        "tollgate_trace_spans",
        "counter",
        "Spans of traced exchanges; dropped: the receiver took them not, or not fast enough.",
        _by("outcome", "tollgate_trace_spans", SPANS),
    ),
    _Family(
        "tollgate_connections_refused",
        "counter",
        "Connections not taken, or closed, for others' sake; worker_limit: how often nobody was taken for a while.",
        _by("reason", "tollgate_connections_refused", CONNECTIONS),
    ),
    _Family("tollgate_egress_bytes", "counter", "Bytes sent.", _counters("tollgate_egress_bytes", _EGRESS)),
    _Family(
        "tollgate_ingress_bytes",
        "counter",
        "Bytes received from clients.",
        _counter("tollgate_ingress_bytes", INGRESS),
    ),
    _Family(
        "tollgate_request_duration_seconds",
        "histogram",
        "Calls by time from head to end of answer.",
        _duration,
    ),
)


def usage_metrics(totals: Totals, *, is_openmetrics: bool = False) -> str:
    """The families as text, in Prometheus' format or in OpenMetrics 1.0 (without its `# EOF`).

    May run on another thread than the collector's: totals only grow, and what is read a moment later is a moment newer.
    """
    # The list is made in one go, so that the collector may add a row meanwhile.
    rows = sorted(
        ((f'instance="{escaped(key[0])}",service="{escaped(key[1])}"', cells) for key, cells in list(totals.items())),
        key=lambda row: row[0],
    )
    lines: list[str] = []
    for family in _FAMILIES:
        lines += head_lines(family.name, family.kind, family.help, is_openmetrics=is_openmetrics)
        write = family.write
        for labels, cells in rows:
            write(labels, cells, lines)
    return "\n".join(lines) + "\n"


def head_lines(name: str, kind: str, help: str, *, is_openmetrics: bool) -> tuple[str, str]:
    """What stands before a family's samples. The formats differ in whether a counter's has the `_total` of those."""
    if kind == "counter" and not is_openmetrics:
        name += "_total"
    return f"# HELP {name} {help}", f"# TYPE {name} {kind}"


def escaped(label: str) -> str:
    """A label's value as it stands between quotes."""
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
