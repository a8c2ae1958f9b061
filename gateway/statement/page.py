"""A statement's document into HTML. One file with its style in it: it can be saved, mailed, printed."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from config.instants import parse_instant
from config.money import format_e8, read_e8
from config.texts import escaped

# The page loads nothing and runs nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
_WORDS = {
    "calls": "Calls",
    "egress_client": "Internet traffic to clients",
    "egress_backend": "Internet traffic to backends",
    "instance_seconds": "Instance, by the second",
    "free": "free quota",
    "payg": "pay as you go",
    "instance": "instance",
    "adjust": "adjustment",
    "pack": "pack",
}


def statement_page(document: dict[str, Any]) -> str:
    """HTML of what ``Office.statement`` gives; everything in it is escaped."""
    return _template(document["period"]["timezone"]).render(page=document)


@lru_cache(maxsize=4)
def _template(timezone: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=_shown,
    )  # fmt: skip
    environment.filters.update(local=partial(_local, ZoneInfo(timezone)), negative=_negative, topped_up=_topped_up)
    environment.filters.update(quantity=_quantity, word=lambda name: _WORDS.get(name, name), per=_per, percent=_percent)
    return environment.get_template("page.html")


def _shown(value: Any) -> Any:
    """What turns the direction of text would show another bill than there is."""
    return escaped(value) if type(value) is str else value


def _local(zone: ZoneInfo, instant: str) -> str:
    """`2026-02-01 00:00:00`, of the month's own time zone."""
    return datetime.fromtimestamp(parse_instant(instant), zone).strftime("%Y-%m-%d %H:%M:%S")


def _negative(amount: str) -> str:
    """What is taken off."""
    return format_e8(-read_e8(amount))


def _topped_up(one: dict[str, str]) -> str:
    return format_e8(sum(read_e8(one[bucket]) for bucket in ("cash", "income", "gift")))


def _quantity(number: int, meter: str) -> str:
    if meter.startswith("egress"):
        return f"{number / 2**30:,.3f} GB"
    return f"{number:,}" + (" s" if meter == "instance_seconds" else "")


def _per(number: int) -> str:
    return {10_000: "10,000", 2**30: "GB", 1: "s"}.get(number, str(number))


def _percent(share: str | None) -> str:
    """`0.999871` to `99.9871 %`, by moving the point."""
    if share is None:
        return "–"
    whole, _, part = share.partition(".")
    digits = (whole + part.ljust(2, "0")[:2]).lstrip("0") or "0"
    rest = part[2:].rstrip("0")
    return f"{digits}{'.' + rest if rest else ''} %"
