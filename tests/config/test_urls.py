"""Urls that can be dialled, and origins as browsers send them; all others are refused with the reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.loading import load_settings
from config.urls import check_store, parse_origin, parse_otlp, parse_receiver, parse_target
from tests.config.test_loading import SOUND, write

NONE = [
    ("", "no http or https url"),
    ("orders:8080", "no http or https url"),
    ("//orders", "no http or https url"),
    ("http:/orders", "no http or https url"),
    ("ftp://orders", "no http or https url"),
    ("http://", "no host"),
    ("http:///x", "no host"),
    ("http://:80", "no host"),
    ("http://::1", "no host"),
    ("http://hooks..acme.example", "nothing between two dots"),
    ("http://" + "a" * 64, "longer than 63"),
    ("http://" + ".".join(["a" * 60] * 5), "longer than 253"),
    ("http://a b/", "space"),
    ("http://a/b c", "space"),
    ("http://a/\n", "control"),
    ("http://a\x00", "control"),
    ("http://a\\b", "backslash"),
    ("http://a/x\\y", "backslash"),
    ("http://a/x#y", "fragment"),
    ("http://a#", "fragment"),
    ("http://:secret@host", "password"),
    ("http://user:secret@host/x", "password"),
    ("http://secret@host", "password"),
    ("http://a:0", "no port"),
    ("http://a:65536", "no port"),
    ("http://a:99999999999999999999", "no port"),
    ("http://a:080", "no port"),
    ("http://a:", "no port"),
    ("http://a:8o", "no port"),
    ("http://a:８０", "no port"),
    ("http://a:80:80", "no port"),
    ("http://[::1", "brackets"),
    ("http://[::1]x", "brackets"),
    ("http://::1]:80", "no host"),
    ("http://[fe80::1%25eth0]", "zone"),
    ("http://127.1", "four numbers"),
    ("http://a/%", "two hex digits"),
    ("http://a/%zz", "two hex digits"),
    ("http://a/café", "write /caf%C3%A9"),
    ("http://a/a|b", "write /a%7Cb"),
    ("http://a/" + "x" * 3000, "longer than the 2048"),
]


@pytest.mark.parametrize("text, reason", NONE)
@pytest.mark.parametrize("parse", [parse_target, parse_receiver, parse_otlp])
def test_what_is_no_url_is_refused_everywhere_with_the_reason(parse: type[str], text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        parse(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://hooks..acme.example", "http://:secret@host", "http://a b", "http://a:0"])
def test_check_refuses_them_at_each_place_and_repeats_no_password(tmp_path: Path, url: str) -> None:
    text = SOUND.replace('url: "http://127.0.0.1:9001"', f'url: "{url}"', 1)
    text = text.replace('opening: {cash: "100.00"}', f'notify: {{webhook: "{url}"}}', 1)
    text += f'tracing: {{endpoint: "{url}"}}\nsmtp: {{host: "{url}", sender: "a@b..c"}}\n'
    text = text.replace("sqlite:///./data/tollgate.db", "sqlite:/x")
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, text))
    assert {fault.path for fault in caught.value.faults} == {
        "services[0].upstream.targets[0].url",
        "accounts[0].notify.webhook",
        "tracing.endpoint",
        "smtp.host",
        "smtp.sender",
        "store.url",
    }
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text, url",
    [
        ("http://a", "http://a"),
        ("HTTP://Orders.Example:80/", "http://orders.example"),
        ("https://a:443/base/", "https://a/base"),
        ("https://a:80", "https://a:80"),
        ("http://orders_api:8080", "http://orders_api:8080"),
        ("http://orders.internal.:80", "http://orders.internal."),
        ("http://[0:0::1]:9001/x", "http://[::1]:9001/x"),
        ("http://bücher.example/caf%C3%A9", "http://xn--bcher-kva.example/caf%C3%A9"),
    ],
)
def test_a_target_has_one_spelling(text: str, url: str) -> None:
    assert parse_target(text) == url


@pytest.mark.parametrize(
    "text, reason",
    [
        ("http://a?q", "query"),
        ("http://a?", "query"),
        ("http://a/../b", "dots"),
        ("http://a/./b", "dots"),
        ("http://a//b", "empty part"),
        ("https://a.", "write a"),
    ],
)
def test_what_a_target_has_none_of_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_target(text)


def test_targets_in_two_spellings_stand_twice(tmp_path: Path) -> None:
    two = '[{url: "http://127.0.0.1:9001"}, {url: "HTTP://127.0.0.1:9001/"}]'
    with pytest.raises(ConfigError, match="stands twice"):
        load_settings(write(tmp_path, SOUND.replace('[{url: "http://127.0.0.1:9001"}]', two, 1)))


def test_a_receiver_may_have_a_query_and_a_span_receiver_has_a_path() -> None:
    assert parse_receiver("https://Hooks.example/x?t=1&u=%20") == "https://hooks.example/x?t=1&u=%20"
    assert parse_otlp("http://x") == parse_otlp("http://x/") == "http://x/v1/traces"
    assert parse_otlp("http://x/otlp") == "http://x/otlp"


@pytest.mark.parametrize(
    "text, origin",
    [
        ("*", "*"),
        ("null", "null"),
        ("https://App.Example.com", "https://app.example.com"),
        ("HTTPS://app.example.com:443", "https://app.example.com"),
        ("http://app.example.com:80/", "http://app.example.com"),
        ("http://app.example.com:8080", "http://app.example.com:8080"),
        ("https://*.Example.com", "https://*.example.com"),
        ("https://*.example.com:8443/", "https://*.example.com:8443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
    ],
)
def test_an_origin_is_as_browsers_send_it(text: str, origin: str) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app.example.com",
        "https://",
        "https://*",
        "https://a.*.com",
        "https://*a.com",
        "https://*.10.0.0.1",
        "https://a b",
        "https://a/path",
        "https://a?q",
        "https://a#f",
        "https://u@a",
        "https://a:99999",
        "https://a..b",
        "https://" + "a." * 5000,
        "*.example.com",
    ],
)
def test_what_no_browser_sends_is_no_origin(text: str) -> None:
    with pytest.raises(ValueError, match=r"no |has |longer|below"):
        parse_origin(text)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///./data/tollgate.db",
        "sqlite:////var/lib/tollgate.db",
        "postgresql://user:p%40ss@db.internal:5432/tollgate",
        "postgresql+psycopg://db/tollgate?sslmode=require",
        "postgresql://one:5432,two:5432/tollgate",
        "postgresql:///tollgate?host=/run/postgresql",
        "postgresql://[::1]/tollgate",
    ],
)
def test_a_store_is_a_file_or_a_database(url: str) -> None:
    check_store(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "sqlite:/x",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "mysql://",
        "mysql://u:secret@h/db",
        "postgres://u:secret@h/db",
        "postgresql://",
        "postgresql://u:secret@h",
        "postgresql://u:secret@h/",
        "postgresql:///db",
        "postgresql://u:secret@h:0/db",
        "postgresql://u:secret@h..x/db",
        "postgresql://u:sec@ret@h/db",
        "postgresql://u:secret@h/db\x00",
    ],
)
def test_what_is_no_store_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match=r"no store|no port|no host") as caught:
        check_store(url)
    assert "secret" not in str(caught.value)
