"""Random requests for every operation of the OpenAPI document: mostly of the right shape, with something wrong in it.

Bytes, for what a client library would not send is asked too. The same seed asks the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any, Final
from urllib.parse import quote, quote_from_bytes

from gateway.admin.openapi import OPERATIONS, Operation, document

_SCHEMAS: Final = document()["components"]["schemas"]
_KNOWN: Final = ("acme", "acme-shared", "acme-dedicated", "orders", "checkout", "1", "ap-guangzhou", "dedicated-2500")
# By the word before it in a path.
_OWN: Final = {
    "accounts": ("acme",), "instances": ("acme-dedicated", "acme-shared", "bought-1", "bought-2"),
    "services": ("orders", "checkout", "s1"), "packs": ("free-calls-1", "pkg-succ_req-0"), "bill-lines": ("1", "2"),
}  # fmt: skip
_FIELDS: Final = {
    "account": ("acme",), "instance": ("acme-shared", "acme-dedicated"), "spec": ("dedicated-2500",),
    "region": ("ap-guangzhou",), "offer": ("none",), "id": ("bought-1", "bought-2", "v1", "s1", "s2"),
    "bind": ("127.0.0.1:20001", "127.0.0.1:20002"), "reason": ("an outage", "=1+1"), "body_max": ("16MiB",),
}  # fmt: skip
_WRITING: Final = tuple(one for one in OPERATIONS if one.method in ("post", "put"))
_MONTHS: Final = ("2026-01", "2026-11", "0000-01", "0001-01", "1969-12", "1970-01", "9999-12", "2026-13", "2199-12")
_TIMES: Final = (
    "2026-11-24T10:15:00Z", "2026-11-24 10:15:00+08:00", "2026-11-24", "20261124T101500Z", "2026-W48-2T10:00:00Z",
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "1990-01-01T00:00:00Z", "1969-12-31T23:59:59Z",
    "2026-11-24T10:15:00", "2030-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "24:00", "2026-11-24T24:00:00Z",
)  # fmt: skip
_TEXTS: Final = (
    "", "\x00", "a\x00b", "\ud800", "\x1b[31m", "\u202e", "=1+1", "💶", "x" * 300, "x" * 70_000, "'; --", "../..",
    "%00", "*", "null", "-1", "1e309", "NaN", "\n", "\uffff", "é",
)  # fmt: skip
_AMOUNTS: Final = ("0", "0.00000001", "1.00", "9999999999.99", "1000000000.00", "1000000000.01", "-1.00", "1e3", "٣")
_NUMBERS: Final = (0, 1, -1, 60, 2**31, 2**44, 2**62, 2**63 - 1, 2**63, 2**64, 10**40, -(10**40), 0.5, 1e308)
_RAW: Final = (b"\xff\xfe", b"\x80", b"\xc3\x28", b"\xed\xa0\x80", "é".encode(), b"\t", b"a" * 201)


class RandomInputs:
    """One request after the other."""

    def __init__(self, seed: int, now: str) -> None:
        """`now`: a time that events may be of."""
        self._random = Random(seed)
        self._now = now

    def request(self, token: str) -> tuple[str, bytes]:
        """What it is, for people, and its bytes."""
        random = self._random
        operation = random.choice(_WRITING if random.random() < 0.5 else OPERATIONS)
        target = self._target(operation)
        fields = [b"Host: 127.0.0.1", b"Authorization: Bearer " + token.encode()]
        if operation.is_money and random.random() < 0.5:
            fields.append(b"Idempotency-Key: " + self._field_value())
        if random.random() < 0.2:
            fields.append(
                random.choice((b"Accept: ", b"Cookie: ", b"If-Match: ", b"X-Tollgate: ")) + self._field_value()
            )
        content = b""
        if operation.method in ("post", "put"):
            content, type = self._content(operation)
            fields.append(b"Content-Type: " + type.encode())
            fields += self._event_fields(type) if operation.content == "UsageEvent" else []
        fields.append(b"Content-Length: %d" % len(content))
        head = b"\r\n".join([f"{operation.method.upper()} {target} HTTP/1.1".encode("latin-1"), *fields])
        return f"{operation.method.upper()} {target} {content[:300]!r} {fields[2:]!r}", head + b"\r\n\r\n" + content

    def _target(self, operation: Operation) -> str:
        path = operation.path
        for name in ("id", "month"):
            before, found, _ = path.partition(f"/{{{name}}}")
            if found:
                own = before.rpartition("/")[2] if name == "id" else name
                path = path.replace(f"{{{name}}}", self._segment(own))
        pairs = [f"{name}={self._segment(name)}" for name in operation.filters if self._random.random() < 0.4]
        if self._random.random() < 0.05:
            pairs.append(f"{quote(self._text(), errors='surrogatepass')}=1")
        return path + ("?" + "&".join(pairs) if pairs else "")

    def _segment(self, name: str) -> str:
        choice = self._random.random()
        if choice < 0.08:
            return quote_from_bytes(self._random.choice(_RAW))
        if choice < 0.18:
            return quote(self._text()[:2000], safe="", errors="surrogatepass") or "-"
        pools: dict[str, Sequence[str]] = {"month": _MONTHS, "from": _TIMES, "to": _TIMES, **_OWN}
        pool = pools.get(name, _KNOWN)
        return quote(self._random.choice(pool), safe="")

    def _field_value(self) -> bytes:
        if self._random.random() < 0.5:
            return self._random.choice(_RAW)
        return self._random.choice((b"k1", b"k2", b"application/json", b"a" * 200, b"\x01", b"=cmd", b"a, b"))

    def _event_fields(self, type: str) -> list[bytes]:
        if type != "application/json" or self._random.random() < 0.3:
            return []
        time = self._random.choice((self._now, self._now, *_TIMES)).encode()
        value = self._random.choice((b"1", b"2", *_RAW))
        return [
            b"ce-specversion: 1.0",
            b"ce-id: " + value,
            b"ce-source: /edge",
            b"ce-type: tollgate.usage",
            b"ce-time: " + time,
        ]

    def _content(self, operation: Operation) -> tuple[bytes, str]:
        random = self._random
        type = "application/json"
        value: Any = {}
        if operation.content == "UsageEvent":
            type = random.choice(("application/cloudevents+json", "application/cloudevents-batch+json", type, type))
            value = self._of_schema("UsageData" if type == "application/json" else "UsageEvent")
            if "batch" in type:
                value = [value, self._of_schema("UsageEvent")]
        elif operation.content is not None:
            value = self._of_schema(operation.content)
        for _ in range(random.choice((0, 0, 1, 2))):
            value = self._spoilt(value)
        choice = random.random()
        if choice < 0.03:
            return random.choice((b"", b"{", b"\xff", b"[" * 2000 + b"]" * 2000, b"nul", b'{"a":1e999}')), type
        if choice < 0.06:
            return (b'{"id":' * 900 + b"1" + b"}" * 900), type
        return json.dumps(value).encode(), type

    def _of_schema(self, name: str) -> Any:
        return self._made({"$ref": f"#/components/schemas/{name}"}, name)

    def _made(self, schema: dict[str, Any], name: str) -> Any:
        """What would be accepted, more often than not."""
        random = self._random
        if "$ref" in schema:
            return self._made(_SCHEMAS[schema["$ref"].rpartition("/")[2]], name)
        for several in ("oneOf", "anyOf"):
            if several in schema:
                return self._made(random.choice(schema[several]), name)
        if "enum" in schema:
            return random.choice(schema["enum"])
        type = schema.get("type")
        type = random.choice(type) if isinstance(type, list) else type
        if type == "object":
            required = schema.get("required", ())
            chosen = [key for key in schema.get("properties", ()) if key in required or random.random() < 0.5]
            return {key: self._made(schema["properties"][key], key) for key in chosen}
        if type == "array":
            return [self._made(schema.get("items", {}), name) for _ in range(random.choice((0, 1, 2)))]
        if type == "integer":
            return random.choice((1, 3, 60)) if random.random() < 0.8 else random.choice(_NUMBERS)
        if type == "number":
            return random.choice((0, 0.5, 1))
        if type == "boolean":
            return random.choice((True, False))
        if type == "null":
            return None
        return self._good_text(schema, name)

    def _good_text(self, schema: dict[str, Any], name: str) -> str:
        random = self._random
        if schema.get("format") == "date-time":
            return self._now if name in ("time", "hour") and random.random() < 0.7 else random.choice(_TIMES)
        if "pattern" in schema and "[0-9]" in schema["pattern"]:
            return random.choice(_AMOUNTS)
        pool = _MONTHS if name == "month" else _FIELDS.get(name, _KNOWN)
        return random.choice(pool) if random.random() < 0.9 else self._text()

    def _spoilt(self, value: Any) -> Any:
        """One place in it is something else."""
        random = self._random
        if isinstance(value, dict) and value and random.random() < 0.9:
            key = random.choice(list(value))
            spoilt = {**value, key: self._spoilt(value[key])}
            if random.random() < 0.1:
                spoilt[self._text()] = self._nasty()
            return spoilt
        if isinstance(value, list) and value and random.random() < 0.8:
            index = random.randrange(len(value))
            return [*value[:index], self._spoilt(value[index]), *value[index + 1 :]]
        return self._nasty()

    def _nasty(self) -> Any:
        random = self._random
        return random.choice(
            (None, True, False, [], {}, [1], {"a": 1}, self._text(), random.choice(_NUMBERS), random.choice(_TIMES),
             random.choice(_AMOUNTS), random.choice(_MONTHS), ["acme"], {"id": "acme"})
        )  # fmt: skip

    def _text(self) -> str:
        return self._random.choice(_TEXTS)
