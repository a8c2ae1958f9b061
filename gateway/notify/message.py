"""What a notification says, to people and to machines."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Final

import orjson

SUBJECTS: Final = {
    "balance_alert": "the balance is below your threshold",
    "arrears": "the balance is below zero",
    "suspended": "the account is suspended",
    "resumed": "the account is active again",
    "destroyed": "the account's instances are destroyed",
}
_TEXTS: Final = {
    "balance_alert": "Less is available than the threshold you set. Top up to be safe from arrears.",
    "arrears": "More was used than was paid for. Service goes on for 24 hours; top up within them to keep it.",
    "suspended": "The balance was below zero for more than 24 hours: requests are refused, and nothing is billed. "
    "Top up within 7 days and service resumes by itself; after that the configuration is removed.",
    "resumed": "Nothing is owed any more. Requests are served.",
    "destroyed": "The account was suspended for more than 7 days: its instances and their configuration are gone. "
    "Bills and debts stay.",
}


@dataclass(frozen=True, slots=True)
class Message:
    """`key` is the same whenever the same notification is sent again."""

    key: str
    account: str
    kind: str
    at: str
    state: str

    def document(self) -> bytes:
        """What a webhook receives."""
        content: dict[str, Any] = {
            "id": self.key,
            "type": self.kind,
            "account": self.account,
            "at": self.at,
            "account_state": self.state,
        }
        return orjson.dumps(content)

    def mail(self, sender: str, recipient: str) -> EmailMessage:
        """RFC 5322. `Message-ID` comes from the key: the same again is the same message."""
        mail = EmailMessage()
        mail["From"] = sender
        mail["To"] = recipient
        mail["Subject"] = f"[tollgate] {self.account}: {SUBJECTS.get(self.kind, self.kind)}"
        mail["Message-ID"] = f"<{self.key}@{sender.rpartition('@')[2].rstrip('>')}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(f"Account {self.account}, {self.at}\n\n{_TEXTS.get(self.kind, self.kind)}\n")
        return mail
