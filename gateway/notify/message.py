"""What a notification says, to people and to machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from config.currencies import shown_amount
from config.instants import parse_instant
from config.money import read_e8
from gateway.notify.words import WORDS, Words


@dataclass(frozen=True, slots=True)
class Message:
    """`key` is the same whenever the same notification is sent again; `state` is the account's now.

    `details`: how the account stood then: {"currency", "balance", "debt", "threshold", "next": {"kind", "at"}}, money
    exact; empty of a notification that an older version decided on. `timezone`: of the times in a mail.
    """

    key: str
    account: str
    kind: str
    at: str
    state: str
    details: Mapping[str, Any] = field(default_factory=dict)
    language: str = "en"
    timezone: str = "UTC"

    def document(self) -> bytes:
        """What a webhook receives."""
        content: dict[str, Any] = {
            "id": self.key,
            "type": self.kind,
            "account": self.account,
            "at": self.at,
            "account_state": self.state,
            **self.details,
        }
        return orjson.dumps(content)

    def mail(self, sender: str, recipient: str) -> EmailMessage:
        """RFC 5322. `Message-ID` comes from the key: the same again is the same message."""
        mail = EmailMessage()
        mail["From"] = sender
        mail["To"] = recipient
        words = WORDS[self.language]
        mail["Subject"] = f"[tollgate] {self.account}: {words.subjects.get(self.kind, self.kind)}"
        mail["Message-ID"] = f"<{self.key}@{sender.rpartition('@')[2].rstrip('>')}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content("\n".join([*self._lines(words), ""]))
        return mail

    def _lines(self, words: Words) -> Iterator[str]:
        yield f"{words.account} {self.account}, {self._local(self.at)}"
        yield ""
        yield words.texts.get(self.kind, self.kind)
        if not self.details:
            return
        yield ""
        for name in ("balance", "debt", "threshold"):
            if self.details[name] is not None and (name != "debt" or read_e8(self.details[name])):
                yield f"{words.amounts[name]}: {self._money(self.details[name])}"
        step = self.details["next"]
        if step is not None:
            yield f"{words.next}: {words.steps.get(step['kind'], step['kind'])}, {self._local(step['at'])}"

    def _money(self, text: str) -> str:
        """In the currency's own decimals; with all of them where they would hide what is owed."""
        amount_e8, currency = read_e8(text), self.details["currency"]
        shown = shown_amount(amount_e8, currency)
        return f"{text if amount_e8 and not shown.strip('-0.') else shown} {currency}"

    def _local(self, instant: str) -> str:
        try:
            at = datetime.fromtimestamp(parse_instant(instant), ZoneInfo(self.timezone))
        except ValueError:
            return instant
        return at.isoformat(sep=" ", timespec="seconds")
