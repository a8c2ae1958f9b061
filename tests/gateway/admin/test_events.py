"""POST /v1/events over HTTP: the three modes of CloudEvents, and what is answered to those that cannot be counted.

On both engines.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from gateway.admin.events import BATCH, SINGLE
from tests.gateway.admin.desk import DeskNode


@pytest.fixture
def node(tmp_path: Path, url: str) -> Iterator[DeskNode]:
    node = DeskNode(tmp_path, store=url)
    yield node
    node.close()


@pytest.fixture
def event(node: DeskNode) -> dict[str, Any]:
    instance = node.settings.instances[0].id
    time = datetime.fromtimestamp(node.store.clock.now(), UTC).isoformat()
    data = {"instance": instance, "calls": 12}
    return {"specversion": "1.0", "id": "1", "source": "/edge", "type": "tollgate.usage", "time": time, "data": data}


async def post(client: TestClient, document: Any, type: str, **fields: str) -> tuple[int, Any]:
    async with client.post(
        "/v1/events", data=json.dumps(document), headers={"Content-Type": type, **fields}
    ) as response:
        return response.status, await response.json(content_type=None)


async def calls(client: TestClient) -> int:
    async with client.get("/v1/usage") as response:
        return sum(row["calls"] for row in (await response.json())["items"])


async def test_single_batch_and_binary_events_are_the_same(client: TestClient, event: dict[str, Any]) -> None:
    assert await post(client, event, SINGLE + "; charset=utf-8") == (200, {"accepted": 1, "duplicates": 0})
    assert await post(client, [event, {**event, "id": "2"}], BATCH) == (200, {"accepted": 1, "duplicates": 1})
    attributes = {f"ce-{name}": value for name, value in event.items() if name not in ("data", "id")}
    assert (await post(client, event["data"], "application/json", **attributes, **{"Ce-Id": "2"}))[1] == {
        "accepted": 0,
        "duplicates": 1,
    }
    assert (await post(client, event["data"], "application/json", **attributes, **{"Ce-Id": "3"}))[0] == 200
    assert await post(client, [], BATCH) == (200, {"accepted": 0, "duplicates": 0})
    assert await calls(client) == 36


async def test_bad_events_are_named_and_nothing_is_counted(client: TestClient, event: dict[str, Any]) -> None:
    bad = {**event, "id": "2", "data": {**event["data"], "calls": "many"}}
    status, problem = await post(client, [event, bad, {**event, "id": "3", "type": "x"}], BATCH)
    assert (status, problem["code"]) == (422, "invalid")
    assert [fault["path"] for fault in problem["errors"]] == ["[1].data.calls", "[2].type"]
    assert await calls(client) == 0
    assert (await post(client, event, BATCH))[0] == 422
    assert (await post(client, event, "text/plain"))[0] == 415
    async with client.post("/v1/events", data=b"{", headers={"Content-Type": SINGLE}) as response:
        assert response.status == 400


async def test_events_need_the_token(stranger: TestClient, event: dict[str, Any]) -> None:
    assert (await post(stranger, event, SINGLE))[0] == 401


async def test_events_are_billed(client: TestClient, node: DeskNode, event: dict[str, Any]) -> None:
    """The usage of an outside event is a line of the bill once its hour is settled."""
    await post(client, {**event, "data": {**event["data"], "calls": 3_000_000}}, SINGLE)
    biller = node.store.office._biller
    biller.settle(node.store.clock.now() + 2 * 3600, lambda hour: True)
    account = node.settings.instances[0].account
    bills = biller.bill(account)["bills"]
    quantities = [line["quantity"] for month in bills.values() for line in month["lines"] if line["meter"] == "calls"]
    assert sum(quantities) == 3_000_000


async def test_events_that_each_fit_and_whose_sum_does_not_stop_nobodys_bill(
    client: TestClient, node: DeskNode, event: dict[str, Any]
) -> None:
    """The one that is too much is named; what was counted is billed, and so is everybody else."""
    sent = {"side": "client", "network": "internet", "basis": "application", "bytes": 2**44}
    full = [{**event, "id": str(n), "data": {"instance": "acme-shared", "egress": [sent]}} for n in range(64)]
    assert (await post(client, full, BATCH))[0] == 200
    one_more = {"instance": "acme-shared", "egress": [{**sent, "bytes": 1}]}
    last = {**event, "id": "last", "source": "/other", "data": one_more}
    status, problem = await post(client, [{**event, "id": "one"}, last], BATCH)
    assert (status, [fault["path"] for fault in problem["errors"]]) == (422, ["[1].data.egress"])
    node.store.biller.settle(node.store.clock.now() + 2 * 3600, lambda hour: True)
    [month] = node.store.office._biller.bill("acme")["bills"].values()
    assert sum(line["quantity"] for line in month["lines"] if line["meter"] == "egress_client") == 2**50


async def test_an_event_is_one_however_it_is_spelt(client: TestClient, event: dict[str, Any]) -> None:
    """Structured, batched, binary: quoted, percent-encoded, or as it is."""
    event = {**event, "id": 'Zürich "7" 100%', "source": "/edge/a b"}
    assert (await post(client, event, SINGLE))[1] == {"accepted": 1, "duplicates": 0}
    assert (await post(client, [event, event], BATCH))[1] == {"accepted": 0, "duplicates": 2}
    common = {f"ce-{name}": event[name] for name in ("specversion", "type")}
    encoded = {"ce-id": "Z%C3%BCrich%20%227%22%20100%25", "ce-source": "/edge/a%20b", "ce-time": f'"{event["time"]}"'}
    quoted = {"ce-id": r'"Z%c3%bcrich \"7\" 100%25"', "ce-source": '"/edge/a b"', "ce-time": event["time"]}
    for spelling in (encoded, quoted):
        done = await post(client, event["data"], "application/json", **common, **spelling)
        assert done == (200, {"accepted": 0, "duplicates": 1})
    assert await calls(client) == 12


async def test_fields_that_are_spelt_wrong_are_named_and_not_counted(client: TestClient, event: dict[str, Any]) -> None:
    fields = {f"ce-{name}": event[name] for name in ("specversion", "type", "source", "time")}
    for id in ("%FF", '"1', "100%"):
        status, problem = await post(client, event["data"], "application/json", **fields, **{"ce-id": id})
        assert (status, problem["code"], [fault["path"] for fault in problem["errors"]]) == (422, "invalid", ["id"])
    assert await calls(client) == 0
