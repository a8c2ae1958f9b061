"""The console's files: complete, and of this node alone."""

import re
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient

import gateway.admin.console_page

FOLDER = Path(gateway.admin.console_page.__file__).with_name("console")
FILES = sorted(path.name for path in FOLDER.iterdir())


@pytest.mark.parametrize("name", FILES)
async def test_every_file_is_served_and_asks_nothing_of_other_hosts(stranger: TestClient, name: str) -> None:
    answer = await stranger.get(f"/console/static/{name}")
    assert answer.status == 200
    text = await answer.text()
    assert text == (FOLDER / name).read_text()
    outside = [url for url in re.findall(r"(?:https?:)?//[a-z][\w.-]+", text) if "www.w3.org" not in url]
    assert outside == []


async def test_the_page_may_load_only_its_own_files_and_be_framed_by_nobody(stranger: TestClient) -> None:
    answer = await stranger.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    page = await answer.text()
    assert "style=" not in page and "onclick" not in page
    assert set(re.findall(r'/console/static/([\w.]+)"', page)) <= set(FILES)


@pytest.mark.parametrize("name", ["none.js", "..%2fconsole_page.py", "%2e%2e"])
async def test_nothing_else_is_served(stranger: TestClient, name: str) -> None:
    assert (await stranger.get(f"/console/static/{name}")).status in (401, 404)
