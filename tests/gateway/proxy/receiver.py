"""An OpenTelemetry receiver of the test's own: OTLP over HTTP on a real socket, spans decoded from their protobuf."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tests.node import until


class Received(NamedTuple):
    """One span, and the resource it is of."""

    span: Any
    attributes: dict[str, object]
    resource: dict[str, object]


class Receiver:
    """Answers with ``status`` what is posted to /v1/traces, and keeps what it answered well."""

    def __init__(self) -> None:
        self.status = 200
        self.spans: list[Received] = []
        self.requests = 0
        self.fields: dict[str, str] = {}  # of the last request
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(self.path, {name.lower(): value for name, value in self.headers.items()}, content)
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def take(self, path: str, fields: dict[str, str], content: bytes) -> None:
        assert path == "/v1/traces"
        assert fields["content-type"] == "application/x-protobuf"
        self.requests += 1
        self.fields = fields
        if self.status != 200:
            return
        if fields.get("content-encoding") == "gzip":
            content = gzip.decompress(content)
        for of_resource in ExportTraceServiceRequest.FromString(content).resource_spans:
            resource = _values(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                assert of_scope.scope.name == "tollgate"
                self.spans += [Received(span, _values(span.attributes), resource) for span in of_scope.spans]

    def wait_for(self, count: int) -> list[Received]:
        until(lambda: len(self.spans) >= count, f"{count} spans", 10)
        return self.spans

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _values(pairs: list[KeyValue]) -> dict[str, object]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> object:
    return getattr(value, str(value.WhichOneof("value")))


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.stop()
