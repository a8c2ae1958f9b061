"""Authentication that logs in a connection and not a request: NTLM and Negotiate (RFC 4559 5, 6)."""

from __future__ import annotations

import re

_SCHEMES = rb"(?:ntlm|negotiate|nego2|kerberos)"
_CREDENTIALS = re.compile(rb"(?i)" + _SCHEMES + rb"(?=[ \t]|$)")
# RFC 9110 11.6.1: challenges may be a list.
_CHALLENGE = re.compile(rb"(?i)(?:^|,)[ \t]*+" + _SCHEMES + rb"(?=[ \t,]|$)")


def is_login(authorization: bytes) -> bool:
    """Whether credentials in Authorization log the connection in."""
    return _CREDENTIALS.match(authorization) is not None


def asks_for_login(www_authenticate: bytes) -> bool:
    """Whether a challenge in WWW-Authenticate is of such a scheme, or the end of such a login."""
    return _CHALLENGE.search(www_authenticate) is not None
