"""Names and addresses of hosts, in one grammar for all places that have one.

A name is of labels of letters, digits, hyphens and underscores. Underscores are no part of a host name by RFC 952, yet
services of Compose and of Kubernetes have them, and clients send them: they are taken everywhere. Names beyond ASCII
become what the DNS and the Host field carry (IDNA 2008, with the mappings of UTS 46).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from config.errors import shown

NAME_CHARS_MAX: Final = 253  # RFC 1035 2.3.4: 255 octets on the wire, less the first length and the root
LABEL_CHARS_MAX: Final = 63

_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_WITH_PORT: Final = re.compile(r"([^:\[\]]+|\[.*\]):[0-9]*")


def parse_host(text: str) -> str:
    """A name in lower case, an IPv4 address, or an IPv6 address in brackets. A dot at the end stays.

    Raises ValueError with the reason, and with what to write where that is plain.
    """
    if len(text) > 4 * NAME_CHARS_MAX:
        raise ValueError(f"{shown(text)} is no host name: it is longer than {NAME_CHARS_MAX} characters")
    if "@" in text or "/" in text:
        # Not repeated: before an @ there may be a password.
        raise ValueError("a host alone is needed, without what stands before an @ or behind a slash")
    if _WITH_PORT.fullmatch(text):
        raise ValueError(f"{shown(text)} has a port, and a host alone is needed: write {text.rpartition(':')[0]}")
    if text.startswith("[") or ":" in text:
        return f"[{_ipv6(text)}]"
    name = _ascii(text)
    labels = name.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(name)
    for label in labels:
        _check_label(label, text)
    if len(name.removesuffix(".")) > NAME_CHARS_MAX:
        raise ValueError(f"{shown(text)} is no host name: it is longer than {NAME_CHARS_MAX} characters")
    return name


def parse_host_pattern(text: str) -> str:
    """What a Host field is compared with: a host, or `*.example.com` for every name below it. No dot at the end."""
    if text == "*":
        raise ValueError("'*' is any host: leave hosts out for that")
    if not text.startswith("*."):
        if "*" in text:
            raise ValueError(f"{shown(text)} is no pattern of hosts: a * stands for the first labels, as *.example.com")
        return parse_host(text).removesuffix(".")
    rest = parse_host(text[2:])
    if is_address(rest):
        raise ValueError(f"{shown(text)} is no pattern of hosts: there are no names below an address")
    return f"*.{rest.removesuffix('.')}"


def is_address(host: str) -> bool:
    """Whether a host that was parsed is an address, and no name."""
    return host.startswith("[") or host.replace(".", "").isdigit()


def _ascii(text: str) -> str:
    if text.isascii():
        return text.lower()
    import idna  # Only names beyond ASCII need it.

    try:
        return idna.encode(text, uts46=True).decode()
    except idna.IDNAError as error:
        raise ValueError(f"{shown(text)} is no host name: {error}") from None


def _check_label(label: str, text: str) -> None:
    if not label:
        raise ValueError(f"{shown(text)} is no host name: there is nothing between two dots, or none at all")
    if len(label) > LABEL_CHARS_MAX:
        raise ValueError(f"{shown(text)} is no host name: a part is longer than {LABEL_CHARS_MAX} characters")
    if not _LABEL.fullmatch(label):
        raise ValueError(
            f"{shown(text)} is no host name: between dots stand letters, digits, underscores, and hyphens inside"
        )


def _ipv4(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ValueError(
            f"{shown(text)} ends as an address does and is none: four numbers from 0 to 255, without zeros in front"
        ) from None


def _ipv6(text: str) -> str:
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if "%" in inner:
        raise ValueError(f"{shown(text)} has a zone, which means something on one machine only")
    try:
        return str(ipaddress.IPv6Address(inner))
    except ValueError:
        raise ValueError(f"{shown(text)} is no IPv6 address") from None
