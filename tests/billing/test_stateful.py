"""Random lives (`lives.py`) on both engines: the product and the model never differ.

`TOLLGATE_TEST_LIVES=10000` lives as many on SQLite, and a tenth of them on PostgreSQL.
"""

from __future__ import annotations

import os
from contextlib import closing
from functools import partial

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.billing.life_stores import PostgresStores, SqliteStores, Stores
from tests.billing.lives import Lives
from tests.postgres import PostgresServer

LIVES = int(os.environ.get("TOLLGATE_TEST_LIVES", "30"))
STEPS = 30


def live(stores: Stores, lives: int) -> None:
    wish = settings(
        max_examples=lives, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
    )
    with closing(stores):
        run_state_machine_as_test(partial(Lives, stores), settings=wish)


def test_lives_in_sqlite_are_what_the_rules_say() -> None:
    live(SqliteStores(), LIVES)


def test_lives_in_postgresql_are_what_the_rules_say(postgres_server: PostgresServer) -> None:
    live(PostgresStores(postgres_server), max(LIVES // 10, 1))
