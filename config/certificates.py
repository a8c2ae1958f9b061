"""Certificate files: whether they can be served with, and the names they are for.

Without pydantic or YAML, since workers open certificates too. Files are PEM; keys are not encrypted, as nobody is
there to be asked for a password when a worker starts.
"""

from __future__ import annotations

import ssl
from pathlib import Path


class CertificateError(Exception):
    """A file that cannot be served with. ``path`` is the file, the text says what is wrong with it."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


def load_pair(context: ssl.SSLContext, certificate: str | Path, key: str | Path) -> None:
    """Put a certificate, with its chain, and its key into a context. Raises CertificateError."""
    for path in (certificate, key):
        _check_readable(path)
    try:
        # An empty password: OpenSSL would ask at the terminal for that of an encrypted key.
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        # OpenSSL does not say which of both it is about.
        raise CertificateError(certificate, f"cannot be used with the key {key}: {_reason(error)}") from None


def load_authorities(context: ssl.SSLContext, path: str | Path) -> None:
    """Trust the certificates of a file for those of clients. Raises CertificateError."""
    _check_readable(path)
    try:
        context.load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise CertificateError(path, f"holds no certificates of authorities: {_reason(error)}") from None
    if not context.get_ca_certs(binary_form=True):
        raise CertificateError(path, "holds no certificates of authorities: none of them may sign others")


def dns_names(path: str | Path) -> list[str]:
    """The DNS names of a file's first certificate, in lower case; wildcards as ``*.example.com``.

    Only subject alternative names count (RFC 9525 section 2: no common name). Raises CertificateError.
    """
    # A large library, and only entries with several certificates need to know names.
    from cryptography import x509

    _check_readable(path)
    try:
        certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    except (ValueError, OSError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise CertificateError(path, f"its names cannot be read: {error}") from None
    return [name.lower() for name in names.get_values_for_type(x509.DNSName)]


def _check_readable(path: str | Path) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise CertificateError(path, f"cannot be read: {error.strerror}") from None


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error)
