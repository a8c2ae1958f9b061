"""The desk of a running node, over its admin API."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import orjson

from config.errors import Fault
from gateway.commands.errors import NodeUnreachable
from gateway.control.errors import Refusal
from gateway.control.filter import Filter

Document = dict[str, Any]

# A settlement may hold the store's thread for a while.
_TIMEOUT_S = 30.0
# Worker by worker, after those that an earlier restart left have drained.
_RESTART_TIMEOUT_S = 600.0


class RemoteDesk:
    """``url`` as in `--admin`; raises NodeUnreachable where nothing answers."""

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise NodeUnreachable(f"{url} is not an address like http://127.0.0.1:8081")
        self._url = url
        self._parts = parts
        self._token = token

    def accounts(self, filter: Filter) -> list[Document]:
        return self._list("/v1/accounts", filter)

    def account(self, id: str) -> Document:
        return self._call("GET", f"/v1/accounts/{quote(id, safe='')}")

    def top_up(self, account: str, document: Document, key: str | None) -> Document:
        return self._call("POST", f"/v1/accounts/{quote(account, safe='')}/top-ups", document, key)

    def instances(self, filter: Filter) -> list[Document]:
        return self._list("/v1/instances", filter)

    def services(self, filter: Filter) -> list[Document]:
        return self._list("/v1/services", filter)

    def limits(self, filter: Filter) -> list[Document]:
        return self._list("/v1/limits", filter)

    def add_service(self, document: Document) -> Document:
        return self._call("POST", "/v1/services", document)

    def remove_service(self, id: str) -> None:
        self._call("DELETE", f"/v1/services/{quote(id, safe='')}")

    def packs(self, filter: Filter) -> list[Document]:
        return self._list("/v1/packs", filter)

    def buy_pack(self, document: Document, key: str | None) -> Document:
        return self._call("POST", "/v1/packs", document, key)

    def refund_pack(self, id: str, key: str | None) -> Document:
        return self._call("POST", f"/v1/packs/{quote(id, safe='')}/refund", None, key)

    def usage(self, filter: Filter) -> list[Document]:
        return self._list("/v1/usage", filter)

    def bills(self, filter: Filter) -> Document:
        return self._call("GET", _address("/v1/bills", filter))

    def restart(self) -> Document:
        """The node as it is afterwards. Raises Refusal not_restarted."""
        return self._call("POST", "/v1/workers/restart", timeout_s=_RESTART_TIMEOUT_S)

    def bill_lines(self, month: str, filter: Filter) -> list[Document]:
        return self._list(f"/v1/bills/{month}/lines", filter)

    def buy_instance(self, document: Document, key: str | None) -> Document:
        return self._call("POST", "/v1/instances", document, key)

    def release_instance(self, id: str, key: str | None) -> Document:
        return self._call("POST", f"/v1/instances/{quote(id, safe='')}/release", None, key)

    def refund_instance(self, id: str, key: str | None) -> Document:
        return self._call("POST", f"/v1/instances/{quote(id, safe='')}/refund", None, key)

    def renew_instance(self, id: str, document: Document, key: str | None) -> Document:
        return self._call("POST", f"/v1/instances/{quote(id, safe='')}/renew", document, key)

    def transfers(self, account: str, filter: Filter, after: int = 0) -> Document:
        path = f"/v1/accounts/{quote(account, safe='')}/transfers"
        return self._call("GET", f"{path}?{urlencode({**filter.query(), 'after': str(after)})}")

    def explain(self, line: int) -> Document:
        return self._call("GET", f"/v1/bill-lines/{line}/explanation")

    def what_if(self, account: str, document: Document) -> Document:
        return self._call("POST", f"/v1/accounts/{quote(account, safe='')}/what-if", document)

    def focus(self, month: str, filter: Filter) -> list[Document]:
        return self._list(f"/v1/bills/{month}/focus", filter)

    def statement(self, month: str, filter: Filter) -> Document:
        return self._call("GET", _address(f"/v1/bills/{month}/statement", filter))

    def reconcile(self, *, repair: bool) -> list[Document]:
        found: list[Document] = self._call("POST" if repair else "GET", "/v1/reconciliation")["items"]
        return found

    def _list(self, path: str, filter: Filter) -> list[Document]:
        items: list[Document] = self._call("GET", _address(path, filter))["items"]
        return items

    def _call(
        self,
        method: str,
        path: str,
        document: Document | None = None,
        key: str | None = None,
        timeout_s: float = _TIMEOUT_S,
    ) -> Document:
        fields: dict[str, str | bytes] = {"Accept": "application/json"}
        if self._token:
            fields["Authorization"] = f"Bearer {self._token}"
        if key:
            fields["Idempotency-Key"] = key.encode()
        content = None
        if document is not None:
            try:
                content = orjson.dumps(document)
            except TypeError as error:  # As the node would: its numbers are of 64 bits.
                raise Refusal("invalid", f"what is asked for cannot be sent: {error}") from None
            fields["Content-Type"] = "application/json"
        status, answer = self._exchange(method, path, content, fields, timeout_s)
        if 200 <= status < 300:
            return answer
        raise Refusal(
            str(answer.get("type", "")).removeprefix("urn:tollgate:") or str(status),
            str(answer.get("detail") or f"the node answered {status}"),
            [Fault(str(fault["path"]), str(fault["message"])) for fault in answer.get("errors", [])],
        )

    def _exchange(
        self, method: str, path: str, content: bytes | None, fields: dict[str, str | bytes], timeout_s: float
    ) -> tuple[int, Document]:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._parts.hostname or "", self._parts.port, timeout=timeout_s)
        try:
            connection.request(method, self._parts.path.rstrip("/") + path, content, fields)
            response = connection.getresponse()
            received = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise NodeUnreachable(f"no node answers at {self._url}: {error}") from None
        finally:
            connection.close()
        try:
            return response.status, orjson.loads(received or b"{}")
        except ValueError:
            raise NodeUnreachable(f"what answers at {self._url} is not a node's admin API") from None


def _address(path: str, filter: Filter) -> str:
    query = urlencode(filter.query())
    return f"{path}?{query}" if query else path
