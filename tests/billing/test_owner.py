"""One node at a time writes a store, on both engines."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, text, update

from billing import tables
from billing.errors import StoreLost, StoreTaken
from billing.migrations import migrate, upgrade
from billing.owner import SILENT_S, Ownership, claim
from metering.database import open_engine, transaction


class Nodes:
    """Claims one store, each by an engine of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engines: list[Engine] = []
        self._boots = 0

    def claim(self, node: str, *, take_over: bool = False, migrate: Any = migrate) -> Ownership:
        self.engines.append(open_engine(self.url))
        self._boots += 1
        who = {"node": node, "data_id": f"data of {node}", "boot": f"boot {self._boots}", "host": "here", "pid": 7}
        return claim(self.engines[-1], migrate, **who, take_over=take_over)  # type: ignore[arg-type]

    def silent_for(self, seconds: int) -> None:
        engine = open_engine(self.url)
        with transaction(engine) as connection:
            connection.execute(update(tables.owner).values(beat_at=tables.owner.c.beat_at - seconds))
        engine.dispose()


@pytest.fixture
def nodes(url: str) -> Iterator[Nodes]:
    made = Nodes(url)
    yield made
    for engine in made.engines:
        engine.dispose()


def test_a_second_node_is_refused_while_the_first_is_alive_and_told_which_it_is(nodes: Nodes) -> None:
    first = nodes.claim("n1")
    with pytest.raises(StoreTaken, match=r"node n1 on here \(pid 7\), since 20.*heard \d s ago.*60 s.*--take-over"):
        nodes.claim("n2")
    nodes.silent_for(SILENT_S - 5)
    with pytest.raises(StoreTaken):
        nodes.claim("n2")
    first.beat()
    nodes.silent_for(10)
    with pytest.raises(StoreTaken):
        nodes.claim("n2")
    first.require()


def test_a_refused_node_changes_nothing_of_the_schema_either(nodes: Nodes) -> None:
    nodes.claim("n1")

    def never(engine: Engine) -> None:
        raise AssertionError("a node that is refused migrates nothing")

    with pytest.raises(StoreTaken):
        nodes.claim("n2", migrate=never)


@pytest.mark.parametrize("how", ["released", "silent", "the same data_dir", "taken over"])
def test_the_store_is_free_for_another(nodes: Nodes, how: str) -> None:
    first = nodes.claim("n1")
    if how == "released":
        first.release()
    elif how == "silent":
        nodes.silent_for(SILENT_S)
    second = nodes.claim("n1" if how == "the same data_dir" else "n2", take_over=how == "taken over")
    second.require()
    for operation in (first.require, first.beat, first.release):
        with pytest.raises(StoreLost, match="is another's: node n"):
            operation()
    assert first.lost_to is not None and second.lost_to is None
    with transaction(nodes.engines[-1]) as connection:
        assert connection.execute(select(tables.owner.c.released_at)).scalar_one() is None


def test_no_transaction_of_who_lost_the_store_writes_or_reads(nodes: Nodes) -> None:
    nodes.claim("n1")
    lost = nodes.engines[-1]
    nodes.claim("n2", take_over=True)
    for statement in (tables.settler.insert().values(id=1, through_hour=5), select(tables.settler)):
        with pytest.raises(StoreLost), transaction(lost) as connection:
            connection.execute(statement)
    with transaction(nodes.engines[-1]) as connection:
        assert connection.execute(select(tables.settler)).all() == []


def test_a_take_over_waits_for_what_the_other_is_in_the_middle_of(nodes: Nodes) -> None:
    """So nothing is committed by the one before once another has the store."""
    nodes.claim("n1")
    first = nodes.engines[-1]
    took: list[Ownership] = []
    taking = threading.Thread(target=lambda: took.append(nodes.claim("n2", take_over=True)))
    with transaction(first) as connection:
        taking.start()
        connection.execute(tables.settler.insert().values(id=1, through_hour=5))
        taking.join(0.5)
        assert took == []
    taking.join(20)
    assert len(took) == 1
    with transaction(nodes.engines[-1]) as connection:
        assert connection.execute(select(tables.settler.c.through_hour)).scalar_one() == 5


def test_a_heartbeat_goes_beside_a_long_transaction_on_a_server(nodes: Nodes) -> None:
    first = nodes.claim("n1")
    if nodes.engines[0].dialect.name == "sqlite":
        pytest.skip("SQLite has one writer: a heartbeat waits for a turn's end")
    with transaction(nodes.engines[0]) as connection:
        connection.execute(tables.settler.insert().values(id=1, through_hour=5))
        beating = threading.Thread(target=first.beat)
        beating.start()
        beating.join(10)
        assert not beating.is_alive()


def test_many_at_once_have_one_owner(nodes: Nodes) -> None:
    nodes.claim("n0").release()
    outcomes: list[str] = []
    together = threading.Barrier(4)

    def go(node: str) -> None:
        together.wait()
        try:
            nodes.claim(node)
            outcomes.append("owner")
        except StoreTaken:
            outcomes.append("refused")

    threads = [threading.Thread(target=partial(go, f"n{number}")) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["owner", "refused", "refused", "refused"]


def test_a_store_of_an_earlier_version_is_claimed_once_it_is_migrated(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    engine = open_engine(url)
    with transaction(engine) as connection:
        upgrade(connection, "0003")
    engine.dispose()
    nodes = Nodes(url)
    nodes.claim("n1").require()
    with transaction(nodes.engines[0]) as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() > "0003"
    nodes.engines[0].dispose()
