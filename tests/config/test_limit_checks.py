"""A file whose limits the table of the workers could not hold is no sound one."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.limit_checks import LIMITS_MAX
from config.loading import load_settings, parse_service
from config.schema import Key, KeyQuota, Route, ServiceSettings
from gateway.limits.table import SLOTS
from tests.config.test_loading import SOUND, write


def test_there_is_room_for_the_limits_of_two_configurations() -> None:
    assert 2 * LIMITS_MAX <= SLOTS


def test_more_limits_than_there_are_slots_are_refused(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, SOUND))
    document = {"id": "new", "instance": "acme-shared", "upstream": {"targets": [{"url": "http://127.0.0.1:1"}]}}
    service = parse_service(document, settings, [])
    quota = KeyQuota(calls=1, per="day")
    keys = tuple(Key.model_construct(id=f"k{at}", sha256="0" * 64, qps=1, quota=quota) for at in range(100_000))
    routes = tuple(Route.model_construct(id=f"r{at}", methods=(), path=f"/{at}", qps=1) for at in range(10_000))

    def existing(id: str, **values: object) -> ServiceSettings:
        return service.model_copy(update={"id": id, "path": f"/{id}", **values})

    held = [existing("a", auth=service.auth.model_copy(update={"keys": keys})), existing("b", routes=routes)]
    assert parse_service(document, settings, held).id == "new"  # 210,003 of them
    held += [existing(f"more{at}", routes=routes) for at in range(5)]
    assert parse_service(document, settings, held).id == "new"  # 260,008
    held.append(existing("last", routes=routes))
    with pytest.raises(ConfigError) as caught:
        parse_service(document, settings, held)
    assert [fault.path for fault in caught.value.faults] == ["routes"]
    free = [
        one.model_copy(update={"routes": tuple(r.model_copy(update={"qps": None}) for r in routes)}) for one in held
    ]
    assert parse_service(document, settings, free).id == "new"  # Routes without a limit of their own take no slot.
