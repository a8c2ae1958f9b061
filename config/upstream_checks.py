"""What has to hold between the values of a service's `upstream`."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from config.errors import Fault
from config.schema import Upstream, UpstreamTls


def check_upstream(upstream: Upstream, at: str) -> Iterator[Fault]:
    """Each fault once, with its path below ``at``."""
    seen: set[str] = set()
    for index, target in enumerate(upstream.targets):
        if target.url in seen:
            yield Fault(f"{at}.targets[{index}].url", "stands twice; a weight gives it a larger share")
        seen.add(target.url)
    if upstream.tls != UpstreamTls():
        if not any(target.url.startswith("https:") for target in upstream.targets):
            yield Fault(f"{at}.tls", "no target is https")
        yield from _tls(upstream.tls, f"{at}.tls")


def _tls(tls: UpstreamTls, at: str) -> Iterator[Fault]:
    if tls.ca is not None and not tls.verify:
        yield Fault(f"{at}.ca", "is not used while verify is false")
    if (tls.certificate is None) != (tls.key is None):
        missing = "key" if tls.key is None else "certificate"
        yield Fault(f"{at}.{missing}", "is missing: a client certificate needs both")
    files = {"ca": tls.ca, "certificate": tls.certificate, "key": tls.key}
    missing_files = {name: path for name, path in files.items() if path is not None and not path.is_file()}
    for name, path in missing_files.items():
        yield Fault(f"{at}.{name}", f"there is no file {path}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.ca is not None and "ca" not in missing_files:
        try:
            context.load_verify_locations(tls.ca)
        except (ssl.SSLError, OSError) as error:
            yield Fault(f"{at}.ca", f"holds no certificates that can be used: {_reason(error)}")
    if tls.certificate is not None and tls.key is not None and not missing_files.keys() & {"certificate", "key"}:
        try:
            context.load_cert_chain(tls.certificate, tls.key, password="")
        except (ssl.SSLError, OSError) as error:
            yield Fault(f"{at}.certificate", f"certificate and key cannot be used: {_reason(error)}")


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error)
