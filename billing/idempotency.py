"""Answers by Idempotency-Key: asked twice, done once, answered alike (RULES C.5)."""

import json
from typing import Any

from sqlalchemy import Connection, insert, select

from billing import tables
from billing.errors import Refused


def stored_answer(connection: Connection, key: str, operation: str, arguments: object) -> Any:
    """The answer that was given to this key, or None. Raises Refused when the key was used for something else."""
    row = connection.execute(select(tables.request).where(tables.request.c.key == key)).first()
    if row is None:
        return None
    if (row.operation, row.fingerprint) != (operation, _canonical(arguments)):
        raise Refused("idempotency_mismatch", f"the key {key} was used for another request")
    return json.loads(row.answer)


def store_answer(connection: Connection, key: str, operation: str, arguments: object, answer: object, at: int) -> None:
    """In the transaction of what it answers; the primary key refuses a second one at the same time."""
    connection.execute(
        insert(tables.request),
        {
            "key": key,
            "operation": operation,
            "fingerprint": _canonical(arguments),
            "answer": json.dumps(answer),
            "at": at,
        },
    )


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
