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
    ],
)
def test_rules_are_matched_without_parameters_and_the_upstream_gets_them(
    path: bytes, matched: bytes, below: bytes
) -> None:
    assert without_parameters(path) == matched
    assert below_prefix(path, 2) == below
