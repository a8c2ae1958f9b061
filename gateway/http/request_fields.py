"""The fields of a request that the gateway reads, or does not pass on: each name's kind."""

from __future__ import annotations

from typing import Final

from gateway.http.connection_login import is_login
from gateway.http.field_line import BY_VALUE, PLAIN
from gateway.http.forwarding_names import says_where_from, usual_spelling

IS_HOST: Final = 1
IS_CONTENT_LENGTH: Final = 2
IS_CONNECTION: Final = 3
IS_TRANSFER_ENCODING: Final = 4
IS_UPGRADE: Final = 5
IS_TE: Final = 6
IS_EXPECT: Final = 7
IS_REQUEST_ID: Final = 8
IS_FORWARDED_FOR: Final = 9
IS_FORWARDED_PROTO: Final = 10
IS_FORWARDED_HOST: Final = 11
IS_VIA: Final = 12
IS_FORWARDED_PREFIX: Final = 13
IS_DROPPED: Final = 14
IS_WHERE_FROM: Final = 15
IS_LOOKALIKE: Final = 16
# From here on they go on where they stand.
IS_NOTED: Final = 17
IS_ODD: Final = 17
IS_LOGIN: Final = 18
KINDS: Final[dict[bytes, int]] = {
    b"host": IS_HOST,
    b"content-length": IS_CONTENT_LENGTH,
    b"connection": IS_CONNECTION,
    b"transfer-encoding": IS_TRANSFER_ENCODING,
    b"upgrade": IS_UPGRADE,
    b"te": IS_TE,
    b"expect": IS_EXPECT,
    b"x-request-id": IS_REQUEST_ID,
    b"x-forwarded-for": IS_FORWARDED_FOR,
    b"x-forwarded-proto": IS_FORWARDED_PROTO,
    b"x-forwarded-host": IS_FORWARDED_HOST,
    b"x-forwarded-prefix": IS_FORWARDED_PREFIX,
    b"via": IS_VIA,
    b"keep-alive": IS_DROPPED,
    b"proxy-connection": IS_DROPPED,
    b"trailer": IS_DROPPED,
    b"proxy-authorization": IS_DROPPED,
    b"http2-settings": IS_DROPPED,
    b"authorization": BY_VALUE,
    b"proxy": IS_DROPPED,  # No field that anybody sends; as `HTTP_PROXY` it would turn a CGI's own requests.
}
# Read elsewhere in the gateway.
_READ_TOO: Final = frozenset((b"max-forwards", b"access-control-request-method"))


def kind_of_name(name: bytes) -> int:
    if says_where_from(name):
        return IS_WHERE_FROM
    usual = usual_spelling(name)
    if usual == name:
        return PLAIN
    return IS_LOOKALIKE if usual in KINDS or usual in _READ_TOO or says_where_from(usual) else IS_ODD


def kind_of_value(authorization: bytes) -> int:
    return IS_LOGIN if is_login(authorization) else PLAIN
