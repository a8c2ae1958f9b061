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


def test_one_with_content_is_sent_again_with_all_of_it(talk: Conversation) -> None:
    """As long as it is at hand: `test_kept.py` has the bound."""
    talk.upstream.will(Script(b"", then="close"))
    with talk.client() as client:
        assert client.send(head(b"Content-Length: 2", line=b"PUT /a/x HTTP/1.1") + b"hi").answer()[0] == 200
    assert [seen.content for seen in talk.upstream.requests] == [b"hi"] * 2


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(post(), id="POST"),
        pytest.param(head(line=b"PATCH /a/x HTTP/1.1"), id="PATCH"),
        pytest.param(head(line=b"get /a/x HTTP/1.1"), id="an unknown one"),
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


@pytest.mark.parametrize("method", [b"OPTIONS", b"TRACE"])
@pytest.mark.parametrize("came, went", [(b"1", "0"), (b"10", "9"), (b" 007 ", "6"), (b"9" * 18, "255")])
def test_max_forwards_loses_a_hop(talk: Conversation, method: bytes, came: bytes, went: str) -> None:
    """7.6.2: the lesser of the received value less one and the most that is supported."""
    seen = talk.passes(head(b"MAX-Forwards: " + came, line=method + b" /a/x HTTP/1.1"))
    assert seen.fields["max-forwards"] == went
    assert seen.raw.lower().count(b"max-forwards") == 1


@pytest.mark.parametrize("method", [b"OPTIONS", b"TRACE"])
def test_max_forwards_of_0_is_answered_here(talk: Conversation, method: bytes) -> None:
    """7.6.2: it MUST NOT be forwarded; also not because one without the field was, just before."""
    talk.passes(head(line=method + b" /a/x HTTP/1.1"))
    talk.upstream.reset()
    with talk.client() as client:
        status, fields, content = client.send(head(b"Max-Forwards: 0", line=method + b" /a/x HTTP/1.1")).answer()
        assert (status, fields["content-type"]) == (501, "application/problem+json")
        assert b"urn:tollgate:not_implemented" in content
        assert client.send(head()).answer()[2] == b"ok"  # The connection goes on.
    assert [seen.start for seen in talk.upstream.requests] == [b"GET /x"]


@pytest.mark.parametrize(
    "fields", [[b"Max-Forwards: -1"], [b"Max-Forwards: x"], [b"Max-Forwards:"], [b"Max-Forwards: 1"] * 2]
)
def test_a_bad_max_forwards_is_refused(talk: Conversation, fields: list[bytes]) -> None:
    talk.refuses(head(*fields, line=b"OPTIONS /a/x HTTP/1.1"))


def test_max_forwards_of_another_method_is_let_be(talk: Conversation) -> None:
    """7.6.2: it may be ignored."""
    assert talk.passes(head(b"Max-Forwards: 0")).fields["max-forwards"] == "0"


def test_options_of_the_whole_server_counts_its_hops(talk: Conversation) -> None:
    seen = talk.passes(head(b"Max-Forwards: 3", line=b"OPTIONS * HTTP/1.1", host=b"Host: root.test"))
    assert (seen.start, seen.fields["max-forwards"]) == (b"OPTIONS *", "2")
