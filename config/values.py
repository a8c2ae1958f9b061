"""The values of the configuration file: what one of them can say of itself is checked here."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, ValidationInfo, WithJsonSchema

from config.catalog import Size
from config.units import parse_duration


class Bind(NamedTuple):
    """An address to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _bind(value: object) -> Bind:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[0-9.]+):([0-9]{1,5})", value) if isinstance(value, str) else None
    if match is None or not 0 < int(match[2]) < 65536:
        raise ValueError(f'{value!r} is no address to listen on, as "127.0.0.1:8080"')
    host = match[1].strip("[]")
    ipaddress.ip_address(host)
    return Bind(host, int(match[2]))


def _path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("a path is needed")
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / value


def _prefix(value: str) -> str:
    if not re.fullmatch(r"/|(?:/[A-Za-z0-9\-._~!$&'()*+,;=:@%]+)+", value):
        raise ValueError(f"{value!r} is no path prefix: a slash before each segment and none at the end")
    return value


def _route_path(value: str) -> str:
    segment = r"(?:[A-Za-z0-9\-._~!$&'()+,;=:@%]+|\{[A-Za-z_][A-Za-z0-9_]*\})"
    if not re.fullmatch(rf"/|(?:/{segment})+/?|(?:/{segment})*/\*", value):
        raise ValueError(f"{value!r} is no route path: segments, {{name}} for one of them, * for the rest at the end")
    return value


def _host(value: str) -> str:
    label = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    if not re.fullmatch(rf"(?:\*\.)?{label}(?:\.{label})*", value):
        raise ValueError(f"{value!r} is no host name, nor a wildcard as *.example.com")
    return value.lower()


def _server_name(value: str) -> str:
    if value.startswith("*."):
        raise ValueError(f"{value!r} is no host name: a server has one, without wildcards")
    return _host(value)


def _cidr(value: str) -> str:
    return str(ipaddress.ip_network(value, strict=False))


def _address(value: str) -> str:
    return str(ipaddress.ip_address(value))


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f"{value!r} is no http or https address of a target")
    _ = parts.port  # Raises ValueError when it is none.
    return value


def _otlp_url(value: str) -> str:
    """Whole: a receiver without a path has the one that receivers agree on (OTLP/HTTP, "Request")."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f'{value!r} is no http or https address of a receiver, as "http://127.0.0.1:4318"')
    _ = parts.port  # Raises ValueError when it is none.
    return value if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}/v1/traces"


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{value!r} is no time zone") from None
    return value


_SIZE_SCHEMA = WithJsonSchema({"type": "string", "pattern": r"^[0-9]+\s*(B|[KMG]i?B)$", "description": "16MiB, 64KiB"})
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(lambda seconds: f"{seconds:g}s", when_used="json"),
    WithJsonSchema(
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)$", "description": "30s, 100ms, 2h"}
    ),
]
ByteSize = Annotated[Size, PlainSerializer(lambda size: f"{size}B", when_used="json"), _SIZE_SCHEMA]
BindAddress = Annotated[
    Bind,
    BeforeValidator(_bind),
    PlainSerializer(str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": "^.+:[0-9]+$", "description": "address:port"}),
]
FilePath = Annotated[Path, BeforeValidator(_path), PlainSerializer(str, when_used="json")]
Cidr = Annotated[str, AfterValidator(_cidr)]
Network = Literal["internet", "vpc"]
TlsVersion = Literal["1.2", "1.3"]
Qps = Annotated[int, Field(ge=1, le=50_000)]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]


FieldName = Annotated[str, Field(pattern=r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}$")]
Origin = Annotated[str, Field(pattern=r"^(\*|null|[a-z][a-z0-9+.-]*://[^/?#\s]+)$")]  # RFC 6454 6.2, or any
Share = Annotated[float, Field(ge=0, le=1)]
PathPrefix = Annotated[str, AfterValidator(_prefix)]
RoutePath = Annotated[str, AfterValidator(_route_path)]
HostName = Annotated[str, AfterValidator(_host)]
HostField = Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]{1,253})(:[0-9]{1,5})?$")]
_STATUS_SCHEMA = {
    "anyOf": [{"type": "integer", "minimum": 100, "maximum": 599}, {"type": "string", "pattern": "^[1-5]xx$"}]
}
# "200" or "2xx": an answer's status, or its class.
StatusRule = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    Field(pattern=r"^[1-5]([0-9]{2}|xx)$"),
    WithJsonSchema(_STATUS_SCHEMA),
]
StatusRules = Annotated[
    tuple[StatusRule, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, (str, int)) else value),
    Field(min_length=1, max_length=32),
    WithJsonSchema({"anyOf": [*_STATUS_SCHEMA["anyOf"], {"type": "array", "items": _STATUS_SCHEMA, "minItems": 1}]}),
]
ServerName = Annotated[str, AfterValidator(_server_name)]
Address = Annotated[str, AfterValidator(_address)]
OtlpUrl = Annotated[str, AfterValidator(_otlp_url)]
TargetUrl = Annotated[str, AfterValidator(_url)]
Timezone = Annotated[str, AfterValidator(_timezone)]
