"""Via: what a message has passed on its way (RFC 9110 7.6.3), and so whether it goes in a circle."""

from __future__ import annotations

import re
from typing import Final

# Gateways may stand behind gateways: one of the edge, of a region, of a team, and each twice while one is replaced by
# another. A way through more of them than these is a circle, in which each turn is a call of somebody's.
HOPS_MAX: Final = 8
# Via = #( received-protocol RWS received-by [ RWS comment ] ), of those that this gateway writes, whichever node it is.
_OURS = re.compile(rb"(?i)(?:^|,)[ \t]*+[^ \t,]++[ \t]++tollgate(?=[ \t]*+(?:[,(]|$))")


def hops(via: bytes) -> int:
    """How many times it has passed a node of this gateway."""
    return len(_OURS.findall(via))
