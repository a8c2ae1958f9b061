"""What commands print: tables for people, JSON and CSV for machines; data on stdout, the rest on stderr."""

from __future__ import annotations

import contextlib
import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import orjson
import typer

from config.texts import cell, escaped, escaped_json

Document = dict[str, Any]


class Column(NamedTuple):
    """A title, what it shows of an item, and whether that is a number."""

    title: str
    show: Callable[[Document], Any]
    is_number: bool = False


def print_json(document: Any) -> None:
    sys.stdout.write(escaped_json(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()) + "\n")


def print_table(columns: Sequence[Column], items: Iterable[Document], title: str | None = None) -> None:
    # Here, as many commands print no table.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # A pipe has no width: there, lines are as long as they are.
    console = Console(width=None if sys.stdout.isatty() else 400, highlight=False)
    shown = None if title is None else Text(escaped(title), style="table.title")
    table = Table(title=shown, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        # On a narrow terminal text folds; a number with its end cut off would be another number.
        justify: Literal["left", "right"] = "right" if column.is_number else "left"
        table.add_column(column.title, justify=justify, no_wrap=column.is_number, overflow="fold")
    for item in items:
        table.add_row(*(Text(escaped(_text(column.show(item)))) for column in columns))
    console.print(table)


def print_csv(columns: Sequence[tuple[str, Callable[[Document], Any]]], items: Iterable[Document]) -> None:
    """RFC 4180, with a head line. What a spreadsheet would take for a formula is quoted."""
    writer = csv.writer(sys.stdout)
    writer.writerow([name for name, _ in columns])
    for item in items:
        writer.writerow(["" if (value := show(item)) is None else cell(value) for _, show in columns])


def say(text: str) -> None:
    """To a person, beside the data."""
    with contextlib.suppress(OSError):  # Nobody reads it.
        typer.echo(escaped(text), err=True)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def bytes_text(number: int) -> str:
    """`1.5 MiB`: for people."""
    amount = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{number} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
