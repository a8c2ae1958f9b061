"""The configurations that the benchmark makes are sound, and switch on what they say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config.loading import load_settings
from loadtest.bench import node, table
from loadtest.bench.peers import make_certificate


def settings(folder: Path, services: list[dict[str, Any]], **more: Any) -> Any:
    make_certificate(folder)
    file = folder / "tollgate.yaml"
    file.write_text(node.configuration(folder, 9001, (18080, 18443, 18081), services, **more))
    return load_settings(file)


def test_the_steps_are_a_configuration_that_check_finds_sound(tmp_path: Path) -> None:
    settings(tmp_path, node.step_services())
    done = subprocess.run(
        [sys.executable, "-m", "gateway.main", "check", str(tmp_path / "tollgate.yaml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(node.STEPS)} services" in done.stdout


def test_each_step_adds_one_feature_to_the_one_before(tmp_path: Path) -> None:
    services = {service.id: service for service in settings(tmp_path, node.step_services()).services}
    assert list(services) == list(node.STEPS)
    features = {
        name: (
            service.qps is not None,
            bool(service.routes) and all(route.qps < service.qps for route in service.routes),
            service.auth.type == "key",
            bool(service.allow and service.deny),
            service.limit_mode == "shadow",
        )
        for name, service in services.items()
    }
    assert [sum(switched_on) for switched_on in features.values()] == [0, 1, 2, 3, 4, 5]


def test_workers_and_the_access_log_are_as_asked(tmp_path: Path) -> None:
    one = settings(tmp_path, node.step_services())
    other = settings(tmp_path, node.step_services(), workers=2, has_log=True)
    assert (one.instances[0].workers, one.access_log) == (1, None)
    assert other.instances[0].workers == 2
    assert other.access_log.share == 1.0


def test_the_spec_has_room_for_the_big_table() -> None:
    from config.catalog import load_catalog

    spec = load_catalog().spec(node.SPEC)
    assert spec.services_max == table.SERVICES + 1
    assert spec.qps.instance == node.QPS


@pytest.mark.parametrize("build", list(node.BUILDS))
def test_a_build_is_chosen_as_a_worker_chooses_it(build: str) -> None:
    assert json.loads(node.BUILDS[build]) == (build == "compiled")
