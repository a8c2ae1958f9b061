"""The certificate that a client showed in its handshake: for upstreams (RFC 9440), and for the operator."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any, Final, NamedTuple

CERTIFICATE_NAMES: Final = frozenset((b"client-cert", b"client-cert-chain"))
# As much as half of what an upstream takes of a head. Of a longer one nothing is told: who goes by it lets nobody in.
_DER_BYTES_MAX: Final = 16 * 1024
_SUBJECT_CHARS_MAX: Final = 512
# RFC 4514 3, and what others call by its own name.
_SHORT: Final = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
_ESCAPED: Final = str.maketrans({character: "\\" + character for character in '\\",+;<>='})


class ClientCertificate(NamedTuple):
    """What the log has of one. ``sha256``: its fingerprint, in hex."""

    subject: str
    sha256: str


def certificate_of(transport: asyncio.BaseTransport) -> ClientCertificate | None:
    """Verified by the handshake; None where the client showed none."""
    tls, der = _shown(transport)
    if der is None:
        return None
    return ClientCertificate(_subject(tls.getpeercert() or {}), hashlib.sha256(der).hexdigest())


def certificate_field(transport: asyncio.BaseTransport) -> bytes:
    """A whole line for upstreams (RFC 9440 2.1, RFC 8941 3.3.5); empty where the client showed none."""
    _, der = _shown(transport)
    if der is None or len(der) > _DER_BYTES_MAX:
        return b""
    return b"Client-Cert: :" + base64.b64encode(der) + b":\r\n"


def _shown(transport: asyncio.BaseTransport) -> tuple[Any, bytes | None]:
    tls: Any = transport.get_extra_info("ssl_object")
    return tls, None if tls is None else tls.getpeercert(binary_form=True)


def _subject(certificate: dict[str, Any]) -> str:
    """In the way of RFC 4514: the last part first."""
    parts = [
        "+".join(f"{_SHORT.get(name, name)}={str(value).translate(_ESCAPED)}" for name, value in part)
        for part in reversed(certificate.get("subject", ()))
    ]
    return ",".join(parts)[:_SUBJECT_CHARS_MAX]
