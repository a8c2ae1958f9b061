"""What a client would rather have, by the weights that it gives (RFC 9110 12.4.2, 12.5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

OPENMETRICS: Final = "application/openmetrics-text"
TEXT: Final = "text/plain"
# The versions in which the metrics are written.
_VERSIONS: Final = {OPENMETRICS: ("", "1.0.0"), TEXT: ("", "0.0.4")}
_WEIGHT: Final = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


class _Range(NamedTuple):
    name: str
    parameters: dict[str, str]
    weight: float


def wants_openmetrics(accept: str) -> bool:
    """OpenMetrics rather than Prometheus' text: for who names it and gives it no less weight. Text for all others, also
    for who takes neither: a scrape that fails helps nobody."""
    ranges = list(_ranges(accept))
    named = [one for one in ranges if one.name == OPENMETRICS]
    weight = _weight_of_type(ranges, OPENMETRICS)
    return bool(named) and weight > 0 and weight >= _weight_of_type(ranges, TEXT)


def wants_gzip(accept_encoding: str) -> bool:
    """RFC 9110 12.5.3: where it is not said to be unwanted, and nothing else is wanted more."""
    weights = {one.name: one.weight for one in _ranges(accept_encoding)}
    rest = weights.get("*", 0.0)
    gzip = weights.get("gzip", weights.get("x-gzip", rest))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _weight_of_type(ranges: list[_Range], name: str) -> float:
    """By the most specific range that it is in (12.5.1)."""
    for pattern in (name, name.partition("/")[0] + "/*", "*/*"):
        weights = [
            one.weight
            for one in ranges
            if one.name == pattern and (pattern != name or one.parameters.get("version", "") in _VERSIONS[name])
        ]
        if weights:
            return max(weights)
    return 0.0


def _ranges(field: str) -> Iterator[_Range]:
    """What cannot be read is passed over."""
    for part in field.split(","):
        name, *rest = (piece.strip() for piece in part.split(";"))
        pairs = (one.partition("=") for one in rest)
        parameters = {key.strip().lower(): value.strip(' \t"') for key, _, value in pairs}
        weight = parameters.pop("q", "1")
        if name and _WEIGHT.fullmatch(weight):
            yield _Range(name.lower(), parameters, float(weight))
