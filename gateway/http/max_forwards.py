"""Max-Forwards: how many hops an OPTIONS or TRACE request may take still (RFC 9110 7.6.2)."""

from __future__ import annotations

import re
from typing import Final

from gateway.http.errors import ProtocolError
from gateway.http.fields import without_fields
from gateway.http.request import RequestHead

METHODS: Final = frozenset((b"OPTIONS", b"TRACE"))
FORWARDS_MAX: Final = 255  # "the recipient's maximum supported value": no chain of proxies is longer.
_NAME: Final = b"max-forwards"
_VALUE = re.compile(rb"[0-9]{1,18}+")  # Max-Forwards = 1*DIGIT


def may_go_on(head: RequestHead) -> bool:
    """Takes this hop off the field, if there is one; False: the gateway is the last recipient.

    Raises ProtocolError (bad_request).
    """
    if not head.has(_NAME):
        return True
    value = head.single(_NAME)
    if value is None or not _VALUE.fullmatch(value):
        raise ProtocolError("bad_request", "Max-Forwards is malformed or repeated")
    if int(value) == 0:
        return False
    left = min(int(value) - 1, FORWARDS_MAX)
    head.fields = without_fields(head.fields, {_NAME}) + b"Max-Forwards: %d\r\n" % left
    return True
