"""Names of fields that say where a request comes from, and other spellings of names.

What stands in such a field is believed by upstreams, for a gateway or a proxy before it is to have written it. So it
goes on from a trusted proxy, and from nobody else.
"""

from __future__ import annotations

import string
from typing import Final

# The client's address, host, path, connection and certificate, as proxies and clouds tell of them. `X-Forwarded-For`,
# `-Proto`, `-Host` and `Via` are read besides, and written by the gateway itself.
_NAMES: Final = frozenset(
    b"forwarded forwarded-for x-forwarded client-ip proxy-client-ip wl-proxy-client-ip true-client-ip "
    b"x-real-ip x-client-ip x-cluster-client-ip x-original-forwarded-for x-originating-ip x-remote-ip x-remote-addr "
    b"cf-connecting-ip cf-connecting-ipv6 cf-pseudo-ipv4 fastly-client-ip fly-client-ip x-appengine-user-ip "
    b"x-azure-clientip x-azure-socketip x-envoy-external-address x-proxyuser-ip "
    b"x-host x-original-host x-original-url x-original-uri x-rewrite-url x-envoy-original-path x-envoy-original-host "
    b"x-scheme x-url-scheme x-original-proto front-end-https cloudfront-forwarded-proto "
    # RFC 9440, and what came before it.
    b"client-cert client-cert-chain x-client-cert ssl-client-cert x-arr-clientcert x-arr-ssl".split()
)
_FAMILIES: Final = (b"x-forwarded-", b"x-ssl-client-", b"ssl-client-", b"x-client-cert-", b"x-amzn-mtls-")
_OTHERS: Final = b"".join(
    bytes((octet,)) for octet in range(128) if chr(octet) not in string.ascii_letters + "0123456789"
)
_TO_HYPHENS: Final = bytes.maketrans(_OTHERS, b"-" * len(_OTHERS))


def says_where_from(name: bytes) -> bool:
    """``name`` in lower case."""
    return name in _NAMES or name.startswith(_FAMILIES)


def usual_spelling(name: bytes) -> bytes:
    """The name that environments in the way of CGI (RFC 3875 4.1.18) do not tell this one from, in lower case.

    They have `HTTP_X_REAL_IP` of `X-Real-IP`, of `X_Real_IP`, and some of `X.Real.IP` too.
    """
    return name.translate(_TO_HYPHENS)
