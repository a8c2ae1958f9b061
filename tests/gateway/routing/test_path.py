"""Normal form of paths: nothing leads round a rule."""

import pytest

from gateway.http.errors import ProtocolError
from gateway.routing.path import below_prefix, normal_path, without_parameters


@pytest.mark.parametrize(
    "path, normal",
    [
        (b"/", b"/"),
        (b"/a/b", b"/a/b"),
        (b"/a//b", b"/a/b"),
        (b"//a", b"/a"),
        (b"/a/./b", b"/a/b"),
        (b"/a/../b", b"/b"),
        (b"/a/b/..", b"/a/"),
        (b"/a/%2e%2e/b", b"/b"),
        (b"/%61dmin", b"/admin"),
        (b"/%e4%bd%a0", b"/%E4%BD%A0"),
        (b"/a%20b", b"/a%20b"),
        (b"/a;x=1", b"/a;x=1"),
        (b"/a/...;/.b;c", b"/a/...;/.b;c"),
        (b"/a/;x", b"/a/;x"),
        (b"/a%3bx", b"/a%3Bx"),
        (b"/a%3Fb%23c%25d", b"/a%3Fb%23c%25d"),
        (b"/a/%252e%252e/b", b"/a/%252e%252e/b"),
        (b"/%C0%B4/%E9", b"/%C0%B4/%E9"),  # GBK, and Latin-1
        (b"/%EF%BC%8F%EF%BC%8E", b"/%EF%BC%8F%EF%BC%8E"),
        (b"/a./b%20/", b"/a./b%20/"),
        (b"/A", b"/A"),
        (b"/.well-known/x", b"/.well-known/x"),
    ],
)
def test_normal_form(path: bytes, normal: bytes) -> None:
    assert normal_path(path) == normal
    assert normal_path(normal) == normal


@pytest.mark.parametrize(
    "path",
    [
        b"/..",
        b"/a/../../b",
        b"/a%2fb",
        b"/a%5Cb",
        b"/a%00",
        b"/a%0a",
        b"/a\\b",
        b"/%",
        b"/%g0",
        b"/a/..;/b",
        b"/.;x",
        b"/..;x=y/b",
        b"/a/%2E%2e;/b",
        b"/a/..%3b",
        b"/%3bx/a",
        b"/a/%3B/b",
        b"/a/%2e%3Bx/b",
        b"/a/%2E%2e%3b/b",
        b"/a/%c0%ae%c0%ae/b",
        b"/a%c0%afb",
        b"/a%c1%9cb",
        b"/a%c0%80",
        b"/a%c0%bbx",
        b"/a/%c0%a5%32%65/b",
        b"/a/%e0%80%ae%e0%80%ae/b",
        b"/a%E0%80%AFb",
        b"/a%f0%80%80%afb",
        b"/a%u002e",
    ],
)
def test_an_ambiguous_path_is_refused(path: bytes) -> None:
    with pytest.raises(ProtocolError):
        normal_path(path)


@pytest.mark.parametrize(
    "path, matched, below",
    [
        (b"/a", b"/a", b"/"),
        (b"/a/b", b"/a/b", b"/b"),
        (b"/a;x", b"/a", b"/"),
        (b"/a;x/b", b"/a/b", b"/b"),
        (b"/a/b;y=z", b"/a/b", b"/b;y=z"),
        (b"/a;x/b;y/", b"/a/b/", b"/b;y/"),
        (b"/a/;x", b"/a/", b"/;x"),
        (b"/a%3Bx", b"/a", b"/"),
        (b"/a%3Bx/b", b"/a/b", b"/b"),
        (b"/a/b%3By=z", b"/a/b", b"/b%3By=z"),
        (b"/a;x%3By/b%3B;z/", b"/a/b/", b"/b%3B;z/"),
        (b"/a/%3Bx", b"/a/", b"/%3Bx"),
        (b"/a/b%253Bx", b"/a/b%253Bx", b"/b%253Bx"),
    ],
)
def test_rules_are_matched_without_parameters_and_the_upstream_gets_them(
    path: bytes, matched: bytes, below: bytes
) -> None:
    assert without_parameters(path) == matched
    assert below_prefix(path, 2) == below
