"""The values of the configuration file: what one of them can say of itself is checked here.

Each has a least and a most. Urls, hosts and paths are read in files of their own.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, ValidationInfo, WithJsonSchema

from config.bounds import Many, Text
from config.catalog import BODY_MAX, Size
from config.errors import shown
from config.hosts import parse_host, parse_host_pattern
from config.instants import instant_text, parse_instant
from config.paths import parse_prefix, parse_route_path
from config.units import format_duration, parse_duration
from config.urls import check_store, parse_origin, parse_otlp, parse_port, parse_receiver, parse_target

_SQLITE = "sqlite:///"
# RFC 9110 7.6.1 and 6.4: what says where a message ends, or is of one connection, can be no key.
_OF_FRAMING = frozenset(
    ("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)


class Bind(NamedTuple):
    """An address to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _bind(value: object) -> Bind:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[0-9.]+):([0-9]+)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{shown(value)} is no address to listen on, as "127.0.0.1:8080"')
    return Bind(parse_host(match[1]).strip("[]"), parse_port(match[2]))


def _path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("a path is needed")
    if len(value) > 4096 or "\0" in value or not value.isprintable():
        raise ValueError(f"{shown(value)} is no path: at most 4096 characters, none of them a control")
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / value


def _bare_host(value: str) -> str:
    """As it is dialled: without brackets, and without the dot that a certificate's names end without."""
    return parse_host(value).removesuffix(".").strip("[]")


def _server_name(value: str) -> str:
    if value.startswith("*."):
        raise ValueError(f"{shown(value)} is no host name: a server has one, without wildcards")
    return _bare_host(value)


def _cidr(value: str) -> str:
    """`10.0.0.0/8`, or an address alone. Bits beyond the prefix say that something else was meant."""
    if not re.fullmatch(r"[0-9A-Fa-f.:]+(?:/(?:0|[1-9][0-9]{0,2}))?", value):
        raise ValueError(f"{shown(value)} is no network, as 10.0.0.0/8 or 2001:db8::/32")
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError(f"{shown(value)} is no network, as 10.0.0.0/8 or 2001:db8::/32") from None
    address = ipaddress.ip_address(value.partition("/")[0])
    if address != network.network_address:
        raise ValueError(f"{shown(value)} is an address and a network: write {network}, or {address}")
    return str(network)


def _address(value: str) -> str:
    if "%" in value:
        raise ValueError(f"{shown(value)} has a zone, which means something on one machine only")
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(f"{shown(value)} is no IP address") from None


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{shown(value)} is no time zone") from None
    return value


def _method(value: str) -> str:
    """Methods are told apart by case (RFC 9110 9.1), and all that are registered are in upper case."""
    method = value.upper()
    if method == "*":
        raise ValueError("'*' is no method: leave methods out for all of them")
    if not re.fullmatch(r"[A-Z0-9][A-Z0-9_-]{0,31}", method):
        raise ValueError(f"{shown(value)} is no method, as GET")
    if method == "CONNECT":
        raise ValueError("CONNECT has no path, and is never forwarded")
    return method


def _credential_field(value: str) -> str:
    if value.lower() in _OF_FRAMING:
        raise ValueError(f"{shown(value)} is a field of HTTP itself, and carries no key")
    return value


def _mail_address(value: str) -> str:
    local, at, domain = value.rpartition("@")
    if not at or not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}", local):
        raise ValueError(f"{shown(value)} is no mail address")
    if local[0] == "." or local[-1] == "." or ".." in local:
        raise ValueError(f"{shown(value)} is no mail address: there is a dot too many before the @")
    return f"{local}@{parse_host(domain).removesuffix('.')}"


def _health_path(value: str) -> str:
    if not re.fullmatch(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*", value):
        raise ValueError(f"{shown(value)} is no path that can be asked for, as /healthz or /healthz?full=1")
    return value


def _store(value: str, info: ValidationInfo) -> str:
    """A file's path from the folder on. Checked before: a folder may have characters that no url has."""
    check_store(value)
    folder = (info.context or {}).get("folder")
    if folder is None or not value.startswith(_SQLITE):
        return value
    return f"{_SQLITE}{folder / value.removeprefix(_SQLITE)}"


Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, when_used="json"),
    WithJsonSchema(
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)$", "description": "30s, 100ms, 2h"}
    ),
]
_SIZE_SCHEMA = WithJsonSchema({"type": "string", "pattern": r"^[0-9]+\s*(B|[KMG]i?B)$", "description": "16MiB, 64KiB"})
# Epoch seconds.
Instant = Annotated[
    int,
    BeforeValidator(parse_instant),
    PlainSerializer(instant_text, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
ByteSize = Annotated[Size, PlainSerializer(lambda size: f"{size}B", when_used="json"), _SIZE_SCHEMA]
BodyMax = Annotated[ByteSize, BODY_MAX]
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
CredentialField = Annotated[FieldName, AfterValidator(_credential_field)]
Origin = Annotated[str, AfterValidator(parse_origin)]
Method = Annotated[str, AfterValidator(_method)]
Share = Annotated[float, Field(ge=0, le=1)]
PathPrefix = Annotated[str, AfterValidator(parse_prefix)]
RoutePath = Annotated[str, AfterValidator(parse_route_path)]
HealthPath = Annotated[Text, AfterValidator(_health_path)]
HostName = Annotated[str, AfterValidator(parse_host_pattern)]
HostField = Annotated[str, Field(max_length=300, pattern=r"^(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]{1,253})(:[0-9]{1,5})?$")]
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
    Many[StatusRule],
    BeforeValidator(lambda value: (value,) if isinstance(value, (str, int)) else value),
    Field(min_length=1, max_length=32),
    WithJsonSchema({"anyOf": [*_STATUS_SCHEMA["anyOf"], {"type": "array", "items": _STATUS_SCHEMA, "minItems": 1}]}),
]
ServerName = Annotated[str, AfterValidator(_server_name)]
SmtpHost = Annotated[str, AfterValidator(_bare_host)]
Address = Annotated[str, AfterValidator(_address)]
MailAddress = Annotated[str, AfterValidator(_mail_address)]
OtlpUrl = Annotated[str, AfterValidator(parse_otlp)]
ReceiverUrl = Annotated[str, AfterValidator(parse_receiver)]
TargetUrl = Annotated[str, AfterValidator(parse_target)]
StoreUrl = Annotated[str, Field(max_length=4096), AfterValidator(_store)]
Timezone = Annotated[str, Field(max_length=64), AfterValidator(_timezone)]
