"""TLS of an entry: the contexts that handshakes are made with, and when the files behind them have changed."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from config.certificates import dns_names, load_authorities, load_pair

_ALPN: Final = ["http/1.1"]  # What we speak; a client that offers HTTP/2 as well comes down to it (RFC 7301).
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_CLIENT_AUTH: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}

Stamp = tuple[tuple[int, ...] | None, ...]


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """What an entry's `tls` says. ``pairs`` are files (certificate, key); the first is the default."""

    pairs: tuple[tuple[str, str], ...]
    min_version: str = "1.2"
    max_version: str = "1.3"
    client_ca: str | None = None
    client_auth: str = "none"
    client_cert: str = "drop"  # or forward: upstreams are told of it

    @classmethod
    def of(cls, document: dict[str, Any]) -> TlsSettings:
        """From the document that a worker is started with."""
        pairs = tuple((certificate, key) for certificate, key in document["pairs"])
        return cls(**{**document, "pairs": pairs})

    @property
    def files(self) -> list[str]:
        """Every file there is to watch."""
        return [path for pair in self.pairs for path in pair] + ([self.client_ca] if self.client_ca else [])


def stamp(settings: TlsSettings) -> Stamp:
    """What tells one state of the files from another: a write changes it, and so does a rename or a new link.

    The change time is in it, so that a copy which keeps size and modification time is seen too.
    """
    return tuple(_file_stamp(path) for path in settings.files)


def _file_stamp(path: str) -> tuple[int, ...] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """The context of an entry's handshakes, from the files as they are now. Raises CertificateError.

    Anew at each change, with ticket keys of its own: no session outlives the certificate, or the client authorities,
    it was made under.
    """
    contexts = [_context(settings, certificate, key) for certificate, key in settings.pairs]
    default = contexts[0]
    if len(contexts) > 1:
        by_name: dict[str, ssl.SSLContext] = {}
        for (certificate, _), context in zip(settings.pairs, contexts, strict=True):
            for name in dns_names(certificate):
                by_name.setdefault(name, context)  # The first of two certificates for one name.

        def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            # RFC 6066 section 3. A name that nobody has gets the default, as a client without SNI does.
            if name is not None:
                connection.context = _match(name, by_name) or default

        default.sni_callback = choose
    return default


def _match(name: str, by_name: dict[str, ssl.SSLContext]) -> ssl.SSLContext | None:
    """RFC 9525 section 6.3: a wildcard stands for exactly one label, the leftmost. The exact name comes first."""
    name = name.lower().removesuffix(".")
    return by_name.get(name) or by_name.get("*." + name.partition(".")[2])


def _context(settings: TlsSettings, certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.min_version]
    context.maximum_version = _VERSIONS[settings.max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION  # A client could keep us busy with handshakes on one connection.
    context.set_alpn_protocols(_ALPN)
    load_pair(context, certificate, key)
    if settings.client_ca is not None:
        load_authorities(context, settings.client_ca)
        context.verify_mode = _CLIENT_AUTH[settings.client_auth]
    return context
