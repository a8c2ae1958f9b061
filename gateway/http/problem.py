"""Answers the gateway makes itself: problem+json (RFC 9457), by the table of DESIGN 1.5."""

from __future__ import annotations

from typing import Final, NamedTuple

import orjson


class Problem(NamedTuple):
    """One kind of refusal. ``is_front``: the request never reached an upstream, so it is no valid call (B4)."""

    code: str
    status: int
    title: str
    is_front: bool


_TABLE = (
    Problem("bad_request", 400, "Bad Request", True),
    Problem("unauthorized", 401, "Unauthorized", True),
    Problem("account_suspended", 402, "Payment Required", True),
    Problem("forbidden", 403, "Forbidden", True),
    Problem("no_route", 404, "Not Found", True),
    Problem("method_not_allowed", 405, "Method Not Allowed", True),
    Problem("request_timeout", 408, "Request Timeout", True),
    Problem("body_too_large", 413, "Content Too Large", True),
    Problem("uri_too_long", 414, "URI Too Long", True),
    Problem("upgrade_required", 426, "Upgrade Required", True),
    Problem("rate_limited", 429, "Too Many Requests", True),
    Problem("quota_exceeded", 429, "Too Many Requests", True),
    Problem("head_too_large", 431, "Request Header Fields Too Large", True),
    Problem("internal_error", 500, "Internal Server Error", True),
    Problem("not_implemented", 501, "Not Implemented", True),
    Problem("loop_detected", 508, "Loop Detected", True),
    Problem("bad_gateway", 502, "Bad Gateway", False),
    Problem("no_healthy_target", 503, "Service Unavailable", False),
    Problem("gateway_timeout", 504, "Gateway Timeout", False),
)
PROBLEMS: Final = {problem.code: problem for problem in _TABLE}


def problem_response(
    problem: Problem,
    detail: str,
    request_id: bytes,
    fields: bytes = b"",
    *,
    close: bool,
    with_content: bool = True,
) -> bytes:
    """The whole answer. ``fields`` are whole lines to add; an answer to HEAD has no content but its length."""
    content = orjson.dumps(
        {
            "type": f"urn:tollgate:{problem.code}",
            "title": problem.title,
            "status": problem.status,
            "detail": detail,
            "request_id": request_id.decode("ascii"),
        }
    )
    return b"".join(
        (
            b"HTTP/1.1 %d %b\r\n" % (problem.status, problem.title.encode()),
            b"Content-Type: application/problem+json\r\nContent-Length: %d\r\n" % len(content),
            b"X-Request-Id: ",
            request_id,
            b"\r\n",
            fields,
            b"Connection: close\r\n\r\n" if close else b"\r\n",
            content if with_content else b"",
        )
    )
