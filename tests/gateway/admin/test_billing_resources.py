"""Money over HTTP: done once for a key, refused by name, and the pages behind a bill."""

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from tests.billing.world import count_rows
from tests.gateway.admin.desk import DeskNode
from tests.gateway.admin.test_resources import cash, get

BOUGHT = {"account": "acme", "id": "d", "spec": "dedicated-2500", "region": "ap-guangzhou"}
VOUCHER = {"id": "v", "amount": "3.00", "expires_at": "2030-01-01T00:00:00Z"}
MONTHLY = BOUGHT | {"charge": {"prepaid_months": 1}, "price": "12.00"}


async def post(client: TestClient, path: str, content: Any = None, key: str | None = None) -> tuple[int, Any]:
    answer = await client.post(path, json=content, headers={} if key is None else {"Idempotency-Key": key})
    return answer.status, await answer.json()


def use(node: DeskNode, calls: int = 1500, errors: int = 0) -> None:
    now = node.store.clock.now()
    values = {"calls": calls} | ({"frontend_error:internal_error": errors} if errors else {})
    count_rows(node.store.engine, int(now) // 3600 - 1, values, account="acme", instance="acme-shared")
    node.store.biller.settle(now, lambda hour: True)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v1/accounts/acme/vouchers", VOUCHER),
        ("/v1/instances", MONTHLY | {"id": "e"}),
        ("/v1/instances/d/renew", {"months": 2}),
        ("/v1/instances/d/refund", None),
        ("/v1/instances/acme-dedicated/release", None),
        ("/v1/accounts/acme/free-quota", None),
        (
            "/v1/accounts/acme/adjustments",
            {
                "hour": "2026-01-15T09:00:00Z",
                "instance": "acme-shared",
                "meter": "calls",
                "amount": "7",
                "reason": "SLA",
            },
        ),
    ],
)
async def test_the_same_key_does_it_once_and_answers_alike(client: TestClient, path: str, content: Any) -> None:
    await post(client, "/v1/instances", MONTHLY)
    first = await post(client, path, content, "key")
    assert first[0] == 201, first
    after = await get(client, "/v1/accounts/acme"), await get(client, "/v1/orders")
    assert await post(client, path, content, "key") == first
    assert (await get(client, "/v1/accounts/acme"), await get(client, "/v1/orders")) == after


@pytest.mark.parametrize(
    ("path", "content", "status", "code"),
    [
        ("/v1/instances", MONTHLY | {"price": "5000"}, 402, "insufficient_funds"),
        ("/v1/instances", BOUGHT | {"region": "ap-mumbai"}, 422, "region_unsupported"),
        ("/v1/instances", BOUGHT | {"id": "acme-shared"}, 409, "exists"),
        ("/v1/instances", BOUGHT | {"account": "nobody"}, 404, "not_found"),
        ("/v1/instances", BOUGHT | {"spec": "huge", "region": "moon"}, 422, "invalid"),
        ("/v1/instances/acme-dedicated/refund", None, 409, "wrong_charge"),
        ("/v1/instances/acme-dedicated/renew", {"months": 1}, 409, "wrong_charge"),
        ("/v1/instances/nothing/release", None, 404, "not_found"),
        ("/v1/packs/free-calls-1/refund", None, 409, "pack_source"),
        ("/v1/accounts/nobody/vouchers", VOUCHER, 404, "not_found"),
        ("/v1/accounts/acme/vouchers", {"id": "v", "amount": 1, "expires_at": "soon"}, 422, "invalid"),
        ("/v1/accounts/acme/adjustments", {"amount": "0"}, 422, "invalid"),
    ],
)  # fmt: skip
async def test_a_refusal_has_its_name_and_changes_nothing(
    client: TestClient, path: str, content: Any, status: int, code: str
) -> None:
    before = await get(client, "/v1/accounts/acme"), await get(client, "/v1/orders"), await get(client, "/v1/packs")
    answered, problem = await post(client, path, content)
    assert (answered, problem["code"]) == (status, code)
    if code == "invalid":
        assert problem["errors"]
    after = await get(client, "/v1/accounts/acme"), await get(client, "/v1/orders"), await get(client, "/v1/packs")
    assert after == before


async def test_a_veto_stops_refunds_until_it_is_lifted(client: TestClient) -> None:
    await post(client, "/v1/instances", MONTHLY)
    assert (await client.put("/v1/accounts/acme/refund-veto", json={"vetoed": True})).status == 200
    assert (await post(client, "/v1/instances/d/refund"))[1]["code"] == "refund_vetoed"
    before = await cash(client)
    await client.put("/v1/accounts/acme/refund-veto", json={"vetoed": False})
    assert (await post(client, "/v1/instances/d/refund"))[0] == 201
    assert await cash(client) == before + 12


async def test_a_bill_line_is_explained_and_exported(client: TestClient, node: DeskNode) -> None:
    use(node)
    [month] = (await get(client, "/v1/bills?account=acme"))["bills"]
    lines = (await get(client, f"/v1/bills/{month}/lines"))["items"]
    found = await get(client, f"/v1/bill-lines/{lines[0]['id']}/explanation")
    assert [row["value"] for row in found["counters"]] == [1500]
    assert (await client.get("/v1/bill-lines/0/explanation")).status == 404
    assert (await client.get("/v1/bill-lines/x/explanation")).status == 404
    rows = (await get(client, f"/v1/bills/{month}/focus?account=acme"))["items"]
    assert {row["InvoiceId"] for row in rows} == {f"acme-{month}"}


async def test_the_statement_is_a_page_with_the_availability_against_the_target(
    client: TestClient, node: DeskNode
) -> None:
    use(node, calls=1998, errors=2)
    [month] = (await get(client, "/v1/bills?account=acme"))["bills"]
    answer = await client.get(f"/v1/bills/{month}/statement")
    page = await answer.text()
    assert answer.content_type == "text/html"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    for text in ("acme-shared", "1,998", "99.9 %", "@media print", f"Statement {month}"):
        assert text in page, text
    document = await (await client.get(f"/v1/bills/{month}/statement", headers={"Accept": "application/json"})).json()
    [one] = document["availability"]
    assert (one["received"], one["failed"], one["availability"], one["sla"]) == (2000, 2, "0.999000", "0.999")
    assert (await client.get("/v1/bills/2026-13/statement")).status == 404


async def test_what_is_in_a_statement_is_escaped() -> None:
    from gateway.statement.page import statement_page

    blank = {"voucher": "0", "gift": "0", "income": "0", "cash": "0"}
    page = statement_page(
        {"account": "<script>", "entity": "e&co", "month": "2026-01", "currency": "USD", "state": "open",
         "period": {"from": "a", "to": "b", "timezone": "c"}, "total": "0", "total_shown": "0.00", "paid": blank,
         "charges": [], "packs": [], "tier": {"paid_calls": 0, "tier": 1}, "orders": [], "balance": "0",
         "availability": []}
    )  # fmt: skip
    assert "<script>" not in page and "&lt;script&gt;" in page and "e&amp;co" in page


async def test_a_lost_hour_is_found_and_marked_again(client: TestClient, node: DeskNode) -> None:
    from metering.database import transaction
    from metering.tables import dirty

    now = node.store.clock.now()
    count_rows(node.store.engine, int(now) // 3600 - 1, {"calls": 7}, account="acme", instance="acme-shared")
    with transaction(node.store.engine) as connection:
        connection.execute(dirty.delete())
    assert len((await get(client, "/v1/reconciliation"))["items"]) == 1
    assert (await client.post("/v1/reconciliation")).status == 200
    node.store.biller.settle(now, lambda hour: True)
    assert (await get(client, "/v1/reconciliation"))["items"] == []
