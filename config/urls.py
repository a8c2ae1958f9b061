"""Urls of the configuration (RFC 3986), read in one way. What comes out can be dialled and written into a request."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import quote

from config.errors import shown
from config.hosts import is_address, parse_host

URL_CHARS_MAX: Final = 2048
DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_PARTS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)
_AUTHORITY: Final = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(.*))?", re.DOTALL)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PATH_CHARS: Final = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*")
_QUERY_CHARS: Final = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@%/?]*")
_SQLITE: Final = re.compile(r"sqlite:///(?P<path>[^?#]+)")
_POSTGRES: Final = re.compile(
    r"postgresql(?:\+psycopg)?://(?:[^@/?#\s]*@)?(?P<authority>[^@/?#]*)/(?P<name>[^/?#\s]*)(?:\?(?P<query>[^#\s]*))?"
)


class Url(NamedTuple):
    """``host`` as `parse_host` gives it; ``port`` is None where it is the scheme's; ``path`` begins with a slash."""

    scheme: str
    host: str
    port: int | None
    path: str  # "" where there is none
    query: str  # with its question mark

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}" + (f":{self.port}" if self.port is not None else "")

    @property
    def dialled_port(self) -> int:
        return self.port or DEFAULT_PORTS[self.scheme]

    def __str__(self) -> str:
        return f"{self.origin}{self.path}{self.query}"


def parse_url(text: str, *, takes_query: bool = False) -> Url:
    """An http or https url: scheme and host in lower case, without the port that the scheme has anyway.

    Raises ValueError with the reason. What stands before an @ is not repeated: it may be a secret.
    """
    if len(text) > URL_CHARS_MAX:
        raise ValueError(f"is longer than the {URL_CHARS_MAX} characters of a url")
    match = _PARTS.fullmatch(text)
    if match is None or match[1].lower() not in DEFAULT_PORTS:
        raise ValueError(f"{_safe(text)} is no http or https url, as http://host:port/path")
    scheme, authority = match[1].lower(), match[2]
    if "@" in authority:
        raise ValueError("the url has a name or password before its host: take them away up to the @")
    if "\\" in text:
        raise ValueError(f"{shown(text)} has a backslash: a url has slashes")
    if not text.isprintable() or " " in text:
        raise ValueError(f"{shown(text)} has a space or a control character: write it as an escape, as %20")
    if match[5] is not None:
        raise ValueError(f"{shown(text)} has a fragment, which is never sent: take it away from the #")
    if match[4] is not None and not takes_query:
        raise ValueError(f"{shown(text)} has a query, which this url has none of: take it away from the ?")
    host, port = parse_authority(authority)
    _check_chars(match[3], _PATH_CHARS, "path")
    _check_chars(match[4] or "", _QUERY_CHARS, "query")
    return Url(scheme, host, None if port == DEFAULT_PORTS[scheme] else port, match[3], match[4] or "")


def parse_target(text: str) -> str:
    """A target's url. Its path is put before a request's, which is why it has no parts that climb or are empty."""
    url = parse_url(text)
    if url.scheme == "https" and url.host.endswith("."):
        raise ValueError(f"{shown(text)}: names in certificates end without a dot: write {url.host.removesuffix('.')}")
    path = url.path.rstrip("/")
    if any(part in ("", ".", "..") for part in path.split("/")[1:]):
        raise ValueError(f"{shown(text)} has an empty part or one of dots in its path")
    return str(url._replace(path=path))


def parse_receiver(text: str) -> str:
    """Of webhooks: with a query, if it has one."""
    return str(parse_url(text, takes_query=True))


def parse_otlp(text: str) -> str:
    """Whole: a receiver without a path has the one that receivers agree on (OTLP/HTTP, "Request")."""
    url = parse_url(text)
    return str(url if url.path.strip("/") else url._replace(path="/v1/traces"))


def parse_authority(text: str) -> tuple[str, int | None]:
    """`host` or `host:port`."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{shown(text)} is no host and port: an IPv6 address stands in brackets, as [::1]:8080")
    if not match[1]:
        raise ValueError("the url has no host")
    return parse_host(match[1]), None if match[2] is None else parse_port(match[2])


def parse_port(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text) or int(text) > 65_535:
        raise ValueError(f"{shown(text)} is no port: a number from 1 to 65535")
    return int(text)


def parse_origin(text: str) -> str:
    """As browsers send it (RFC 6454 6.2): `scheme://host[:port]`, `scheme://*.domain[:port]`, `*` for any, `null`."""
    if text in ("*", "null"):
        return text
    if len(text) > URL_CHARS_MAX:
        raise ValueError(f"is longer than the {URL_CHARS_MAX} characters of a url")
    match = _PARTS.fullmatch(text)
    if match is None or not match[2] or "@" in match[2]:
        raise ValueError(f'{_safe(text)} is no origin, as "https://app.example.com", nor "*"')
    scheme, authority, path = match[1].lower(), match[2], match[3]
    if path not in ("", "/") or match[4] is not None or match[5] is not None:
        raise ValueError(f"{shown(text)} has a path, and an origin has none: write {scheme}://{authority}")
    wildcard = "*." if authority.startswith("*.") else ""
    host, port = parse_authority(authority.removeprefix(wildcard))
    if wildcard and is_address(host):
        raise ValueError(f"{shown(text)}: there are no names below an address")
    at = "" if port is None or port == DEFAULT_PORTS.get(scheme) else f":{port}"
    return f"{scheme}://{wildcard}{host.removesuffix('.')}{at}"


def check_store(text: str) -> None:
    """`sqlite:///path` or `postgresql://host/database`. Not repeated in reasons: it may hold a password."""
    file = _SQLITE.fullmatch(text)
    if file is not None and text.isprintable():
        if file["path"].endswith(":memory:") or file["path"].startswith("file:"):
            raise ValueError("is no store that stays: a file is needed, as sqlite:///./data/tollgate.db")
        return
    match = _POSTGRES.fullmatch(text)
    if match is None or not text.isprintable():
        raise ValueError("is no store, as sqlite:///./data/tollgate.db or postgresql://user@host/database")
    hosts = match["authority"]
    if not hosts and "host=" not in (match["query"] or ""):
        raise ValueError("is no store: a host is needed, as postgresql://user@host/database")
    if not match["name"]:
        raise ValueError("is no store: the database's name is needed, as postgresql://user@host/database")
    for host in filter(None, hosts.split(",")):
        parse_authority(host)


def _check_chars(text: str, grammar: re.Pattern[str], part: str) -> None:
    if _BAD_ESCAPE.search(text):
        raise ValueError(
            f"{shown(text)}: a % in the {part} of a url is followed by two hex digits; write %25 for itself"
        )
    if not grammar.fullmatch(text):
        safe = "-._~!$&'()*+,;=:@%/?" if part == "query" else "-._~!$&'()*+,;=:@%/"
        raise ValueError(
            f"{shown(text)} has characters that stand in no {part} of a url: write {quote(text, safe=safe)}"
        )


def _safe(text: str) -> str:
    """For messages: less what stands before an @."""
    return shown(re.sub(r"//.*@", "//…@", text, flags=re.DOTALL))
