"""Normal form of paths: nothing leads round a rule."""

import pytest

from gateway.http.errors import ProtocolError
from gateway.routing.path import normal_path


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
        (b"/A", b"/A"),
        (b"/.well-known/x", b"/.well-known/x"),
    ],
)
def test_normal_form(path: bytes, normal: bytes) -> None:
    assert normal_path(path) == normal
    assert normal_path(normal) == normal


@pytest.mark.parametrize(
    "path", [b"/..", b"/a/../../b", b"/a%2fb", b"/a%5Cb", b"/a%00", b"/a%0a", b"/a\\b", b"/%", b"/%g0"]
)
def test_an_ambiguous_path_is_refused(path: bytes) -> None:
    with pytest.raises(ProtocolError):
        normal_path(path)
