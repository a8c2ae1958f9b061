"""RFC 9112 6 and RFC 9110 8.6: how long the content is, of which there must be one reading only."""

import pytest

from tests.gateway.rfc.conversation import SENTINEL, Conversation, head, post

# What a request may try to hide behind a length read in two ways.
HIDDEN = b"GET /a/hidden HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"
END = b"0\r\n\r\n"

LENGTHS = [
    pytest.param(b"+5", id="8.6 plus sign"),
    pytest.param(b"-5", id="8.6 minus sign"),
    pytest.param(b"-0", id="8.6 minus nought"),
    pytest.param(b"", id="8.6 empty"),
    pytest.param(b"5, 5", id="8.6 a list of equal ones"),
    pytest.param(b"5,5", id="8.6 the same without space"),
    pytest.param(b"5, 6", id="8.6 a list"),
    pytest.param(b"5 5", id="8.6 two numbers"),
    pytest.param(b"5;", id="8.6 a semicolon"),
    pytest.param(b"5.0", id="8.6 a fraction"),
    pytest.param(b"5e0", id="8.6 an exponent"),
    pytest.param(b"0x5", id="8.6 hexadecimal"),
    pytest.param(b"0b1", id="8.6 binary"),
    pytest.param(b"0o5", id="8.6 octal"),
    pytest.param(b"5_0", id="8.6 underscore"),
    pytest.param(b"5,", id="8.6 a list with nothing after"),
    pytest.param(b",5", id="8.6 a list with nothing before"),
    pytest.param(b'"5"', id="8.6 quoted"),
    pytest.param(b"five", id="8.6 letters"),
    pytest.param(b"\xb2", id="8.6 a digit of Latin-1"),
    pytest.param("５".encode(), id="8.6 a full-width digit"),
    pytest.param(b"\xa05", id="8.6 no-break space"),
    pytest.param(b"5\xa0", id="8.6 no-break space after"),
    pytest.param(b"9223372036854775808", id="8.6 2**63"),
    pytest.param(b"18446744073709551616", id="8.6 2**64"),
    pytest.param(b"18446744073709551621", id="8.6 2**64 + 5"),
    pytest.param(b"1" * 100, id="8.6 a hundred digits"),
    pytest.param(b"0" * 18 + b"5", id="8.6 nineteen digits"),
]

FRAMINGS = [
    pytest.param([b"Content-Length: 5", b"Content-Length: 6"], id="6.3 two lengths"),
    pytest.param([b"Content-Length: 5", b"Content-Length: 5"], id="6.3 one length twice"),
    pytest.param([b"Content-Length: 5", b"content-length: 5"], id="6.3 twice in other letters"),
    pytest.param([b"Content-Length: 5", b"X: y", b"Content-Length: 0"], id="6.3 two lengths apart"),
    pytest.param([b"Content-Length: 5", CHUNKED], id="6.1 length, then coding"),
    pytest.param([CHUNKED, b"Content-Length: 5"], id="6.1 coding, then length"),
    pytest.param([CHUNKED, b"Content-Length: 0"], id="6.1 coding, then no length"),
    pytest.param([CHUNKED, b"Content-Length:"], id="6.1 coding, then an empty length"),
    pytest.param([CHUNKED, CHUNKED], id="6.1 chunked twice in two fields"),
    pytest.param([b"Transfer-Encoding: chunked, chunked"], id="6.1 chunked twice"),
    pytest.param([b"Transfer-Encoding: chunked, identity"], id="6.1 identity after chunked"),
    pytest.param([CHUNKED, b"Transfer-Encoding: identity"], id="6.1 identity after chunked in a field"),
    pytest.param([b"Transfer-Encoding: identity"], id="6.1 identity"),
    pytest.param([b"Transfer-Encoding: gzip"], id="6.3 a coding that does not end"),
    pytest.param([b"Transfer-Encoding: chunked, gzip"], id="6.3 chunked is not last"),
    pytest.param([b"Transfer-Encoding:"], id="6.1 empty"),
    pytest.param([b"Transfer-Encoding: ,chunked"], id="6.1 an empty element first"),
    pytest.param([b"Transfer-Encoding: chunked,"], id="6.1 an empty element last"),
    pytest.param([b"Transfer-Encoding: chunked;q=1"], id="6.1 a parameter"),
    pytest.param([b'Transfer-Encoding: "chunked"'], id="6.1 quoted"),
    pytest.param([b"Transfer-Encoding: xchunked"], id="6.1 a look-alike"),
    pytest.param([b"Transfer-Encoding: chunked-x"], id="6.1 a longer look-alike"),
    pytest.param([b"Transfer-Encoding: chunk"], id="6.1 a shorter look-alike"),
    pytest.param([b"Transfer-Encoding: \xa0chunked"], id="6.1 no-break space"),
    pytest.param([b"Transfer-Encoding: chu\xf1ked"], id="6.1 another letter"),
    pytest.param([b"Transfer-Encoding: chunked chunked"], id="6.1 without a comma"),
    pytest.param([b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"], id="6.1 another field after"),
]


@pytest.mark.parametrize("value", LENGTHS)
def test_a_malformed_length_is_refused(talk: Conversation, value: bytes) -> None:
    talk.refuses(post(b"Content-Length: " + value, content=b"hello" + HIDDEN))


@pytest.mark.parametrize("fields", FRAMINGS)
def test_a_framing_that_can_be_read_in_two_ways_is_refused(talk: Conversation, fields: list[bytes]) -> None:
    talk.refuses(post(*fields, content=END + HIDDEN))


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS"])
def test_the_method_makes_no_difference_to_framing(talk: Conversation, method: bytes) -> None:
    """RFC 9112 6: content is told by its framing fields, whatever the method's semantics."""
    line = method + b" /a/x HTTP/1.1"
    talk.refuses(head(b"Content-Length: 5", CHUNKED, line=line) + END + HIDDEN) if method != b"HEAD" else None
    talk.upstream.reset()
    with talk.client() as client:
        client.send(head(b"Content-Length: 5", line=line) + b"hello" + SENTINEL)
        assert client.answer(to_head=method == b"HEAD")[0] == 200
        assert client.answer()[0] == 200
    assert [(seen.start, seen.content) for seen in talk.upstream.requests] == [
        (method + b" /x", b"hello"),
        (b"GET /sentinel", b""),
    ]


def test_chunks_in_http_1_0_are_refused(talk: Conversation) -> None:
    """RFC 9112 6.1."""
    talk.refuses(post(CHUNKED, content=END + HIDDEN, line=b"POST /a/x HTTP/1.0"))


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"deflate,chunked", b"x, y , chunked"])
def test_a_coding_that_is_not_understood_is_not_implemented(talk: Conversation, coding: bytes) -> None:
    """RFC 9112 6.1: 501."""
    talk.refuses(post(b"Transfer-Encoding: " + coding, content=END), 501)


@pytest.mark.parametrize("value", [b"5", b"05", b"0000000000005", b" 5 ", b"\t5"])
def test_a_sound_length_is_kept(talk: Conversation, value: bytes) -> None:
    """RFC 9110 8.6: 1*DIGIT."""
    seen = talk.passes(post(b"Content-Length:" + value, content=b"hello"))
    assert (seen.content, int(seen.fields["content-length"])) == (b"hello", 5)
    assert "transfer-encoding" not in seen.fields


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b"CHUNKED", b" chunked\t"])
def test_chunked_in_any_case_is_chunked(talk: Conversation, value: bytes) -> None:
    seen = talk.passes(post(b"Transfer-Encoding:" + value, content=b"5\r\nhello\r\n0\r\n\r\n"))
    assert (seen.content, seen.fields["transfer-encoding"]) == (b"hello", "chunked")
    assert "content-length" not in seen.fields


def test_without_a_framing_field_there_is_no_content(talk: Conversation) -> None:
    """RFC 9112 6.3: what follows is the next request."""
    with talk.client() as client:
        client.send(post() + SENTINEL)
        assert [client.answer()[0], client.answer()[0]] == [200, 200]
    assert [seen.start for seen in talk.upstream.requests] == [b"POST /x", b"GET /sentinel"]


def test_content_that_looks_like_a_request_is_content(talk: Conversation) -> None:
    seen = talk.passes(post(b"Content-Length: %d" % len(HIDDEN), content=HIDDEN))
    assert (seen.start, seen.content) == (b"POST /x", HIDDEN)


def test_a_declared_length_over_the_cap_is_refused_unread(talk: Conversation) -> None:
    """DESIGN 1.5: before a byte of content is read or forwarded."""
    with talk.client() as client:
        assert client.send(post(b"Content-Length: 65537")).answer()[0] == 413
    talk.sentinel()
    assert [seen.start for seen in talk.upstream.requests] == [b"GET /sentinel"]


def test_connection_cannot_name_the_framing_away(talk: Conversation) -> None:
    """RFC 9110 7.6.1 removes named fields; a length removed would make of content a request."""
    seen = talk.passes(post(b"Connection: Content-Length", b"Content-Length: %d" % len(HIDDEN), content=HIDDEN))
    assert seen.content == HIDDEN
    talk.upstream.reset()
    content = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
    seen = talk.passes(post(b"Connection: Transfer-Encoding", CHUNKED, content=content))
    assert seen.content == HIDDEN
