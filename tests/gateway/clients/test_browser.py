"""A browser: a page with what it loads, fetch, an event stream and a WebSocket, all through the gateway."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.gateway.clients.conftest import Gateway
from tests.installed import needed


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    program = needed("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page()
        opened.set_default_timeout(20_000)
        yield opened
        browser.close()


@pytest.fixture
def loaded(page: Page, gateway: Gateway) -> Page:
    answer = page.goto(f"{gateway.url}/a/page")
    assert answer is not None and answer.status == 200
    return page


def test_a_page_comes_with_its_style_and_script(loaded: Page, gateway: Gateway) -> None:
    assert loaded.title() == "of the origin"
    assert loaded.eval_on_selector("#text", "element => getComputedStyle(element).color") == "rgb(1, 2, 3)"
    assert loaded.evaluate("typeof talk") == "function"
    gateway.adds_up()


def test_fetch_posts_and_streams(loaded: Page, gateway: Gateway) -> None:
    assert loaded.evaluate("post('grüße '.repeat(10000))") == [200, "grüße " * 10_000, True]
    assert loaded.evaluate("read('bytes/3000000')") == 3_000_000
    assert loaded.evaluate("read('chunked/3000000')") == 3_000_000
    assert loaded.evaluate("fetch('/none').then(answer => answer.json()).then(problem => problem.type)") == (
        "urn:tollgate:no_route"
    )
    gateway.adds_up()


def test_events_arrive_one_by_one(loaded: Page, gateway: Gateway) -> None:
    """The page asks for the next one when it has seen this one."""
    assert loaded.evaluate("listen('events/10', 10)") == [f"event {number}" for number in range(10)]


def test_a_websocket_talks_and_closes_cleanly(loaded: Page, gateway: Gateway) -> None:
    words = ["one", "zwei", "x" * 100_000]
    assert loaded.evaluate("words => talk('/live/ws', words)", words) == [words, 1000, True]
    assert gateway.counted("websocket_connections") == 1
    gateway.adds_up()
