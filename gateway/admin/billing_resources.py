"""The /v1 resources that move money, and those behind a bill."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from config.errors import Fault
from gateway.admin.answer import NODE, answer
from gateway.admin.body import id_in_path, idempotency_key, json_object, month_in_path
from gateway.control.errors import Refusal
from gateway.control.filter import Filter
from gateway.control.office import Office
from gateway.statement.page import POLICY, statement_page

Document = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.Response]]


def _posting(act: Callable[[Office, str, Document, str | None], Document], *, has_content: bool = True) -> Handler:
    """A POST that moves money: told the path's id, the content, and the Idempotency-Key."""

    async def handle(request: web.Request) -> web.Response:
        document = await json_object(request) if has_content else {}
        key, id = idempotency_key(request), id_in_path(request) if "id" in request.match_info else ""
        return answer(await request.app[NODE].act(lambda office: act(office, id, document, key)), 201)

    return handle


async def put_veto(request: web.Request) -> web.Response:
    account, document = id_in_path(request), await json_object(request)
    return answer(await request.app[NODE].act(lambda office: office.veto_refunds(account, document)))


async def post_what_if(request: web.Request) -> web.Response:
    account, document = id_in_path(request), await json_object(request)
    return answer(await request.app[NODE].ask(lambda office: office.what_if(account, document)))


async def get_reconciliation(request: web.Request) -> web.Response:
    items = await request.app[NODE].ask(lambda office: office.reconcile(repair=False))
    return answer({"items": items, "next": None})


async def post_reconciliation(request: web.Request) -> web.Response:
    items = await request.app[NODE].act(lambda office: office.reconcile(repair=True))
    return answer({"items": items, "next": None})


async def get_explanation(request: web.Request) -> web.Response:
    text = id_in_path(request)
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise web.HTTPNotFound(text=f"{text} is not the number of a bill line")
    return answer(await request.app[NODE].ask(lambda office: office.explain(int(text))))


async def get_focus(request: web.Request) -> web.Response:
    month, filter = month_in_path(request), Filter.parse(request.query)
    items = await request.app[NODE].ask(lambda office: office.focus(month, filter))
    return answer({"items": items, "next": None})


async def get_transfers(request: web.Request) -> web.Response:
    """`after`: the `next` of the page before."""
    account, query = id_in_path(request), dict(request.query)
    after = query.pop("after", "0")
    if not (after.isascii() and after.isdecimal() and len(after) < 19):
        raise Refusal("invalid", "the filter is not valid", [Fault("after", "is no `next` of a page before")])
    filter = Filter.parse(query)
    return answer(await request.app[NODE].ask(lambda office: office.transfers(account, filter, int(after))))


async def get_statement(request: web.Request) -> web.Response:
    """HTML for people; JSON for who asks for it."""
    month, filter = month_in_path(request), Filter.parse(request.query)
    document = await request.app[NODE].ask(lambda office: office.statement(month, filter))
    if "application/json" in request.headers.get("Accept", ""):
        return answer(document)
    fields = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    return web.Response(text=statement_page(document), content_type="text/html", headers=fields)


def add_billing_resources(app: web.Application) -> None:
    app.add_routes(
        [
            web.post(
                "/v1/accounts/{id}/vouchers", _posting(lambda office, id, wish, key: office.give_voucher(id, wish, key))
            ),
            web.post(
                "/v1/accounts/{id}/adjustments", _posting(lambda office, id, wish, key: office.adjust(id, wish, key))
            ),
            web.post(
                "/v1/accounts/{id}/free-quota",
                _posting(lambda office, id, _, key: office.regrant_free(id, key), has_content=False),
            ),
            web.put("/v1/accounts/{id}/refund-veto", put_veto),
            web.post("/v1/accounts/{id}/what-if", post_what_if),
            web.post("/v1/instances", _posting(lambda office, _, wish, key: office.buy_instance(wish, key))),
            web.post(
                "/v1/instances/{id}/release",
                _posting(lambda office, id, _, key: office.release_instance(id, key), has_content=False),
            ),
            web.post(
                "/v1/instances/{id}/refund",
                _posting(lambda office, id, _, key: office.refund_instance(id, key), has_content=False),
            ),
            web.post(
                "/v1/instances/{id}/renew", _posting(lambda office, id, wish, key: office.renew_instance(id, wish, key))
            ),
            web.get("/v1/bill-lines/{id}/explanation", get_explanation),
            web.get("/v1/accounts/{id}/transfers", get_transfers),
            web.get("/v1/bills/{month}/focus", get_focus),
            web.get("/v1/bills/{month}/statement", get_statement),
            web.get("/v1/reconciliation", get_reconciliation),
            web.post("/v1/reconciliation", post_reconciliation),
        ]
    )
