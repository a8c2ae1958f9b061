"""What has to hold of an entry: its certificates can be served with, its options fit each other."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

from config.certificates import CertificateError, dns_names, load_authorities, load_pair
from config.errors import Fault
from config.schema import Entry, Tls


def check_entry(entry: Entry, at: str, *, is_shared: bool) -> Iterator[Fault]:
    """The faults of one entry that stands at ``at``."""
    if entry.proxy_protocol_from and not entry.proxy_protocol:
        yield Fault(f"{at}.proxy_protocol_from", "says who may send PROXY headers, and proxy_protocol is off")
    if entry.tls is None:
        return
    if is_shared:
        yield Fault(f"{at}.tls", "is for dedicated instances only (L5)")
        return
    yield from _tls(entry.tls, f"{at}.tls")


def _tls(tls: Tls, at: str) -> Iterator[Fault]:
    if tls.max_version < tls.min_version:
        yield Fault(f"{at}.max_version", f"is lower than min_version {tls.min_version}")
    if (tls.certificate is None) != (tls.key is None):
        missing = "key" if tls.key is None else "certificate"
        yield Fault(f"{at}.{missing}", "is missing: certificate and key go together")
    elif tls.certificate is None and not tls.certificates:
        yield Fault(f"{at}.certificate", "is missing, and certificates is empty")
    yield from _pairs(tls, at)
    if tls.client_ca is not None:
        try:
            load_authorities(_context(), tls.client_ca)
        except CertificateError as error:
            yield Fault(f"{at}.client_ca", str(error))
    elif tls.client_auth is not None:
        yield Fault(f"{at}.client_auth", "needs client_ca, whose certificates clients are known by")
    if tls.client_ca is None and tls.client_cert == "forward":
        yield Fault(f"{at}.client_cert", "needs client_ca, whose certificates clients are known by")


def _pairs(tls: Tls, at: str) -> Iterator[Fault]:
    taken: set[str] = set()
    for index, (place, certificate, key) in enumerate(_places(tls, at)):
        try:
            load_pair(_context(), certificate, key)
            names = set(dns_names(certificate))
        except CertificateError as error:
            item = "key" if error.path == str(key) else "certificate"
            yield Fault(f"{place}.{item}", str(error))
            continue
        if index > 0 and not names:
            yield Fault(
                f"{place}.certificate", f"{certificate}: has no DNS names to be chosen by, and is not the first"
            )
        elif index > 0 and names <= taken:
            yield Fault(
                f"{place}.certificate", f"{certificate}: an earlier certificate is chosen for each of its names"
            )
        taken |= names


def _places(tls: Tls, at: str) -> Iterator[tuple[str, Path, Path]]:
    """Each certificate and key with the place they stand at, the default first."""
    if tls.certificate is not None and tls.key is not None:
        yield at, tls.certificate, tls.key
    for index, pair in enumerate(tls.certificates):
        yield f"{at}.certificates[{index}]", pair.certificate, pair.key


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
