"""Who is told of an account: its receivers, each a channel of its own, with a name that gives no address away."""

from __future__ import annotations

import hashlib
from typing import Final

from config.schema import Notify

CHANNELS: Final = ("email", "webhook")  # the kinds
_MARK_DIGITS: Final = 12


def receivers(notify: Notify) -> dict[str, str]:
    """By channel, the address. `email` and `webhook` are the first ones; others are told by a digest of theirs: names
    are stored and logged, and a webhook's URL may hold a secret."""
    first = {"email": notify.email, "webhook": notify.webhook}
    found = {kind: address for kind, address in first.items() if address}
    for kind, addresses in (("email", notify.emails), ("webhook", notify.webhooks)):
        for address in addresses:
            if address != first[kind]:
                found[f"{kind}:{hashlib.sha256(address.encode()).hexdigest()[:_MARK_DIGITS]}"] = address
    return found


def kind_of(channel: str) -> str:
    return channel.partition(":")[0]
