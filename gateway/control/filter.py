"""Which items of a list are asked for: by account, instance, service, month, from, to (DESIGN 1.7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from config.errors import Fault
from config.instants import instant_text, parse_instant, parse_month
from config.texts import is_storable
from gateway.control.errors import Refusal

_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Filter:
    """None: any. ``month`` is local (`2026-01`); ``from_hour`` and ``to_hour`` are epoch hours, half-open."""

    account: str | None = None
    instance: str | None = None
    service: str | None = None
    month: str | None = None
    from_hour: int | None = None
    to_hour: int | None = None

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Filter:
        """From a query string's fields. Raises Refusal `invalid` with every fault; an unknown field is one."""
        parsers: dict[str, tuple[str, Callable[[str], Any]]] = {
            "account": ("account", _id),
            "instance": ("instance", _id),
            "service": ("service", _id),
            "month": ("month", parse_month),
            "from": ("from_hour", _first_hour),
            "to": ("to_hour", _end_hour),
        }
        values: dict[str, Any] = {}
        faults = []
        for name, text in query.items():
            if name not in parsers:
                faults.append(Fault(name, f"unknown filter; known: {', '.join(parsers)}"))
                continue
            attribute, parse = parsers[name]
            try:
                values[attribute] = parse(text)
            except ValueError as error:
                faults.append(Fault(name, str(error)))
        if faults:
            raise Refusal("invalid", "the filter is not valid", faults)
        return cls(**values)

    def query(self) -> dict[str, str]:
        """The query string's fields: the inverse of ``parse``."""
        query = {name: getattr(self, name) for name in ("account", "instance", "service", "month")}
        query["from"] = None if self.from_hour is None else instant_text(_HOUR_S * self.from_hour)
        query["to"] = None if self.to_hour is None else instant_text(_HOUR_S * self.to_hour)
        return {name: value for name, value in query.items() if value is not None}

    def select(self, items: Iterable[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
        """The items that agree in the named fields (`instance`: the field `instance`)."""
        wanted = [(name, value) for name in names if (value := getattr(self, name)) is not None]
        return [item for item in items if all(item.get(name) == value for name, value in wanted)]

    def holds_hour(self, text: str) -> bool:
        """Whether an hour (`2026-01-15T09:00:00Z`) lies in the asked range."""
        asked = self.query()  # Texts of one form sort as time goes.
        return asked.get("from", "") <= text and ("to" not in asked or text < asked["to"])


def _first_hour(text: str) -> int:
    return parse_instant(text) // _HOUR_S


def _end_hour(text: str) -> int:
    return -(-parse_instant(text) // _HOUR_S)


def _id(text: str) -> str:
    if not is_storable(text):
        raise ValueError("is no text")
    return text
