"""What is known of a target: probes in a row, ejections by workers, over changes of configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from config.schema import Health, InstanceSettings, ServiceSettings, UpstreamTls
from gateway.control.target_health import Key, TargetHealth, Watched, watched_targets

A, B = ("orders", "http://127.0.0.1:1"), ("orders", "http://127.0.0.1:2")


def watched(key: Key, health: Health | None = None) -> Watched:
    return Watched(*key, None, UpstreamTls(), health)


class Known:
    def __init__(self, *keys: Key, probed: bool = True) -> None:
        self.published: list[list[Key]] = []
        self.health = TargetHealth(self._publish)
        self.settings = Health(failures=3, successes=2) if probed else None
        self.health.follow([watched(key, self.settings) for key in keys])

    def _publish(self, down: Sequence[Key]) -> None:
        self.published.append(list(down))

    def probe(self, key: Key, results: str) -> None:
        for result in results:
            self.health.probed(key, is_good=result == "+")

    def up(self) -> dict[Key, bool]:
        return {(service, url): is_up for service, url, is_up in self.health.states()}


@pytest.mark.parametrize(
    "results, published",
    [
        pytest.param("--", [], id="not enough failures"),
        pytest.param("---", [[A]], id="enough"),
        pytest.param("--+--", [], id="not in a row"),
        pytest.param("----+-+-", [[A]], id="told once; successes not in a row"),
        pytest.param("---++", [[A], []], id="back"),
        pytest.param("---++--", [[A], []], id="and its failures count anew"),
        pytest.param("---++---", [[A], [], [A]], id="down again"),
    ],
)
def test_so_many_in_a_row_change_the_state(results: str, published: list[list[Key]]) -> None:
    known = Known(A)
    known.probe(A, results)
    assert known.published == published
    assert known.up() == {A: not (published and published[-1])}


def test_the_whole_list_is_published() -> None:
    known = Known(A, B)
    known.probe(B, "---")
    known.probe(A, "---")
    assert known.published == [[B], [A, B]]


def test_a_target_that_leaves_the_configuration_is_down_no_more() -> None:
    known = Known(A, B)
    known.probe(A, "---")
    known.health.follow([watched(B, known.settings)])
    assert known.published[-1] == []
    assert known.up() == {B: True}
    known.probe(A, "---")  # of a probe that was under way
    assert known.up() == {B: True}


def test_a_change_of_configuration_keeps_what_is_known() -> None:
    known = Known(A, B)
    known.probe(A, "---")
    known.health.follow([watched(A, Health(failures=9)), watched(B)])
    assert known.published == [[A]]
    assert known.up() == {A: False, B: True}


def test_without_probes_a_target_is_down_while_a_worker_ejects_it() -> None:
    known = Known(A, B, probed=False)
    known.health.told("w1", "ejected", *A)
    known.health.told("w2", "ejected", *A)
    known.health.told("w1", "returned", *A)
    assert known.up() == {A: False, B: True}
    known.health.forget("w2")
    assert known.up() == {A: True, B: True}
    assert known.published == []  # Ejections are each worker's own.


def test_where_there_are_probes_they_have_the_say() -> None:
    known = Known(A)
    known.health.told("w1", "ejected", *A)
    assert known.up() == {A: True}


@pytest.mark.parametrize(
    "hosts, upstream, host",
    [
        pytest.param(["*.a.example", "a.example", "b.example"], {}, "a.example", id="the first exact one"),
        pytest.param(["a.example"], {"preserve_host": False}, None, id="the target's, as traffic has it"),
        pytest.param(["*.a.example"], {}, None, id="no exact one"),
        pytest.param([], {}, None, id="none"),
        pytest.param(["a.example"], {"health": {"host": "b.example:81"}}, "b.example:81", id="as set"),
        pytest.param(
            [], {"preserve_host": False, "health": {"host": "[::1]:81"}}, "[::1]:81", id="as set, of an address"
        ),
    ],
)
def test_probes_go_to_the_host_that_traffic_goes_to(
    hosts: list[str], upstream: dict[str, Any], host: str | None
) -> None:
    document = {"targets": [{"url": "http://127.0.0.1:1"}], "health": {}} | upstream
    service = ServiceSettings.model_validate(
        {"id": "s", "instance": "one", "hosts": hosts, "path": "/s", "upstream": document}
    )
    instance = InstanceSettings.model_validate(
        {"id": "one", "account": "acme", "type": "shared", "region": "ap-guangzhou"}
    )
    (found,) = watched_targets([service], {"one": instance})
    assert found.host == host
