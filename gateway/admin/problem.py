"""Every error of the admin API is application/problem+json (RFC 9457), whoever raised it."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from config.texts import escaped
from gateway.control.errors import Refusal

_log = logging.getLogger(__name__)

# Codes of DESIGN 1.4 and 1.6 that are not 409 (a conflict with the state of things).
_STATUS: Final = {
    "invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
    "not_found": HTTPStatus.NOT_FOUND,
    "insufficient_funds": HTTPStatus.PAYMENT_REQUIRED,
    "idempotency_mismatch": HTTPStatus.UNPROCESSABLE_ENTITY,
    "region_unsupported": HTTPStatus.UNPROCESSABLE_ENTITY,
    "currency_unsupported": HTTPStatus.UNPROCESSABLE_ENTITY,
    "unauthorized": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "store_lost": HTTPStatus.SERVICE_UNAVAILABLE,
    "not_restarted": HTTPStatus.SERVICE_UNAVAILABLE,
    "refund_vetoed": HTTPStatus.FORBIDDEN,
    "too_large": HTTPStatus.UNPROCESSABLE_ENTITY,
}
_CODES: Final = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}


def problem(
    status: int, code: str, detail: str, fields: Mapping[str, str] | None = None, **members: Any
) -> web.Response:
    """One problem document. ``members`` extend it (RFC 9457 3.2)."""
    request_id = secrets.token_hex(8)
    document = {
        "type": f"urn:tollgate:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": _sayable(detail),
        "request_id": request_id,
        **members,
    }
    return web.Response(
        status=status,
        body=orjson.dumps(document),
        content_type="application/problem+json",
        headers={"X-Request-Id": request_id, **(fields or {})},
    )


def refusal_problem(refusal: Refusal) -> web.Response:
    """What the rules refuse, by its stable code; ``errors`` lists the places at fault."""
    status = _STATUS.get(refusal.code, HTTPStatus.CONFLICT)
    members: dict[str, Any] = {}
    if refusal.faults:
        members["errors"] = [
            {"path": _sayable(fault.path), "message": _sayable(fault.message)} for fault in refusal.faults
        ]
    fields = {"WWW-Authenticate": 'Bearer realm="tollgate"'} if status == HTTPStatus.UNAUTHORIZED else None
    return problem(status, refusal.code, refusal.detail, fields, **members)


def _sayable(text: str) -> str:
    """What a client sent that was no UTF-8 is shown to it by its bytes: JSON has nothing else for them."""
    return text.encode("utf-8", "backslashreplace").decode()


def _detail(request: web.Request, error: web.HTTPException) -> str:
    """The framework's own text says no more than the status does."""
    if error.text and error.text != f"{error.status}: {error.reason}":
        return error.text
    details = {404: f"there is nothing at {request.path}", 405: f"{request.method} is not for {request.path}"}
    return details.get(error.status, error.reason)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns everything that a handler, or the router, raises into a problem."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return refusal_problem(refusal)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        code = _CODES.get(error.status, HTTPStatus(error.status).name.lower())
        fields = {name: error.headers[name] for name in ("Allow", "Retry-After") if name in error.headers}
        return problem(error.status, code, _detail(request, error), fields)
    except Exception:
        _log.exception("%s %s failed", request.method, escaped(request.path))
        return problem(500, "internal_error", "the node failed to answer; its log says why")
