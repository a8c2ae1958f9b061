"""The configuration file as types (DESIGN 1.2). Attribute names are the file's keys; units: seconds, bytes, e8.

What one value can say of itself is checked in `values.py`; what holds between values, in `checks.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from config.bounds import Many, PathText, Text, lasting, sized
from config.catalog import Strict
from config.prices import Money
from config.values import (
    Address,
    Bind,
    BindAddress,
    BodyMax,
    ByteSize,
    Cidr,
    CredentialField,
    Currency,
    Duration,
    FieldName,
    FilePath,
    HealthPath,
    HostField,
    HostName,
    Id,
    Instant,
    MailAddress,
    Method,
    Network,
    Origin,
    OtlpUrl,
    PathPrefix,
    Qps,
    ReceiverUrl,
    RoutePath,
    ServerName,
    Share,
    SmtpHost,
    StatusRules,
    StoreUrl,
    TargetUrl,
    Timezone,
    TlsVersion,
)

# Each is a socket in every worker.
ENTRIES_MAX: Final = 64
# Looked through one by one, once for each connection.
NETWORKS_MAX: Final = 1024
METHODS_MAX: Final = 64  # IANA has 40.
# Of a service. They are read at once when its first request comes: 1 ms for 100 of them.
ROUTES_MAX: Final = 10_000
# Of a kind: every account and instance is settled each hour, every service stands in a table of each worker.
ITEMS_MAX: Final = 100_000


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
    certificates: Many[CertificatePair] = Field(default=(), max_length=256)
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
    proxy_protocol_from: Many[Cidr] = Field(default=(), max_length=NETWORKS_MAX)


class Admin(Strict):
    bind: BindAddress = Bind("127.0.0.1", 8081)
    hosts: Many[ServerName] = Field(default=(), max_length=100)  # what it may be asked for beside addresses


class Store(Strict):
    url: StoreUrl = "sqlite:///./data/tollgate.db"


class BillingSettings(Strict):
    price_book: PathText = "usd"
    timezone: Timezone = "Asia/Shanghai"
    egress_basis: Literal["application", "wire"] = "application"
    # On statements: who bills, with address and tax number; and what is to be said of taxes. They are not computed.
    seller: Text | None = None
    tax: Text | None = None


class ClockSettings(Strict):
    """Wall time of hours, bills and deadlines; not of timeouts and limits."""

    rate: float = Field(default=1, ge=0.001, le=86_400)  # a day in a second; slower, and hours seem to stand
    offset: Annotated[Duration, lasting("0s", "36500d")] = 0.0


class LimitSettings(Strict):
    burst_ms: int = Field(default=100, ge=1, le=1000)


class Client(Strict):
    """Bounds towards clients."""

    head_timeout: Annotated[Duration, lasting("10ms", "1h")] = 10.0
    body_timeout: Annotated[Duration, lasting("10ms", "1d")] = 30.0
    idle_timeout: Annotated[Duration, lasting("10ms", "1d")] = 75.0
    head_max: Annotated[ByteSize, sized("1KiB", "1MiB")] = 32 * 1024
    fields_max: int = Field(default=128, ge=8, le=1024)
    target_max: Annotated[ByteSize, sized("64B", "1MiB")] = 8 * 1024
    body_rate_min: Annotated[ByteSize, sized("0B", "1GiB")] = 100  # a second, once `body_timeout` has passed; 0: none
    # Of each worker, and of one client address; default: by the descriptors that it may have, and half of that.
    connections_max: int | None = Field(default=None, ge=16, le=1_000_000)
    address_connections_max: int | None = Field(default=None, ge=1, le=1_000_000)
    # Names as `X_Real_IP` that CGI and WSGI do not tell from those the gateway reads, writes or drops.
    underscore_fields: Literal["drop", "keep"] = "drop"


class Opening(Strict):
    """Credited once, when the account is first seen."""

    cash: Money = 0
    gift: Money = 0
    income: Money = 0


class Notify(Strict):
    """Where an account's notifications go (B49, B53). Webhooks are signed (gateway/notify)."""

    email: MailAddress | None = None
    webhook: ReceiverUrl | None = None
    emails: Many[MailAddress] = Field(default=(), max_length=32)  # more of them; each is sent to by itself
    webhooks: Many[ReceiverUrl] = Field(default=(), max_length=32)
    language: Literal["en", "zh"] = "en"


class Smtp(Strict):
    """The server that takes the node's mail. The password: $TOLLGATE_SMTP_PASSWORD, else ``password_file``."""

    host: SmtpHost
    port: int = Field(default=587, ge=1, le=65_535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: MailAddress
    user: Text | None = None
    password_file: FilePath | None = None


class Account(Strict):
    id: Id
    entity: Text | None = None
    currency: Currency = "USD"
    activated_at: Instant
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
    region: Text
    qps: Qps | None = None
    spec: Text | None = None
    charge: Literal["payg"] | Prepaid | None = None
    entry: Annotated[Many[Entry], Field(max_length=ENTRIES_MAX)] | None = None
    workers: int | None = Field(default=None, ge=1, le=64)
    body_max: BodyMax | None = None
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
    name: CredentialField | None = None
    header: CredentialField | None = None
    keys: Many[Key] = Field(default=(), max_length=100_000)  # in the memory of every worker
    strip: bool = False

    @property
    def name_there(self) -> str:
        return self.name or self.header or KEY_PLACES[self.place]


class Cors(Strict):
    """Who may ask from another origin. Preflights are answered by the gateway, before any key."""

    origins: Many[Origin] = Field(min_length=1, max_length=256)
    methods: Many[Method] = Field(default=("GET", "HEAD", "POST"), max_length=METHODS_MAX)
    headers: Many[FieldName] = Field(default=(), max_length=100)  # a line of each answer, of 6 KiB at most
    expose: Many[FieldName] = Field(default=(), max_length=100)
    credentials: bool = False
    max_age: Annotated[Duration, lasting("0s", "1d")] = 600.0  # browsers keep no answer longer


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
    path: HealthPath = "/healthz"
    host: HostField | None = None  # default: the service's, where its traffic has it too, else the target's
    status: StatusRules = ("2xx", "3xx")
    interval: Annotated[Duration, lasting("100ms", "1d")] = 2.0
    failures: int = Field(default=3, ge=1, le=100)
    successes: int = Field(default=2, ge=1, le=100)
    eject: Annotated[Duration, lasting("100ms", "1d")] = 10.0


class Timeouts(Strict):
    connect: Annotated[Duration, lasting("1ms", "10m")] = 3.0  # the kernel gives up after about two
    response: Annotated[Duration, lasting("1ms", "1d")] = 30.0
    idle: Annotated[Duration, lasting("1ms", "7d")] = 60.0  # of a WebSocket too, which may be at rest for days


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
    targets: Many[Target] = Field(min_length=1, max_length=256)
    health: Health | None = None
    tls: UpstreamTls = UpstreamTls()
    timeouts: Timeouts = Timeouts()
    retries: int = Field(default=1, ge=0, le=10)
    preserve_host: bool = True
    on_5xx: bool = False
    pool_idle: Annotated[Duration, lasting("10ms", "1d")] = 60.0
    # Exchanges with a target at once, in each worker; an address has as many ports.
    connections_max: int = Field(default=4096, ge=1, le=60_000)


class Route(Strict):
    id: Id
    methods: Many[Method] = Field(default=(), max_length=METHODS_MAX)
    path: RoutePath
    qps: Qps | None = None


class ServiceSettings(Strict):
    id: Id
    instance: Id
    hosts: Many[HostName] = Field(default=(), max_length=1024)  # a table of its own for each
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
    allow: Many[Cidr] = Field(default=(), max_length=NETWORKS_MAX)
    deny: Many[Cidr] = Field(default=(), max_length=NETWORKS_MAX)
    cors: Cors | None = None
    upstream: Upstream
    routes: Many[Route] = Field(default=(), max_length=ROUTES_MAX)


class Settings(Strict):
    """The whole file."""

    version: int = Field(ge=1, le=1)
    node: Node
    entry: Many[Entry] = Field(default=(), max_length=ENTRIES_MAX)
    shared_workers: int | None = Field(default=None, ge=1, le=64)
    admin: Admin = Admin()
    store: Store = Store()
    billing: BillingSettings = BillingSettings()
    catalog: FilePath | None = None
    clock: ClockSettings = ClockSettings()
    trusted_proxies: Many[Cidr] = Field(default=(), max_length=NETWORKS_MAX)
    limits: LimitSettings = LimitSettings()
    access_log: AccessLogSettings | None = None
    tracing: Tracing | None = None
    drain: Annotated[Duration, lasting("0s", "1h")] = 30.0  # restarts wait for it
    client: Client = Client()
    smtp: Smtp | None = None
    accounts: Many[Account] = Field(default=(), max_length=ITEMS_MAX)
    instances: Many[InstanceSettings] = Field(default=(), max_length=ITEMS_MAX)
    services: Many[ServiceSettings] = Field(default=(), max_length=ITEMS_MAX)


Document = dict[str, Any]
