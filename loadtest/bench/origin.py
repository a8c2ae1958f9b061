"""The origin of the benchmark: nginx with answers from memory and files, on the load's CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from loadtest.bench.machine import LOAD_CPU
from loadtest.processes import Processes, listens

FILES: Final = {"1k": 1 << 10, "100k": 100 << 10, "10m": 10 << 20}
UPLOAD_BYTES_MAX: Final = 4 << 20
# Where nginx of any distribution would write, it may not: everything goes to our folder.
NGINX_PATHS: Final = "".join(
    f"{kind}_temp_path {{folder}}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)


def config(folder: Path, port: int) -> str:
    """/hello: 35 bytes; /1k /100k /10m: files; /upload: reads the content whole, then answers as /hello."""
    return f"""
worker_processes 1; daemon off; master_process off; pid {folder}/origin.pid; error_log stderr error;
events {{ worker_connections 18000; }}
http {{
 access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; sendfile on; tcp_nodelay on;
 {NGINX_PATHS.format(folder=folder)}
 upstream itself {{ server 127.0.0.1:{port}; keepalive 64; }}
 server {{
  listen 127.0.0.1:{port} backlog=4096; root {folder}/files; client_max_body_size 0;
  location / {{ default_type text/plain; return 200 'an answer of some thirty-five bytes'; }}
  location = /1k {{ default_type text/plain; }}
  location = /100k {{ default_type text/plain; }}
  location = /10m {{ default_type text/plain; }}
  location = /upload {{
   client_body_buffer_size {UPLOAD_BYTES_MAX}; proxy_pass_request_body off; proxy_set_header Content-Length "";
   proxy_set_header Connection ""; proxy_http_version 1.1; proxy_method GET; proxy_pass http://itself/hello;
  }}
 }}
}}
"""


def start(processes: Processes, folder: Path, port: int) -> int:
    """The origin's pid. Raises StartFailed."""
    (folder / "files").mkdir()
    for name, size in FILES.items():
        (folder / "files" / name).write_bytes(b"x" * size)
    conf = folder / "origin.conf"
    conf.write_text(config(folder, port))
    process = processes.start("origin", ["nginx", "-c", str(conf)], cpu=LOAD_CPU)
    processes.wait_until("origin", process, lambda: listens(port))
    return process.pid
