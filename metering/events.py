"""Usage metered elsewhere, as CloudEvents 1.0: what an event says, checked, as counter increments.

Pure: nothing here reads a clock or a store. An event's type is `tollgate.usage`; its data has the names of a usage
row (DESIGN 1.6)::

    {"specversion": "1.0", "id": "7f3c", "source": "/edge/7", "type": "tollgate.usage",
     "time": "2026-11-24T10:15:00Z",
     "data": {"instance": "acme-shared", "service": "orders", "calls": 12,
              "egress": [{"side": "client", "network": "internet", "basis": "application", "bytes": 40960}]}}
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from config.errors import Fault
from config.instants import parse_instant
from config.texts import is_plain
from metering.cells import BASES, NETWORKS, SIDES
from metering.clock import hour_of
from metering.counter_file import ID_BYTES_MAX

TYPE: Final = "tollgate.usage"
EVENTS_MAX: Final = 1000  # in a batch: one transaction, which others wait for
TEXT_CHARS_MAX: Final = 200  # of id and source, which are kept
AMOUNT_MAX: Final = 2**44  # calls, or bytes of one kind, in one event
# Of an account in an hour, over all its instances, services and sources: what a month of such hours adds up to is in
# 64 bits, wherever it is added up. A petabyte; more calls than there are.
HOUR_CALLS_MAX: Final = 2**44
HOUR_BYTES_MAX: Final = 2**50
PAST_HOURS_MAX: Final = 24 * 62  # An event older than two months is a mistake, or its bill is long paid.
FUTURE_S_MAX: Final = 300.0  # how far the sender's clock may be ahead of ours
_COUNTS: Final[tuple[str, ...]] = ("calls", "websocket_connections", "ingress")

InstancePlace = tuple[str, str]  # account, region
PlaceOf = Callable[[str], InstancePlace | None]
BeginOf = Callable[[str], int | None]


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One event, checked. ``amounts``: by the counter table's meter. ``digest``: of what it says."""

    id: str
    source: str
    account: str
    instance: str
    region: str
    service: str
    hour: int
    amounts: dict[str, int]
    digest: bytes

    @property
    def writer(self) -> str:
        return f"ce:{self.source}"


class EventsInvalid(Exception):
    """Events that cannot be counted. Every fault is there, with the place in the events; nothing was counted."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(f"{len(faults)} faults")
        self.faults = faults


def hour_max(meter: str) -> int:
    """How much of a meter an account may have in an hour."""
    return HOUR_CALLS_MAX if meter in ("calls", "websocket_connections") else HOUR_BYTES_MAX


def field_of(meter: str) -> str:
    """Where an event says how much of a meter there was."""
    return f"data.{meter.partition(':')[0]}"


def parse_events(
    documents: list[Any], now_s: float, place_of: PlaceOf, *, is_batch: bool, begin_of: BeginOf = lambda account: None
) -> list[UsageEvent]:
    """Raises EventsInvalid with the faults of all of them. Paths begin with the index where it is a batch.

    ``begin_of``: the hour in which an account was activated. Before it nothing was metered for it.
    """
    if len(documents) > EVENTS_MAX:
        raise EventsInvalid([Fault("", f"has to have {EVENTS_MAX} events at most, not {len(documents)}")])
    events: list[UsageEvent] = []
    faults: list[Fault] = []
    for index, document in enumerate(documents):
        at = f"[{index}]" if is_batch else ""
        reader = _Reader(at)
        event = reader.event(document, now_s, place_of, begin_of)
        faults += reader.faults
        if event is not None and not reader.faults:
            events.append(event)
    if faults:
        raise EventsInvalid(faults)
    return events


class _Reader:
    """Reads one event and gathers its faults."""

    def __init__(self, at: str) -> None:
        self._at = at
        self.faults: list[Fault] = []

    def event(self, document: Any, now_s: float, place_of: PlaceOf, begin_of: BeginOf) -> UsageEvent | None:
        if not isinstance(document, dict):
            self._fault("", "has to be an object")
            return None
        if document.get("specversion") != "1.0":
            self._fault("specversion", 'has to be "1.0"')
        if document.get("type") != TYPE:
            self._fault("type", f'has to be "{TYPE}"')
        content_type = document.get("datacontenttype", "application/json")
        if not isinstance(content_type, str) or content_type.partition(";")[0].strip() != "application/json":
            self._fault("datacontenttype", "has to be application/json")
        id, source = self._text(document, "id"), self._text(document, "source")
        hour = self._hour(document.get("time"), now_s)
        data = document.get("data")
        if not isinstance(data, dict):
            self._fault("data", "has to be an object")
            return None
        instance, service, amounts = self._data(data)
        place = place_of(instance) if instance else None
        if instance and place is None:
            self._fault("data.instance", f"there is no instance {instance}")
        if place is not None and not self.faults and hour < (begin_of(place[0]) or 0):
            self._fault("time", f"is before {place[0]} was activated")
        if self.faults or place is None:
            return None
        digest = hashlib.sha256(orjson.dumps([hour, instance, service, amounts], option=orjson.OPT_SORT_KEYS)).digest()
        return UsageEvent(id, source, place[0], instance, place[1], service, hour, amounts, digest)

    def _data(self, data: dict[str, Any]) -> tuple[str, str, dict[str, int]]:
        for name in data.keys() - {"instance", "service", "egress", *_COUNTS}:
            self._fault(f"data.{name}", "is not known")
        instance, service = data.get("instance"), data.get("service", "-")
        for name, id in (("instance", instance), ("service", service)):
            if not (isinstance(id, str) and is_plain(id) and 0 < len(id.encode()) <= ID_BYTES_MAX):
                self._fault(f"data.{name}", f"has to be an id of 1 to {ID_BYTES_MAX} bytes")
        amounts = {name: self._amount(f"data.{name}", data[name]) for name in _COUNTS if name in data}
        egress = data.get("egress", [])
        if not isinstance(egress, list):
            self._fault("data.egress", "has to be a list")
            egress = []
        for meter, value in self._egress(egress):
            amounts[meter] = amounts.get(meter, 0) + value
        if any(value > AMOUNT_MAX for value in amounts.values()):
            self._fault("data.egress", f"has to add up to {AMOUNT_MAX} at most for each side, network and basis")
        if not amounts and not self.faults:
            self._fault("data", f"has to have one of {', '.join((*_COUNTS, 'egress'))}")
        known = instance if isinstance(instance, str) else ""
        return known, service if isinstance(service, str) else "", amounts

    def _egress(self, items: list[Any]) -> Iterator[tuple[str, int]]:
        for index, item in enumerate(items):
            path = f"data.egress[{index}]"
            if not isinstance(item, dict):
                self._fault(path, "has to be an object")
                continue
            names = []
            for name, allowed in (("side", SIDES), ("network", NETWORKS), ("basis", BASES)):
                if item.get(name) not in allowed:
                    self._fault(f"{path}.{name}", f"has to be one of {', '.join(allowed)}")
                names.append(str(item.get(name)))
            for name in item.keys() - {"side", "network", "basis", "bytes"}:
                self._fault(f"{path}.{name}", "is not known")
            yield f"egress:{':'.join(names)}", self._amount(f"{path}.bytes", item.get("bytes"))

    def _amount(self, path: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= AMOUNT_MAX:
            self._fault(path, f"has to be a whole number from 0 to {AMOUNT_MAX}")
            return 0
        return value

    def _text(self, document: dict[str, Any], name: str) -> str:
        value = document.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= TEXT_CHARS_MAX or not value.isprintable():
            self._fault(name, f"has to be a text of 1 to {TEXT_CHARS_MAX} characters")
            return ""
        return value

    def _hour(self, time: Any, now_s: float) -> int:
        """The usage hour of the event's time. It has to have one: without, a repeat could not be told for ever."""
        if not isinstance(time, str):
            self._fault("time", "has to be a time with its offset, RFC 3339")
            return 0
        try:
            at_s = parse_instant(time)
        except ValueError as error:
            self._fault("time", str(error))
            return 0
        if at_s > now_s + FUTURE_S_MAX:
            self._fault("time", "is in the future")
        elif hour_of(at_s) < hour_of(now_s) - PAST_HOURS_MAX:
            self._fault("time", f"is more than {PAST_HOURS_MAX // 24} days ago")
        return hour_of(at_s)

    def _fault(self, path: str, message: str) -> None:
        self.faults.append(Fault(".".join(part for part in (self._at, path) if part), message))
