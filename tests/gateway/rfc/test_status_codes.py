"""RFC 9110 15: every status passes, and those without content have none."""

import pytest

from tests.gateway.rfc.conversation import Conversation, head

WITH_CONTENT = [200, 201, 202, 203, 206, 207, 299, 300, 301, 302, 303, 307, 308, 400, 401, 404, 410, 418, 429, 451, 499]
ERRORS = [500, 501, 502, 503, 504, 511, 599, 600, 999]


@pytest.mark.parametrize("status", WITH_CONTENT + ERRORS)
def test_a_status_passes_with_its_reason_and_content(talk: Conversation, status: int) -> None:
    """15: unknown ones too, as the client's business."""
    talk.upstream.will(b"HTTP/1.1 %d Some Reason\r\nContent-Length: 2\r\n\r\nno" % status)
    with talk.client() as client:
        client.send(head())
        assert client.file.readline() == b"HTTP/1.1 %d Some Reason\r\n" % status
        while client.file.readline() != b"\r\n":
            pass
        assert client.file.read(2) == b"no"


@pytest.mark.parametrize(
    "answer, length",
    [
        pytest.param(b"204 No Content\r\n", None, id="15.3.5 204"),
        pytest.param(b"204 No Content\r\nContent-Length: 0\r\n", None, id="8.6 204 with a length of nought"),
        pytest.param(b"204 No Content\r\nContent-Length: 5\r\n", None, id="8.6 204 with a length"),
        pytest.param(b"304 Not Modified\r\n", None, id="15.4.5 304"),
        pytest.param(b"304 Not Modified\r\nContent-Length: 5\r\n", "5", id="8.6 304 with the length of the other"),
        pytest.param(b"304 Not Modified\r\nTransfer-Encoding: chunked\r\n", None, id="9112-6.1 304 with the coding"),
    ],
)
def test_a_status_without_content_has_none(talk: Conversation, answer: bytes, length: str | None) -> None:
    talk.upstream.will(b"HTTP/1.1 " + answer + b"\r\n")
    with talk.client() as client:
        status, fields = client.send(head() + head()).head()
        assert status == int(answer[:3])
        assert fields.get("content-length") == length
        assert "transfer-encoding" not in fields
        assert client.answer()[2] == b"ok", "the next answer, on the same connection"


@pytest.mark.parametrize("reason", [b"", b" ", b" \t", b" \xe4\xbd\xa0", b" a  b"])
def test_any_reason_or_none_will_do(talk: Conversation, reason: bytes) -> None:
    """9112-4: a client ignores it."""
    talk.upstream.will(b"HTTP/1.1 200" + reason + b"\r\nContent-Length: 2\r\n\r\nok")
    with talk.client() as client:
        assert client.send(head()).answer()[::2] == (200, b"ok")
