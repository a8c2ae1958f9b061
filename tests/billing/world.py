"""A store in memory with one account, and short ways to make things happen in it."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from billing.calendar import hour_of
from billing.scenario import parse_scenario
from billing.service import Billing, SettleReport
from billing.simulation import run
from billing.tables import create_all
from billing.upsert import insert_or_replace
from config.catalog import load_catalog
from config.money import E8
from config.prices import load_price_book
from metering.database import open_engine, transaction
from metering.tables import counter, dirty

GIB = 2**30


def at(text: str) -> int:
    """`2024-02-10 10:00` in Shanghai, as epoch seconds."""
    return int(datetime.fromisoformat(f"{text}+08:00").timestamp())


def count(
    engine: Engine,
    when: str,
    value: int,
    meter: str = "calls",
    instance: str = "s1",
    writer: str = "w",
    account: str = "a",
) -> None:
    """A writer's absolute value for the hour, and its mark."""
    hour = hour_of(at(when))
    row = {"writer": writer, "account": account, "instance": instance, "region": "ap-guangzhou", "service": "x"}
    with transaction(engine) as connection:
        statement = insert_or_replace(connection, counter, "value")
        connection.execute(statement, {**row, "meter": meter, "hour": hour, "value": value})
        connection.execute(insert_or_replace(connection, dirty, "hour"), {"account": account, "hour": hour})


def count_rows(
    engine: Engine, hour: int, values: dict[str, int], account: str = "a", instance: str = "s1", writer: str = "w"
) -> None:
    """Absolute values by meter of an instance in an hour since the epoch, and the hour's mark."""
    row = {
        "writer": writer,
        "account": account,
        "instance": instance,
        "region": "ap-guangzhou",
        "service": "x",
        "hour": hour,
    }
    with transaction(engine) as connection:
        rows = [{**row, "meter": meter, "value": value} for meter, value in values.items()]
        connection.execute(insert_or_replace(connection, counter, "value"), rows)
        connection.execute(insert_or_replace(connection, dirty, "hour"), {"account": account, "hour": hour})


class World:
    """Account `a` with shared instance `s1` in Guangzhou, no free quota unless asked for."""

    def __init__(
        self, engine: Engine | None = None, cash: int = 0, timezone: str = "Asia/Shanghai", **account: Any
    ) -> None:
        self.engine = engine or open_engine("sqlite://")
        self.timezone = timezone
        with transaction(self.engine) as connection:
            create_all(connection)
        self.billing = self.reopened()
        self.opened_at = at("2024-01-01 00:00")
        self.billing.open_account("a", self.opened_at, **{"has_free_quota": False, **account})
        self.billing.open_shared_instance("a", "s1", "ap-guangzhou", self.opened_at)
        if cash:
            self.billing.top_up("a", cash=cash * E8, now=self.opened_at)

    def reopened(self) -> Billing:
        """The store as another process would open it."""
        return Billing(self.engine, load_price_book("usd"), load_catalog(), self.timezone, is_migrated=True)

    def count(self, when: str, value: int, meter: str = "calls", instance: str = "s1", writer: str = "w") -> None:
        count(self.engine, when, value, meter, instance, writer)

    def settle(self, when: str) -> SettleReport:
        return self.billing.settle(at(when), lambda hour: True)

    def document(self) -> dict[str, Any]:
        return self.billing.account("a")

    def lines(self, month: str) -> list[dict[str, Any]]:
        bills: dict[str, Any] = self.document()["bills"]
        return list(bills[month]["lines"])


def simulate(*events: dict[str, Any], until: str, **account: Any) -> dict[str, Any]:
    """Run events of account `a` (times as in `at`); returns the whole output."""
    document = {
        "price_book": "usd",
        "accounts": [
            {
                "id": "a",
                "entity": "e1",
                "currency": "USD",
                "activated_at": "2024-01-01T00:00:00+08:00",
                "free_quota": False,
                **account,
            }
        ],
        "instances": [{"id": "s1", "account": "a", "type": "shared", "region": "ap-guangzhou"}],
        "events": [_event(event) for event in events],
        "until": _time(until),
    }
    return run(parse_scenario(document, Path()))


def account_of(*events: dict[str, Any], until: str, **account: Any) -> dict[str, Any]:
    """The same, and nothing may be refused; returns the account's document."""
    output = simulate(*events, until=until, **account)
    assert output["refused"] == []
    document: dict[str, Any] = output["accounts"]["a"]
    return document


def _event(event: dict[str, Any]) -> dict[str, Any]:
    times = {key: _time(event[key]) for key in ("at", "expires_at", "arrives_at") if key in event}
    return {**event, **times}


def _time(text: str) -> str:
    return f"{text.replace(' ', 'T')}:00+08:00" if len(text) == 16 else f"{text.replace(' ', 'T')}+08:00"


def top_up(at: str, cash: str = "0", **others: str) -> dict[str, Any]:
    return {"at": at, "do": "top_up", "account": "a", "cash": cash, **others}


def use(at: str, instance: str = "s1", **units: Any) -> dict[str, Any]:
    return {"at": at, "do": "usage", "instance": instance, **units}


def pack(at: str, id: str = "p1", **changes: Any) -> dict[str, Any]:
    wish = {"meter": "calls", "quantity": 1000, "months": 1, "price": "1.00", "source": "purchase"}
    return {"at": at, "do": "buy_pack", "account": "a", "id": id, **wish, **changes}


def prepaid(at: str, id: str = "d1", months: int = 1, price: str = "300.00", **changes: Any) -> dict[str, Any]:
    wish = {"spec": "dedicated-2500", "region": "ap-guangzhou", "charge": "prepaid", "months": months, "price": price}
    return {"at": at, "do": "buy_instance", "account": "a", "id": id, **wish, **changes}


def payg(at: str, id: str = "d1", price: str = "0.00010000", **changes: Any) -> dict[str, Any]:
    wish = {"spec": "dedicated-2500", "region": "ap-guangzhou", "charge": "payg", "price": price}
    return {"at": at, "do": "buy_instance", "account": "a", "id": id, **wish, **changes}


def act(at: str, do: str, id: str = "d1", **more: Any) -> dict[str, Any]:
    return {"at": at, "do": do, "id": id, **more}


def states(items: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {item["id"]: item["state"] for item in items}
