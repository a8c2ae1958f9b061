"""The configuration file as types (DESIGN 1.2). Attribute names are the file's keys; units: seconds, bytes, e8.

What one value can say of itself is checked in `values.py`; what holds between values, in `checks.py`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field

from config.catalog import Strict
from config.prices import Money
from config.values import (
    Address,
    Bind,
    BindAddress,
    ByteSize,
    Cidr,
    Currency,
    Duration,
    FieldName,
    FilePath,
    HostName,
    Id,
    Network,
    Origin,
    OtlpUrl,
    PathPrefix,
    Qps,
    RoutePath,
    ServerName,
    Share,
    TargetUrl,
    Timezone,
    TlsVersion,
)


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
    client_cert: Literal["drop", "forward"] = "drop"  # forward: upstreams are told of it by Client-Cert (RFC 9440)


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
    timezone: Timezone = "Asia/Shanghai"
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
    # Names as `X_Real_IP` that CGI and WSGI do not tell from those the gateway reads, writes or drops.
    underscore_fields: Literal["drop", "keep"] = "drop"


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
    egress_ip: Address | None = None
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


# Where a key may stand, and the name of its place there unless ``name`` says another.
KEY_PLACES: Final = {"header": "X-Api-Key", "query": "api_key", "cookie": "api_key", "subprotocol": "key"}


class Auth(Strict):
    """``header`` is the ``name`` of before there were other places than fields."""

    model_config = ConfigDict(serialize_by_alias=True)

    type: Literal["none", "key"] = "none"
    place: Literal["header", "query", "cookie", "subprotocol"] = Field(default="header", alias="in")
    name: FieldName | None = None
    header: FieldName | None = None
    keys: tuple[Key, ...] = ()
    strip: bool = False

    @property
    def name_there(self) -> str:
        return self.name or self.header or KEY_PLACES[self.place]


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


class Tracing(Strict):
    """Spans to an OpenTelemetry receiver (OTLP over HTTP). Needs the extra `otel`."""

    endpoint: OtlpUrl
    sample: Share = 0.01  # of the exchanges whose client does not decide
    queue_max: int = Field(default=2048, ge=1, le=65_536)  # spans of each worker that wait to be sent


class Target(Strict):
    url: TargetUrl
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
    server_name: ServerName | None = None
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
    # Exchanges with a target at once, in each worker; an address has as many ports.
    connections_max: int = Field(default=4096, ge=1, le=60_000)


class Route(Strict):
    id: Id
    methods: tuple[Annotated[str, Field(pattern="^[A-Z]{1,32}$")], ...] = ()
    path: RoutePath
    qps: Qps | None = None


class ServiceSettings(Strict):
    id: Id
    instance: Id
    hosts: tuple[HostName, ...] = ()
    path: PathPrefix  # default: /<id>, put in before
    strip_path: bool = True
    path_case: Literal["exact", "fold"] = "exact"
    trailing_slash: Literal["exact", "ignore"] = "exact"
    path_escapes: Literal["decode", "keep", "refuse"] = "decode"
    merge_slashes: bool = True
    location: Literal["keep", "rewrite"] = "keep"
    protocol: Literal["http", "websocket", "any"] = "http"
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
    tracing: Tracing | None = None
    drain: Duration = 30.0
    client: Client = Client()
    smtp: Smtp | None = None
    accounts: tuple[Account, ...] = ()
    instances: tuple[InstanceSettings, ...] = ()
    services: tuple[ServiceSettings, ...] = ()


Document = dict[str, Any]
