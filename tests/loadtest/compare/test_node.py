from __future__ import annotations

from pathlib import Path

from config.loading import load_settings
from loadtest.compare.node import configuration
from loadtest.compare.plan import LIMITS


def test_the_configuration_is_sound_and_has_the_limits_that_are_drawn(tmp_path: Path) -> None:
    names = ("shared", "dedicated", "admin", "shared_origin", "dedicated_origin")
    file = tmp_path / "compare.yaml"
    file.write_text(configuration({name: 18_000 + at for at, name in enumerate(names)}))
    settings = load_settings(file)
    from config.catalog import load_catalog

    catalog = load_catalog()
    assert {one.id: catalog.limits_of(one).instance for one in settings.instances} == LIMITS
    assert {service.protocol for service in settings.services} == {"http", "websocket"}
