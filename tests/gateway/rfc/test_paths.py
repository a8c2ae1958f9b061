"""RFC 3986 6.2.2, RFC 9110 4.2.3: no spelling of a path leads round a rule. Each rule is tried under every spelling."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.data_plane import Raw, WorkerProcess, service, worker
from tests.gateway.rfc.conversation import Conversation, head
from tests.gateway.rfc.raw_upstream import RawUpstream

KEY = {"header": "X-Api-Key", "strip": False, "keys": [{"id": "k", "sha256": hashlib.sha256(b"secret").hexdigest()}]}

# Spellings of /<service>/items that some upstream takes for it, and that must meet its rule or be refused.
SPELLINGS = [
    pytest.param("/{0}/items", id="as it is"),
    pytest.param("//{0}/items", id="// first"),
    pytest.param("/{0}//items", id="// between"),
    pytest.param("/./{0}/./items", id="dot segments"),
    pytest.param("/open/../{0}/items", id="out of another service"),
    pytest.param("/{0}/x/../items", id="out of another route"),
    pytest.param("/open/%2e%2e/{0}/items", id="encoded dots"),
    pytest.param("/open/.%2E/{0}/items", id="one dot encoded"),
    pytest.param("/open/..;/{0}/items", id="dots with a parameter"),
    pytest.param("/open/..;x=y/{0}/items", id="dots with a named parameter"),
    pytest.param("/open/%2e%2e;/{0}/items", id="encoded dots with a parameter"),
    pytest.param("/open/..%3b/{0}/items", id="dots with an encoded semicolon"),
    pytest.param("/open/..%2f{0}/items", id="an encoded slash"),
    pytest.param("/open%2f..%2f{0}/items", id="encoded slashes"),
    pytest.param("/open/..%5c{0}/items", id="an encoded backslash"),
    pytest.param("/open/..\\{0}\\items", id="backslashes"),
    pytest.param("/open\\..\\{0}/items", id="a backslash climbs"),
    pytest.param("/%6{1}/items", id="an encoded letter"),
    pytest.param("/{0}/%69tems", id="an encoded letter of the route"),
    pytest.param("/{0}/items;x", id="a parameter"),
    pytest.param("/{0};x/items", id="a parameter on the service"),
    pytest.param("/{0};x=y/items;a=b;c", id="parameters"),
    pytest.param("/{0}/items%3bx", id="an encoded semicolon"),
    pytest.param("/{0}/items%3B", id="an encoded semicolon at the end"),
    pytest.param("/{0}%3Bx/items", id="an encoded semicolon on the service"),
    pytest.param("/{0}%3Bx;y/items%3Ba=b;c", id="encoded semicolons and others"),
    pytest.param("/open/..%3Bx/{0}/items", id="dots with an encoded parameter"),
    pytest.param("/open/%2e%2e%3Bx/{0}/items", id="encoded dots with an encoded parameter"),
    pytest.param("/%3Bx/{0}/items", id="an encoded parameter alone"),
    pytest.param("/open/%c0%ae%c0%ae/{0}/items", id="overlong dots"),
    pytest.param("/open%c0%af..%c0%af{0}/items", id="overlong slashes"),
    pytest.param("/open/..%c1%9c{0}/items", id="an overlong backslash"),
    pytest.param("/{0}/items%e0%80%bbx", id="an overlong semicolon"),
    pytest.param("/;x/{0}/items", id="a parameter alone"),
    pytest.param("/{0}/;/items", id="an empty parameter alone"),
    pytest.param("/{0}/items?/../../open", id="a query"),
    pytest.param("http://x/{0}/items", id="absolute-form"),
    pytest.param("http://x/open/../{0}/items", id="absolute-form with dots"),
    pytest.param("http://x//{0}/items", id="absolute-form with //"),
    pytest.param("/{0}/items%00", id="NUL at the end"),
    pytest.param("/{0}/items%0d%0a", id="CRLF at the end"),
    pytest.param("/{0}/%", id="a bare percent sign"),
]


@pytest.fixture(scope="module")
def ruled(raw_upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    folder: Path = tmp_path_factory.mktemp("ruled")
    port = raw_upstream.port
    items = {"id": "items", "methods": ["POST"], "path": "/items", "limit": None}
    rest = {"id": "rest", "methods": [], "path": "/other/*", "limit": None}
    with worker(
        folder,
        service("open", port),
        service("keyed", port, auth=KEY),
        service("denied", port, deny=["127.0.0.0/8"]),
        service("limited", port, limit={"slot": 0, "qps": 1}),
        service("routed", port, routes=[items, rest]),
        service("root", port, path="/"),
    ) as running:
        yield running


def spelled(template: str, name: str) -> bytes:
    target = template.replace("%6{1}", f"%{ord(name[0]):02x}{name[1:]}").format(name)
    return head(line=f"GET {target} HTTP/1.1".encode())


@pytest.mark.parametrize("template", SPELLINGS)
@pytest.mark.parametrize("name, status", [("keyed", 401), ("denied", 403), ("routed", 405)])
def test_no_spelling_leads_round_a_rule(
    ruled: WorkerProcess, raw_upstream: RawUpstream, template: str, name: str, status: int
) -> None:
    raw_upstream.reset()
    with Conversation(ruled, raw_upstream).client() as client:
        allowed = {status, 400} | ({404} if template.endswith("%") else set())
        assert client.send(spelled(template, name)).answer()[0] in allowed
    assert raw_upstream.requests == []


def test_no_spelling_leads_round_a_limit(ruled: WorkerProcess, raw_upstream: RawUpstream) -> None:
    """One request a second passes; every other spelling of it is refused, as malformed or as one too many."""
    raw_upstream.reset()
    talk = Conversation(ruled, raw_upstream)
    with talk.client() as client:
        passed = 0
        for _ in range(5):  # The burst, and what a slow machine takes a second for.
            passed += client.send(spelled("/{0}/items", "limited")).answer()[0] == 200
        assert passed >= 1
    for parameter in SPELLINGS:
        with talk.client() as client:
            assert client.send(spelled(str(parameter.values[0]), "limited")).answer()[0] in (200, 400, 429)
    # Each that passed was admitted by the limit, so it was counted under the service, under no other.
    assert ruled.counts()["limited"]["calls"] == len(raw_upstream.requests)


@pytest.mark.parametrize(
    "target, asked",
    [
        (b"/open/a//b/./c/../d", b"/a/b/d"),
        (b"/open/%61%2D%e4", b"/a-%E4"),
        (b"/open/a;x=1/b;y", b"/a;x=1/b;y"),
        (b"/open;x/a;y", b"/a;y"),
        (b"/open/a%20b%3Fc", b"/a%20b%3Fc"),
        (b"/open/.well-known/..x/...", b"/.well-known/..x/..."),
        (b"/open/%252e%252e/a", b"/%252e%252e/a"),
    ],
)
def test_the_upstream_gets_the_normal_form(
    ruled: WorkerProcess, raw_upstream: RawUpstream, target: bytes, asked: bytes
) -> None:
    """What rules were matched on is what it sees, so it cannot see another resource."""
    raw_upstream.reset()
    with Conversation(ruled, raw_upstream).client() as client:
        assert client.send(head(line=b"GET " + target + b" HTTP/1.1")).answer()[0] == 200
    assert [seen.start for seen in raw_upstream.requests] == [b"GET " + asked]


@pytest.mark.parametrize("target", [b"/KEYED/items", b"/Keyed/items"])
def test_case_counts(ruled: WorkerProcess, raw_upstream: RawUpstream, target: bytes) -> None:
    """RFC 3986 6.2.2.1: another path, so it belongs to the service of the root here, and goes on as it is."""
    raw_upstream.reset()
    with Conversation(ruled, raw_upstream).client() as client:
        assert client.send(head(line=b"GET " + target + b" HTTP/1.1")).answer()[0] == 200
    assert [seen.start for seen in raw_upstream.requests] == [b"GET " + target]


def test_an_upstream_that_folds_case_is_not_led_round_a_key(raw_upstream: RawUpstream, tmp_path: Path) -> None:
    """No spelling of a folding service's prefix goes to the service of the root beside it."""
    auth = {"header": "X-Api-Key", "strip": False, "keys": [{"id": "k", "sha256": "0" * 64}]}
    keyed = service("keyed", raw_upstream.port, path="/Admin", auth=auth, path_case="fold", trailing_slash="ignore")
    raw_upstream.reset()
    with worker(tmp_path, keyed, service("root", raw_upstream.port, path="/")) as running, Raw(running.port) as client:
        for target in (b"/Admin", b"/admin/x", b"/ADMIN/", b"/%41dmiN/x", b"/x/../aDMIN;y/x"):
            assert client.send(head(line=b"GET " + target + b" HTTP/1.1")).answer()[0] == 401, target
        assert client.send(head(line=b"GET /administrator HTTP/1.1")).answer()[0] == 200
    assert [seen.start for seen in raw_upstream.requests] == [b"GET /administrator"]
