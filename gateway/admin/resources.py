"""The /v1 resources. Each handler names what it asks of the office; the office knows the rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from gateway.admin.answer import NODE, answer
from gateway.admin.billing_resources import add_billing_resources
from gateway.admin.body import id_in_path, idempotency_key, json_object, month_in_path
from gateway.control.errors import Refusal, StartError
from gateway.control.filter import Filter
from gateway.control.office import Office

Items = list[dict[str, Any]]


def _listing(question: Callable[[Office, Filter], Items]) -> Callable[[web.Request], Any]:
    """A handler for a list: {"items": […], "next": null}, with the filters of DESIGN 1.7."""

    async def handle(request: web.Request) -> web.Response:
        filter = Filter.parse(request.query)
        items = await request.app[NODE].ask(lambda office: question(office, filter))
        return answer({"items": items, "next": None})

    return handle


async def get_account(request: web.Request) -> web.Response:
    account = id_in_path(request)
    return answer(await request.app[NODE].ask(lambda office: office.account(account)))


async def post_top_up(request: web.Request) -> web.Response:
    account, document, key = id_in_path(request), await json_object(request), idempotency_key(request)
    return answer(await request.app[NODE].act(lambda office: office.top_up(account, document, key)), 201)


async def post_pack(request: web.Request) -> web.Response:
    document, key = await json_object(request), idempotency_key(request)
    return answer(await request.app[NODE].act(lambda office: office.buy_pack(document, key)), 201)


async def post_pack_refund(request: web.Request) -> web.Response:
    pack, key = id_in_path(request), idempotency_key(request)
    return answer(await request.app[NODE].act(lambda office: office.refund_pack(pack, key)), 201)


async def get_bills(request: web.Request) -> web.Response:
    filter = Filter.parse(request.query)
    return answer(await request.app[NODE].ask(lambda office: office.bills(filter)))


async def get_bill_lines(request: web.Request) -> web.Response:
    month = month_in_path(request)
    filter = Filter.parse(request.query)
    items = await request.app[NODE].ask(lambda office: office.bill_lines(month, filter))
    return answer({"items": items, "next": None})


async def get_service(request: web.Request) -> web.Response:
    service = id_in_path(request)
    return answer(await request.app[NODE].ask(lambda office: office.service(service)))


async def post_service(request: web.Request) -> web.Response:
    document = await json_object(request)
    created = await request.app[NODE].act(lambda office: office.add_service(document))
    response = answer(created, 201)
    response.headers["Location"] = f"/v1/services/{created['id']}"
    return response


async def put_service(request: web.Request) -> web.Response:
    service, document = id_in_path(request), await json_object(request)
    return answer(await request.app[NODE].act(lambda office: office.change_service(service, document)))


async def delete_service(request: web.Request) -> web.Response:
    service = id_in_path(request)
    await request.app[NODE].act(lambda office: office.remove_service(service))
    return web.Response(status=204)


async def post_restart(request: web.Request) -> web.Response:
    node = request.app[NODE]
    try:
        await node.restart()
    except StartError as error:
        raise Refusal("not_restarted", str(error)) from None
    return answer(node.describe())


async def get_node(request: web.Request) -> web.Response:
    return answer(request.app[NODE].describe())


def add_resources(app: web.Application) -> None:
    add_billing_resources(app)
    app.add_routes(
        [
            web.get("/v1/node", get_node),
            web.post("/v1/workers/restart", post_restart),
            web.get("/v1/accounts", _listing(lambda office, filter: office.accounts(filter))),
            web.get("/v1/accounts/{id}", get_account),
            web.post("/v1/accounts/{id}/top-ups", post_top_up),
            web.get("/v1/instances", _listing(lambda office, filter: office.instances(filter))),
            web.get("/v1/services", _listing(lambda office, filter: office.services(filter))),
            web.post("/v1/services", post_service),
            web.get("/v1/services/{id}", get_service),
            web.put("/v1/services/{id}", put_service),
            web.delete("/v1/services/{id}", delete_service),
            web.get("/v1/limits", _listing(lambda office, filter: office.limits(filter))),
            web.get("/v1/packs", _listing(lambda office, filter: office.packs(filter))),
            web.post("/v1/packs", post_pack),
            web.post("/v1/packs/{id}/refund", post_pack_refund),
            web.get("/v1/orders", _listing(lambda office, filter: office.orders(filter))),
            web.get("/v1/usage", _listing(lambda office, filter: office.usage(filter))),
            web.get("/v1/traffic", _listing(lambda office, filter: office.traffic(filter))),
            web.get("/v1/bills", get_bills),
            web.get("/v1/bills/{month}/lines", get_bill_lines),
            web.get("/v1/settlements", _listing(lambda office, filter: office.settlements(filter))),
        ]
    )
