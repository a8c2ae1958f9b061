"""What the file says of an account or an instance and the store does not follow: it was settled when it was opened.

To change it silently would change what was agreed; not to say so would let the operator believe that it is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Row, select

from billing import tables
from config.instants import instant_text
from config.schema import Account, InstanceSettings, Settings

_FREE = {True: "true", False: "false"}


def differences(connection: Connection, settings: Settings) -> list[str]:
    """In words, each with its place; of accounts that are open and instances that run."""
    accounts = {row.id: row for row in connection.execute(select(tables.account))}
    running = select(tables.instance).where(tables.instance.c.state == "active")
    instances = {row.id: row for row in connection.execute(running)}
    found: list[str] = []
    for index, account in enumerate(settings.accounts):
        if (known := accounts.get(account.id)) is not None:
            found += [f"accounts[{index}].{text}" for text in _of_account(account, known)]
    for index, instance in enumerate(settings.instances):
        if (known := instances.get(instance.id)) is not None:
            found += [f"instances[{index}].{text}" for text in _of_instance(instance, known)]
    return found


def _of_account(account: Account, known: Row[Any]) -> Iterator[str]:
    if bool(known.has_free_quota) != account.free_quota:
        yield f"free_quota: {account.id} keeps {_FREE[bool(known.has_free_quota)]}, as it was opened or granted"
    if known.currency != account.currency:
        yield f"currency: {account.id} keeps {known.currency}; nothing is converted (B26)"
    if known.activated_at != account.activated_at:
        yield f"activated_at: {account.id} keeps {instant_text(known.activated_at)}"
    if known.entity != (account.entity or account.id):
        yield f"entity: {account.id} keeps {known.entity}"


def _of_instance(instance: InstanceSettings, known: Row[Any]) -> Iterator[str]:
    """By what it is billed, until it is released and taken up again."""
    charge = "payg" if getattr(instance.charge, "prepaid_months", None) is None else "prepaid"
    pairs: list[tuple[str, Any, Any]] = [
        ("account", known.account, instance.account),
        ("type", known.type, instance.type),
        ("region", known.region, instance.region),
    ]
    if known.type == instance.type == "dedicated":
        pairs += [("spec", known.spec, instance.spec), ("charge", known.charge, charge)]
    for name, old, new in pairs:
        if old != new:
            yield f"{name}: {instance.id} is billed by {old} until it is released"
