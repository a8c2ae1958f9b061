"""The configuration file as types (DESIGN 1.2). Attribute names are the file's keys; units: seconds, bytes, e8.

What one value can say of itself is checked here; what holds between values is in `checks.py`.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
)

from config.catalog import Size, Strict
from config.prices import Money
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


class Node(Strict):
    name: Id = "node-1"
    data_dir: FilePath


class CertificatePair(Strict):
    certificate: FilePath
    key: FilePath


class Tls(Strict):
    """``certificate`` with ``key`` is the default, if given, else the first of ``certificates``."""

    certificate: FilePath | None = None
    key: FilePath | None = None
    certificates: tuple[CertificatePair, ...] = Field(default=(), max_length=256)
    min_version: TlsVersion = "1.2"
    max_version: TlsVersion = "1.3"
    client_ca: FilePath | None = None
    client_auth: Literal["required", "optional"] | None = None  # default: required where there is a client_ca


class Entry(Strict):
    """Where clients come in; ``network`` decides whether bytes to them are billed (B9, L12)."""

    bind: BindAddress
    network: Network = "internet"
    tls: Tls | None = None
    proxy_protocol: bool = False
    proxy_protocol_from: tuple[Cidr, ...] = ()


class Admin(Strict):
    bind: BindAddress = Bind("127.0.0.1", 8081)


class Store(Strict):
    url: str = "sqlite:///./data/tollgate.db"


class BillingSettings(Strict):
    price_book: str = "usd"
    timezone: Annotated[str, AfterValidator(_timezone)] = "Asia/Shanghai"
    egress_basis: Literal["application", "wire"] = "application"


class ClockSettings(Strict):
    """Wall time of hours, bills and deadlines; not of timeouts and limits."""

    rate: float = Field(default=1, gt=0, le=86_400)
    offset: Duration = 0.0


class LimitSettings(Strict):
    burst_ms: int = Field(default=100, ge=1, le=1000)


class Client(Strict):
    """Bounds towards clients."""

    head_timeout: Duration = 10.0
    body_timeout: Duration = 30.0
    idle_timeout: Duration = 75.0
    head_max: ByteSize = 32 * 1024
    fields_max: int = Field(default=128, ge=8, le=1024)
    target_max: ByteSize = 8 * 1024


class Opening(Strict):
    """Credited once, when the account is first seen."""

    cash: Money = 0
    gift: Money = 0
    income: Money = 0


def _mail_address(value: str) -> str:
    if not re.fullmatch(r"[^@\s<>,;:]{1,64}@[A-Za-z0-9.-]{1,255}", value):
        raise ValueError(f"{value!r} is no mail address")
    return value


def _hook(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.fragment:
        raise ValueError(f"{value!r} is no http or https address")
    _ = parts.port  # Raises ValueError when it is none.
    return value


MailAddress = Annotated[str, AfterValidator(_mail_address)]


class Notify(Strict):
    """Where an account's notifications go (B49, B53). Webhooks are signed (gateway/notify)."""

    email: MailAddress | None = None
    webhook: Annotated[str, AfterValidator(_hook)] | None = None


class Smtp(Strict):
    """The server that takes the node's mail. The password: $TOLLGATE_SMTP_PASSWORD, else ``password_file``."""

    host: str = Field(pattern=r"^[A-Za-z0-9.:-]{1,255}$")
    port: int = Field(default=587, ge=1, le=65_535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: MailAddress
    user: str | None = None
    password_file: FilePath | None = None


class Account(Strict):
    id: Id
    entity: str | None = None
    currency: Currency = "USD"
    activated_at: AwareDatetime
    opening: Opening = Opening()
    alert_below: Money | None = None
    free_quota: bool = True
    notify: Notify | None = None


class Prepaid(Strict):
    prepaid_months: int = Field(ge=1, le=60)


class InstanceSettings(Strict):
    """Shared or dedicated; what only dedicated ones have is refused on shared ones (L5)."""

    id: Id
    account: Id
    type: Literal["shared", "dedicated"]
    region: str
    qps: Qps | None = None
    spec: str | None = None
    charge: Literal["payg"] | Prepaid | None = None
    entry: tuple[Entry, ...] | None = None
    workers: int | None = Field(default=None, ge=1, le=64)
    body_max: ByteSize | None = None
    egress_ip: Annotated[str, AfterValidator(_address)] | None = None
    access_log: Share | None = None  # the share of its exchanges that is logged


class KeyQuota(Strict):
    """Calls in a local day or month (billing.timezone), by the node's clock."""

    calls: int = Field(ge=1, le=(1 << 40) - 1)
    per: Literal["day", "month"]


class Key(Strict):
    id: Id
    sha256: str = Field(pattern="^[0-9A-Fa-f]{64}$")
    qps: Qps | None = None
    quota: KeyQuota | None = None


class Auth(Strict):
    type: Literal["none", "key"] = "none"
    header: str = Field(default="X-Api-Key", pattern=r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}$")
    keys: tuple[Key, ...] = ()
    strip: bool = False


class Cors(Strict):
    """Who may ask from another origin. Preflights are answered by the gateway, before any key."""

    origins: tuple[Origin, ...] = Field(min_length=1, max_length=256)
    methods: tuple[Annotated[str, Field(pattern="^[A-Z]{1,32}$")], ...] = ("GET", "HEAD", "POST")
    headers: tuple[FieldName, ...] = ()
    expose: tuple[FieldName, ...] = ()
    credentials: bool = False
    max_age: Duration = 600.0


class AccessLogSettings(Strict):
    """JSON lines, one for each exchange; SIGHUP opens the file anew, after a rotation."""

    file: FilePath
    share: Share = 1.0  # of the exchanges of instances that set none themselves


class Target(Strict):
    url: Annotated[str, AfterValidator(_url)]
    weight: int = Field(default=1, ge=1, le=1000)


class Health(Strict):
    path: str = Field(default="/healthz", pattern=r"^/[\x21-\x7e]*$")
    interval: Annotated[Duration, Field(ge=0.1)] = 2.0
    failures: int = Field(default=3, ge=1, le=100)
    successes: int = Field(default=2, ge=1, le=100)
    eject: Annotated[Duration, Field(ge=0.1)] = 10.0


class Timeouts(Strict):
    connect: Duration = 3.0
    response: Duration = 30.0
    idle: Duration = 60.0


class UpstreamTls(Strict):
    """Towards `https` targets. Verification is on unless said otherwise, by the system's authorities or by ``ca``."""

    verify: bool = True
    ca: FilePath | None = None
    server_name: Annotated[str, AfterValidator(_server_name)] | None = None
    certificate: FilePath | None = None
    key: FilePath | None = None


class Upstream(Strict):
    network: Network | None = None
    balance: Literal["round_robin", "least_outstanding", "client_hash"] = "round_robin"
    targets: tuple[Target, ...] = Field(min_length=1, max_length=256)
    health: Health | None = None
    tls: UpstreamTls = UpstreamTls()
    timeouts: Timeouts = Timeouts()
    retries: int = Field(default=1, ge=0, le=10)
    preserve_host: bool = True
    on_5xx: bool = False
    pool_idle: Duration = 60.0
    connections_max: int = Field(default=4096, ge=1, le=60_000)  # for each target and worker; an address has as many


class Route(Strict):
    id: Id
    methods: tuple[Annotated[str, Field(pattern="^[A-Z]{1,32}$")], ...] = ()
    path: Annotated[str, AfterValidator(_route_path)]
    qps: Qps | None = None


class ServiceSettings(Strict):
    id: Id
    instance: Id
    hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = ()
    path: Annotated[str, AfterValidator(_prefix)]  # default: /<id>, put in before
    strip_path: bool = True
    protocol: Literal["http", "websocket"] = "http"
    qps: Qps | None = None
    limit_mode: Literal["enforce", "shadow"] = "enforce"
    wait_ms_max: int = Field(default=0, ge=0, le=60_000)
    auth: Auth = Auth()
    allow: tuple[Cidr, ...] = ()
    deny: tuple[Cidr, ...] = ()
    cors: Cors | None = None
    upstream: Upstream
    routes: tuple[Route, ...] = ()


class Settings(Strict):
    """The whole file."""

    version: Literal[1]
    node: Node
    entry: tuple[Entry, ...] = ()
    shared_workers: int | None = Field(default=None, ge=1, le=64)
    admin: Admin = Admin()
    store: Store = Store()
    billing: BillingSettings = BillingSettings()
    catalog: FilePath | None = None
    clock: ClockSettings = ClockSettings()
    trusted_proxies: tuple[Cidr, ...] = ()
    limits: LimitSettings = LimitSettings()
    access_log: AccessLogSettings | None = None
    drain: Duration = 30.0
    client: Client = Client()
    smtp: Smtp | None = None
    accounts: tuple[Account, ...] = ()
    instances: tuple[InstanceSettings, ...] = ()
    services: tuple[ServiceSettings, ...] = ()


Document = dict[str, Any]
