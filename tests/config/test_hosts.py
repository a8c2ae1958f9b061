"""One grammar of host names, wherever one stands."""

import re

import pytest

from config.hosts import parse_host, parse_host_pattern


@pytest.mark.parametrize(
    "text, host",
    [
        ("Orders.Example.COM", "orders.example.com"),
        ("orders_api", "orders_api"),
        ("_dmarc.example.com", "_dmarc.example.com"),
        ("a--b.example", "a--b.example"),
        ("orders.internal.", "orders.internal."),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "[::1]"),
        ("[0:0::0001]", "[::1]"),
        ("a" * 63, "a" * 63),
    ],
)
def test_hosts_have_one_spelling(text: str, host: str) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "nothing between two dots"),
        (".", "nothing between two dots"),
        ("hooks..acme.example", "nothing between two dots"),
        (".example.com", "nothing between two dots"),
        ("a.example..", "nothing between two dots"),
        ("a" * 64, "longer than 63"),
        (".".join(["a" * 60] * 5), "longer than 253"),
        ("a" * 10**7, "longer than 253"),
        ("-a.example", "letters, digits, underscores, and hyphens inside"),
        ("a-.example", "letters, digits, underscores, and hyphens inside"),
        ("a b", "letters, digits"),
        ("a\n", "letters, digits"),
        ("a/b", "a host alone"),
        ("user:secret@a", "a host alone"),
        ("a%41", "letters, digits"),
        ("☃.example", "no host name"),
        ("a.example:80", "write a.example"),
        ("[::1]:80", "write [::1]"),
        ("1.2.3", "four numbers"),
        ("127.1", "four numbers"),
        ("2130706433", "four numbers"),
        ("0x7f.1", "four numbers"),
        ("0177.0.0.1", "four numbers"),
        ("256.0.0.1", "four numbers"),
        ("fe80::1%eth0", "zone"),
        ("[fe80::1%25eth0]", "zone"),
        ("[::1", "no IPv6 address"),
        ("[v1.x]", "no IPv6 address"),
        (":::", "no IPv6 address"),
    ],
)
def test_what_is_no_host_is_refused_with_the_reason(text: str, reason: str) -> None:
    for parse in (parse_host, parse_host_pattern):
        with pytest.raises(ValueError, match=re.escape(reason)) as caught:
            parse(text)
        assert len(str(caught.value)) < 300
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text, pattern",
    [
        ("*.Example.com", "*.example.com"),
        ("*.example.com.", "*.example.com"),
        ("example.com.", "example.com"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("*.svc_a.local", "*.svc_a.local"),
    ],
)
def test_patterns_are_as_the_host_field_is_compared(text: str, pattern: str) -> None:
    assert parse_host_pattern(text) == pattern


@pytest.mark.parametrize("text", ["*", "**.a", "a.*", "*a.example", "a.*.example", "*.*.example", "*.", "*.127.0.0.1"])
def test_a_wildcard_stands_for_the_first_labels_only(text: str) -> None:
    with pytest.raises(ValueError, match=r"any host|no pattern|no host name|four numbers|letters"):
        parse_host_pattern(text)
