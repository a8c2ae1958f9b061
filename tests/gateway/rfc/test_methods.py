"""RFC 9110 9: methods differ in whether there is content, and in whether a request may be sent twice."""

import pytest

from tests.gateway.rfc.conversation import Conversation, head, post
from tests.gateway.rfc.raw_upstream import Script

REGISTERED = [b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH", b"PROPFIND", b"BASELINE-CONTROL"]


@pytest.mark.parametrize("method", REGISTERED)
def test_a_method_goes_on_as_it_is(talk: Conversation, method: bytes) -> None:
    assert talk.passes(head(line=method + b" /a/x HTTP/1.1")).start == method + b" /x"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", id="a length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", id="chunked"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", id="neither"),
        pytest.param(b"HTTP/1.1 404 Not Found\r\nContent-Length: 1000\r\n\r\n", id="an error's length"),
    ],
)
def test_an_answer_to_head_has_no_content(talk: Conversation, answer: bytes) -> None:
    """9.3.2: whatever its fields say; and the connections go on, both of them."""
    talk.upstream.will(answer)
    with talk.client() as client:
        client.send(head(line=b"HEAD /a/x HTTP/1.1"))
        status, fields, _ = client.answer(to_head=True)
        assert status == int(answer.split()[1])
        assert fields.get("content-length") == ("1000" if b"1000" in answer else None)
        used = talk.upstream.newest_busy()
        assert client.send(head()).answer()[2] == b"ok"
        assert talk.upstream.newest_busy() is used


@pytest.mark.parametrize("line, status", [(b"HEAD /nowhere HTTP/1.1", 404), (b"HEAD /ws/x HTTP/1.1", 426)])
def test_a_refusal_of_head_has_no_content(talk: Conversation, line: bytes, status: int) -> None:
    with talk.client() as client:
        client.send(head(line=line))
        assert client.answer(to_head=True)[0] == status
        assert client.send(head()).answer()[2] == b"ok"


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"])
@pytest.mark.parametrize("end", ["close", "reset"])
def test_an_idempotent_request_without_an_answer_is_sent_again(talk: Conversation, method: bytes, end: str) -> None:
    """9.2.2."""
    talk.upstream.will(Script(b"", then=end))
    with talk.client() as client:
        client.send(head(line=method + b" /a/x HTTP/1.1"))
        assert client.answer(to_head=method == b"HEAD")[0] == 200
    assert [seen.start for seen in talk.upstream.requests] == [method + b" /x"] * 2


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(post(), id="POST"),
        pytest.param(head(line=b"PATCH /a/x HTTP/1.1"), id="PATCH"),
        pytest.param(head(line=b"get /a/x HTTP/1.1"), id="an unknown one"),
        pytest.param(head(b"Content-Length: 2", line=b"PUT /a/x HTTP/1.1") + b"hi", id="PUT whose content is gone"),
    ],
)
def test_any_other_is_not(talk: Conversation, request_bytes: bytes) -> None:
    """9.2.2: a proxy MUST NOT automatically retry non-idempotent requests."""
    talk.upstream.will(Script(b"", then="close"))
    with talk.client() as client:
        assert client.send(request_bytes).answer()[0] == 502
    assert len(talk.upstream.requests) == 1


def test_trace_carries_no_key_of_the_gateway(talk: Conversation) -> None:
    """9.3.8: it comes back to whoever sent it, so nothing may be added to it that the client must not see."""
    seen = talk.passes(head(line=b"TRACE /a/x HTTP/1.1"))
    assert set(seen.fields) == {
        "host", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id",
    }  # fmt: skip
