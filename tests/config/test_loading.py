"""A whole file: what it means, and every mistake in it at once."""

import gc
from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.commands import check
from config.errors import ConfigError
from config.loading import load_settings, parse_service
from loadtest.demo import CONFIG

SOUND = CONFIG.format(
    shared=8080, admin=8081, dedicated=8443, origin_a=9001, origin_b=9002, rate=1, offset=0, hour_s=3600
)

KEY = 'id: k, sha256: "' + "0" * 64 + '"'

TEN_MISTAKES = """\
version: 1
node: {name: node-1, data_dir: ./data}
entry: [{bind: "127.0.0.1:99999", network: internet}]
drain: 30
colour: red
accounts:
  - {id: acme, currency: USD, activated_at: "2026-01-15T09:00:00+08:00", opening: {cash: 100.00}}
instances:
  - {id: one, account: nobody, type: shared, region: ap-guangzhou, qps: 501}
  - {id: two, account: acme, type: dedicated, spec: dedicated-2500, region: ap-mumbai, charge: payg,
     entry: [{bind: "127.0.0.1:8443"}]}
services:
  - {id: a, instance: one, upstream: {targets: [{url: "ftp://127.0.0.1:9001"}]}}
  - {id: b, instance: one, path: /b, upstream: {targets: [{url: "http://127.0.0.1:9001"}]}, qps: 100,
     routes: [{id: r, path: /x, qps: 101}]}
  - {id: c, instance: one, path: /b, upstream: {targets: [{url: "http://127.0.0.1:9001"}]}}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "tollgate.yaml"
    path.write_text(text)
    return path


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(folder, text))
    return [fault.path for fault in caught.value.faults]


def test_a_sound_file_is_read_with_paths_relative_to_it(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, SOUND))
    assert settings.node.data_dir == tmp_path / "data"
    assert settings.store.url == f"sqlite:///{tmp_path}/data/tollgate.db"
    assert settings.accounts[0].opening.cash == 100 * 10**8
    assert settings.services[0].qps == 400
    assert settings.drain == 3.0


def test_ten_mistakes_are_ten_lines_each_with_its_path(tmp_path: Path) -> None:
    assert sorted(faults(tmp_path, TEN_MISTAKES)) == [
        "accounts[0].opening.cash",
        "colour",
        "drain",
        "entry[0].bind",
        "instances[0].account",
        "instances[0].qps",
        "instances[1].region",
        "services[0].upstream.targets[0].url",
        "services[1].routes[0].qps",
        "services[2].path",
    ]


@pytest.mark.parametrize(
    "old, new, path",
    [
        ("version: 1", "version: 2", "version"),
        ("id: checkout", "id: catalogue", "services[1].id"),
        ("charge: payg", "charge: free", "instances[1].charge"),
        ("spec: dedicated-2500", "spec: dedicated-1", "instances[1].spec"),
        ("type: shared,", "type: shared, workers: 2,", "instances[0].workers"),
        ("region: ap-guangzhou}", "region: moon}", "instances[0].region"),
        ("currency: USD", "currency: CNY", "accounts[0].currency"),
        ("    workers: 1\n", "    workers: 1\n    body_max: 11GiB\n", "instances[1].body_max"),
        ("path: /checkout", "path: checkout/", "services[1].path"),
        ('bind: "127.0.0.1:8443"', 'bind: "127.0.0.1:8081"', "instances[1].entry[0].bind"),
        (
            "network: internet}]",
            "network: internet, tls: {certificate: c, key: k}}]",
            "instances[1].entry[0].tls.certificate",
        ),
        ("price_book: usd", "price_book: eur", "billing.price_book: "),
        ("timezone: Asia/Shanghai", "timezone: Mars/Base", "billing.timezone"),
        ('cash: "100.00"', 'cash: "-1"', "accounts[0].opening.cash"),
        ('cash: "100.00"', 'gift: "100.001"', "accounts[0].opening.gift"),
        ("qps: 400", "qps: 0", "services[0].qps"),
        ("qps: 400", f"qps: 400\n    auth: {{type: key, keys: [{{{KEY}, qps: 401}}]}}", "services[0].auth.keys[0].qps"),
        (
            "qps: 400",
            f"qps: 400\n    auth: {{type: key, keys: [{{{KEY}, quota: {{calls: 0, per: day}}}}]}}",
            "services[0].auth.keys[0].quota.calls",
        ),
        (
            "qps: 400",
            f"qps: 400\n    auth: {{type: key, keys: [{{{KEY}, quota: {{calls: 5, per: year}}}}]}}",
            "services[0].auth.keys[0].quota.per",
        ),
        ("qps: 400", "qps: 400\n    path_escapes: drop", "services[0].path_escapes"),
        ("qps: 400", "qps: 400\n    merge_slashes: sometimes", "services[0].merge_slashes"),
        ("qps: 400", "qps: 400\n    location: follow", "services[0].location"),
        ("qps: 400", "qps: 400\n    protocol: both", "services[0].protocol"),
        ("qps: 400", f"qps: 400\n    auth: {{type: key, in: body, keys: [{{{KEY}}}]}}", "services[0].auth.in"),
        (
            "qps: 400",
            f"qps: 400\n    auth: {{type: key, in: query, header: X-Key, keys: [{{{KEY}}}]}}",
            "services[0].auth.header",
        ),
        (
            "qps: 400",
            f"qps: 400\n    auth: {{type: key, name: X-Key, header: X-Key, keys: [{{{KEY}}}]}}",
            "services[0].auth.header",
        ),
        (
            "qps: 400",
            f"qps: 400\n    auth: {{type: key, in: subprotocol, keys: [{{{KEY}}}]}}",
            "services[0].auth.in",
        ),
    ],
)
def test_a_mistake_is_named_by_its_place(tmp_path: Path, old: str, new: str, path: str) -> None:
    assert old in SOUND
    found = faults(tmp_path, SOUND.replace(old, new, 1))
    assert any(fault.startswith(path) for fault in found), found


def test_a_key_that_stands_twice_is_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="stands twice"):
        load_settings(write(tmp_path, SOUND + "version: 1\n"))


def test_a_service_is_checked_against_the_others(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, SOUND))
    document = {"id": "new", "instance": "acme-shared", "upstream": {"targets": [{"url": "http://127.0.0.1:1"}]}}
    assert parse_service(document, settings, settings.services).path == "/new"
    with pytest.raises(ConfigError) as caught:
        parse_service({**document, "path": "/catalogue"}, settings, settings.services)
    assert [fault.path for fault in caught.value.faults] == ["path"]


def test_the_command_exits_by_what_it_found(tmp_path: Path) -> None:
    import typer

    app = typer.Typer()
    app.command()(check)
    good = CliRunner().invoke(app, [str(write(tmp_path, SOUND))])
    assert (good.exit_code, "sound" in good.stdout) == (0, True)
    bad = CliRunner().invoke(app, [str(write(tmp_path, TEN_MISTAKES))])
    assert bad.exit_code == 1
    assert len(bad.stderr.splitlines()) == 10
    missing = CliRunner().invoke(app, [str(tmp_path / "none.yaml")])
    assert missing.exit_code == 1
    assert "No such file" in missing.stderr


def test_nesting_without_end_is_a_fault_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text("a: " + "[" * 100_000)
    with pytest.raises(ConfigError) as raised:
        load_settings(path)
    assert str(raised.value.faults[0]).startswith(f"{path}:1:")


def test_loading_leaves_the_collector_on(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load_settings(tmp_path / "missing.yaml")
    assert gc.isenabled()


@pytest.mark.parametrize(
    "keys, paths, is_clash",
    [
        ({}, ("/items", "/Items"), False),
        ({"path_case": "fold"}, ("/items", "/Items"), True),
        ({}, ("/items", "/items/"), False),
        ({"trailing_slash": "ignore"}, ("/items", "/items/"), True),
    ],
)
def test_routes_that_a_service_takes_for_one_clash(
    tmp_path: Path, keys: dict[str, str], paths: tuple[str, str], is_clash: bool
) -> None:
    settings = load_settings(write(tmp_path, SOUND))
    document = {
        "id": "new",
        "instance": "acme-shared",
        "upstream": {"targets": [{"url": "http://127.0.0.1:1"}]},
        "routes": [{"id": f"r{number}", "path": path} for number, path in enumerate(paths)],
        **keys,
    }
    if not is_clash:
        assert len(parse_service(document, settings, settings.services).routes) == 2
        return
    with pytest.raises(ConfigError) as caught:
        parse_service(document, settings, settings.services)
    assert [fault.path for fault in caught.value.faults] == ["routes[1].path"]


def test_folded_prefixes_clash_in_any_case(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, SOUND))
    document = {"id": "new", "instance": "acme-shared", "upstream": {"targets": [{"url": "http://127.0.0.1:1"}]}}
    with pytest.raises(ConfigError) as caught:
        parse_service({**document, "path": "/Catalogue", "path_case": "fold"}, settings, settings.services)
    assert [fault.path for fault in caught.value.faults] == ["path"]
