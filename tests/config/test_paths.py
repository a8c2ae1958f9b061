"""Paths of services and routes are those that requests are matched on; what never could be is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.paths import parse_prefix, parse_route_path, shape
from gateway.http.errors import ProtocolError
from gateway.routing.path import normal_path, without_parameters


@pytest.mark.parametrize(
    "text, path",
    [
        ("/", "/"),
        ("/orders/v2", "/orders/v2"),
        ("/%7Eme/%41%2D", "/~me/A-"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/café", "/caf%C3%A9"),
        ("/a b", "/a%20b"),
        ("/a:b@c=d,e", "/a:b@c=d,e"),
        ("/.well-known", "/.well-known"),
    ],
)
def test_what_has_a_plain_meaning_is_brought_to_its_form(text: str, path: str) -> None:
    assert parse_prefix(text) == parse_route_path(text) == path


@pytest.mark.parametrize(
    "text, hint",
    [
        ("", "begins with a slash"),
        ("orders", "write /orders"),
        ("/a//b", "write /a/b"),
        ("//a", "write /a"),
        ("/a/./b", "dots"),
        ("/a/../b", "dots"),
        ("/a/%2e%2E/b", "dots"),
        ("/a;v=1/b", "write /a/b"),
        ("/a?x=1", "query"),
        ("/a#x", "fragment"),
        ("/a\\b", "backslash"),
        ("/a%2Fb", "%2F is refused"),
        ("/a%5cb", "%5c is refused"),
        ("/a%00b", "%00 is refused"),
        ("/a%", "two hex digits"),
        ("/a%zz", "two hex digits"),
        ("/a\nb", "control"),
        ("/a" * 70, "more than 64"),
        ("/" + "a" * 3000, "longer than the 2048"),
    ],
)
@pytest.mark.parametrize("parse", [parse_prefix, parse_route_path])
def test_what_no_request_has_is_refused_with_a_hint(parse: type[str], text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(hint)):
        parse(text)


@pytest.mark.parametrize("text, hint", [("/a/", "write /a"), ("/a/*", "without a *"), ("/{a}", "of routes")])
def test_a_prefix_is_of_whole_literal_segments(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(hint)):
        parse_prefix(text)


@pytest.mark.parametrize(
    "text, hint",
    [
        ("/a/*/b", "at the end"),
        ("/a*", "at the end"),
        ("/*a", "at the end"),
        ("/{a}*", "at the end"),
        ("/{a", "not closed"),
        ("/a}", "not closed"),
        ("/{a{b}}", "not closed"),
        ("/{}", "no name"),
        ("/{a b}", "no name"),
        ("/{;a}", "no name"),
        ("/{a}{b}", "side by side"),
        ("/{a+}/b", "alone at its end"),
        ("/{a+}.json", "alone at its end"),
        ("/" + "-".join(["{a}"] * 9), "more than 8"),
        ("/{a=}", "segments"),
        ("/{a=**/b}", "segments"),
        ("/{a=b*}", "segments"),
        ("/{a=*/../b}", "dots"),
    ],
)
def test_what_is_no_template_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(hint)):
        parse_route_path(text)


@pytest.mark.parametrize(
    "text, path",
    [
        ("/v1/{name=projects/*}", "/v1/projects/{name}"),
        ("/v1/{name=projects/*/zones/*}:stop", "/v1/projects/{name}/zones/{name}:stop"),
        ("/v1/{name=**}", "/v1/*"),
        ("/v1/{name=operations/**}:cancel", "/v1/operations/*:cancel"),
        ("/{a=*}", "/{a}"),
    ],
)
def test_templates_of_several_segments_are_written_out(text: str, path: str) -> None:
    assert parse_route_path(text) == path
    assert parse_route_path(path) == path


def test_names_make_no_difference_between_shapes() -> None:
    assert shape("/a/{x}.{y}/{z+}") == shape("/a/{p}.{q}/{r+}") != shape("/a/{x}.{y}/{z}")


@given(st.text(st.sampled_from("/ab.;%~2Ff7Ee*{}é +:"), max_size=12).map(lambda text: f"/{text}"))
def test_a_prefix_that_is_taken_is_one_that_a_request_for_it_is_matched_on(text: str) -> None:
    try:
        path = parse_prefix(text).encode()
    except ValueError:
        return
    assert without_parameters(normal_path(path)) == path


@given(st.text(st.sampled_from("/ab.;%~2Ff7Ee"), max_size=12).map(lambda text: f"/{text}"))
def test_every_path_that_requests_have_can_be_a_route(text: str) -> None:
    try:
        path = without_parameters(normal_path(text.encode())).decode()
    except ProtocolError:
        return
    if ";" not in path and "//" not in path:
        assert parse_route_path(path) == path
