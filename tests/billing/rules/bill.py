"""Short ways to look at what a scenario billed."""

from typing import Any

Document = dict[str, Any]
Shown = tuple[Any, ...]


def lines(document: Document, month: str, *fields: str) -> list[Shown]:
    """These fields of each line of a month's bill."""
    return [tuple(line[field] for field in fields) for line in document["bills"].get(month, {"lines": []})["lines"]]


def total(document: Document, month: str) -> str:
    return str(document["bills"][month]["total"])


def kinds(document: Document) -> list[Shown]:
    return [(note["kind"], note["at"]) for note in document["notifications"]]


def steps(document: Document) -> list[Shown]:
    return [(step["to"], step["at"]) for step in document["transitions"]]


def by_id(items: list[Document]) -> dict[str, Document]:
    return {item["id"]: item for item in items}
