"""Money over HTTP: done once for a key, refused by name, and the pages behind a bill."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from config.instants import instant_text
from gateway.admin.app import make_app
from metering.database import transaction
from tests.billing.world import count_rows
from tests.gateway.admin.desk import TOKEN, DeskNode
from tests.gateway.admin.test_resources import cash, get

BOUGHT = {"account": "acme", "id": "d", "spec": "dedicated-2500", "region": "ap-guangzhou"}
VOUCHER = {"id": "v", "amount": "3.00", "expires_at": "2030-01-01T00:00:00Z"}
ADJUSTMENT = {
    "hour": "2026-01-15T09:00:00Z", "instance": "acme-shared", "meter": "calls", "amount": "1", "reason": "SLA",
}  # fmt: skip
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
         "number": "n", "issued_at": "2026-02-03T00:00:00Z", "seller": "S & Co", "tax": "<b>",
         "period": {"from": "2025-12-31T18:30:00Z", "to": "2026-01-31T18:30:00Z", "timezone": "Asia/Kolkata"},
         "total": "0", "total_shown": "0.00", "paid": blank, "usage_total": "1.00000000", "orders_total": "0.00000000",
         "vouchers": "0.00000000", "opening_balance": "0.00000000", "closing_balance": "-1.00000000", "top_ups": [],
         "charges": [], "packs": [], "tier": {"paid_calls": 0, "tier": 1}, "orders": [], "balance": "0",
         "availability": []}
    )  # fmt: skip
    assert "2026-01-01 00:00:00" in page and "2026-02-03 05:30:00" in page and "18:30" not in page, "local times"
    assert "-1.00000000" in page and "S &amp; Co" in page and "&lt;b&gt;" in page
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


@pytest.mark.parametrize(
    ("path", "content", "field"),
    [
        ("/v1/accounts/acme/top-ups", {"cash": "9999999999.99"}, "cash"),
        ("/v1/accounts/acme/top-ups", {"gift": "1000000000.00000001"}, "gift"),
        ("/v1/accounts/acme/top-ups", {"cash": ["1.00"]}, "cash"),
        ("/v1/accounts/acme/top-ups", {"cash": True}, "cash"),
        ("/v1/accounts/acme/top-ups", {"income": "1000000000", "cash": "1000000000"}, "cash"),
        ("/v1/accounts/acme/vouchers", VOUCHER | {"amount": "9999999999.99"}, "amount"),
        ("/v1/accounts/acme/vouchers", VOUCHER | {"expires_at": "9999-12-31T23:59:59-23:59"}, "expires_at"),
        ("/v1/accounts/acme/vouchers", VOUCHER | {"expires_at": "1999-12-31T23:59:59Z"}, "expires_at"),
        ("/v1/accounts/acme/vouchers", VOUCHER | {"expires_at": "2030-01-01"}, "expires_at"),
        ("/v1/accounts/acme/vouchers", VOUCHER | {"expires_at": 1_900_000_000}, "expires_at"),
        ("/v1/accounts/acme/vouchers", VOUCHER | {"id": "v\x00"}, "id"),
        ("/v1/instances", BOUGHT | {"price": "1000.01"}, "price"),
        ("/v1/instances", BOUGHT | {"price": "9999999999.99"}, "price"),
        ("/v1/packs", {"account": "acme", "meter": "calls", "quantity": 2**61, "months": 1, "price": "1"}, "quantity"),
        ("/v1/packs", {"account": "acme", "meter": ["calls"], "quantity": 1, "months": 1, "price": "1"}, "meter"),
        ("/v1/accounts/acme/adjustments", ADJUSTMENT | {"hour": "1990-01-01T00:00:00Z"}, "hour"),
        ("/v1/accounts/acme/adjustments", ADJUSTMENT | {"reason": "a\x1b[0m"}, "reason"),
        ("/v1/accounts/acme/adjustments", ADJUSTMENT | {"amount": "1000000000.01"}, "amount"),
        ("/v1/accounts/acme/what-if", {"month": "9999-12"}, "month"),
        ("/v1/accounts/acme/what-if", {"month": 1}, "month"),
    ],
)  # fmt: skip
async def test_what_no_later_step_could_carry_is_refused_by_its_field(
    client: TestClient, path: str, content: Any, field: str
) -> None:
    before = await get(client, "/v1/accounts/acme")
    status, problem = await post(client, path, content)
    assert (status, [fault["path"] for fault in problem["errors"]]) == (422, [field])
    assert await get(client, "/v1/accounts/acme") == before


@pytest.mark.parametrize("month", ["0000-01", "0001-01", "1969-12", "9999-12", "2026-1", "%ff"])
async def test_a_month_that_no_calendar_has_is_no_failure(client: TestClient, month: str) -> None:
    for path, status in (("usage?month=", 422), ("bills?month=", 422), ("orders?month=", 422)):
        assert (await client.get(f"/v1/{path}{month}")).status == status, path
    for page in ("lines", "focus", "statement"):
        assert (await client.get(f"/v1/bills/{month}/{page}")).status == 404, page


@pytest.mark.parametrize(
    "text", ["2026-01-15", "2026-01-15T09:00:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"]
)
async def test_a_range_is_of_rfc_3339(client: TestClient, text: str) -> None:
    for path in ("usage", "settlements"):
        for name in ("from", "to"):
            answer = await client.get(f"/v1/{path}", params={name: text})
            assert (answer.status, [one["path"] for one in (await answer.json())["errors"]]) == (422, [name])


@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
async def test_money_up_to_the_bound_again_and_again_and_a_new_start(tmp_path: Path, url: str) -> None:
    """Ten of the greatest amounts stopped a node from ever starting again."""
    values: dict[str, Any] = {"store": url, "cash": "1000000000.00"}
    node = DeskNode(tmp_path, **values)
    statuses = []
    async with TestClient(TestServer(make_app(node, TOKEN)), headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        for bucket in ("cash", "gift", "income"):
            for _ in range(10):
                statuses.append((await post(client, "/v1/accounts/acme/top-ups", {bucket: "1000000000"}))[0])
        assert statuses.count(201) == 2
        assert set(statuses) == {201, 422}
        node.store.biller.settle(node.store.clock.now(), lambda hour: True)
    node.close()
    node = DeskNode(tmp_path, **values)
    async with TestClient(TestServer(make_app(node, TOKEN)), headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        for name in ("accounts", "orders", "bills", "settlements", "instances", "reconciliation"):
            assert (await client.get(f"/v1/{name}")).status == 200
        [account] = (await get(client, "/v1/accounts"))["items"]
        assert account["balance"] == "3000000000.00000000"
    node.close()


async def test_a_voucher_that_an_older_version_took_keeps_nobody_from_an_answer(
    client: TestClient, node: DeskNode
) -> None:
    await post(client, "/v1/accounts/acme/vouchers", VOUCHER)
    with transaction(node.store.engine) as connection:
        connection.exec_driver_sql("UPDATE voucher SET expires_at = 253402387139")
    [voucher] = (await get(client, "/v1/accounts/acme"))["vouchers"]
    assert voucher["expires_at"] == "9999-12-31T23:59:59Z"
    for path in ("/v1/accounts", "/v1/instances", "/v1/bills"):
        await get(client, path)
    event = {"specversion": "1.0", "id": "1", "source": "/e", "type": "tollgate.usage"}
    event |= {"time": instant_text(int(node.store.clock.now()))}
    fields = {"Content-Type": "application/cloudevents+json"}
    document = event | {"data": {"instance": "acme-shared", "calls": 1}}
    assert (await client.post("/v1/events", json=document, headers=fields)).status == 200


@pytest.mark.parametrize("attribute", ["_instance_book", "_biller"])
async def test_a_purchase_that_is_committed_is_answered_so(
    client: TestClient, node: DeskNode, monkeypatch: pytest.MonkeyPatch, attribute: str
) -> None:
    """The disk is full when what was bought is to be noted: it is paid, and the same key makes it serve later."""

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    office = node.store.office
    name = "add" if attribute == "_instance_book" else "entitlements"
    wish = BOUGHT | {"price": "0.00000001", "entry": [{"bind": "127.0.0.1:20001"}]}
    with monkeypatch.context() as broken:
        broken.setattr(getattr(office, attribute), name, fail)
        status, done = await post(client, "/v1/instances", wish, "k")
    assert (status, done["serving"]) == (201, False)
    assert (await post(client, "/v1/instances", wish, "k"))[1]["serving"] is True


async def test_counts_that_pass_64_bits_together_are_shown_with_everybody_elses(
    client: TestClient, node: DeskNode
) -> None:
    """As an older version let them grow."""
    hour = int(node.store.clock.now()) // 3600 - 1
    for writer in ("ce:a", "ce:b", "ce:c"):
        count_rows(node.store.engine, hour, {"calls": 2**63 - 1}, account="acme", instance="acme-shared", writer=writer)
    answered = await client.get("/v1/usage")
    assert answered.status == 200
    assert str(3 * (2**63 - 1)) in await answered.text()


async def test_an_accounts_ledger_is_shown(client: TestClient, node: DeskNode) -> None:
    await client.post("/v1/accounts/acme/top-ups", json={"cash": "7.50"})
    found = await get(client, "/v1/accounts/acme/transfers")
    assert [one["amount"] for one in found["items"] if one["kind"] == "top_up"][-1] == "7.50000000"
    assert found["next"] is None
    last = found["items"][-1]["id"]
    assert (await get(client, f"/v1/accounts/acme/transfers?after={last}"))["items"] == []
    assert (await get(client, "/v1/accounts/acme/transfers?month=2001-01"))["items"] == []
    for query in ("after=-1", "after=x", "after=" + "9" * 30, "month=x", "colour=red"):
        assert (await client.get(f"/v1/accounts/acme/transfers?{query}")).status == 422
    assert (await client.get("/v1/accounts/nobody/transfers")).status == 404


async def test_a_statement_names_its_seller_and_what_is_said_of_taxes(client: TestClient, node: DeskNode) -> None:
    billing = node.store.office.settings.billing.model_copy(update={"seller": "Gate Ltd", "tax": "Without VAT."})
    node.store.office.settings = node.store.office.settings.model_copy(update={"billing": billing})
    now = datetime.fromtimestamp(node.store.clock.now(), UTC)
    async with client.get(f"/v1/bills/{now:%Y-%m}/statement?account=acme") as response:
        page = await response.text()
    assert "Gate Ltd" in page and "Without VAT." in page
